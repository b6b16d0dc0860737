package keyturn_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

func TestSellable(t *testing.T) {
	t.Parallel()
	pool, partner := keyturn.Source{Type: keyturn.SourcePool, Pool: "p"},
		keyturn.Source{Type: keyturn.SourceEndpoint, Integration: "acme"}
	manual := keyturn.Source{Type: keyturn.SourceManual}
	empty, down := keyturn.ShortageStock, keyturn.ShortagePartner
	refuse := keyturn.Sell{WhenEmpty: keyturn.SellRefuse, WhenPartnerDown: keyturn.SellRefuse}
	for name, c := range map[string]struct {
		sell    keyturn.Sell
		sources []keyturn.Source
		short   map[keyturn.SourceType]keyturn.Shortage
		rule    keyturn.SellRule
		why     keyturn.Shortage
	}{
		"nothing is wrong": {refuse, []keyturn.Source{pool}, nil, keyturn.SellAllow, ""},
		"empty by default": {
			keyturn.Sell{},
			[]keyturn.Source{pool},
			map[keyturn.SourceType]keyturn.Shortage{"pool": empty},
			keyturn.SellWarn, empty,
		},
		"down by default": {
			keyturn.Sell{},
			[]keyturn.Source{partner},
			map[keyturn.SourceType]keyturn.Shortage{"endpoint": down},
			keyturn.SellWarn, down,
		},
		"empty and refused": {
			refuse,
			[]keyturn.Source{pool},
			map[keyturn.SourceType]keyturn.Shortage{"pool": empty},
			keyturn.SellRefuse, empty,
		},
		"down and refused": {
			refuse,
			[]keyturn.Source{partner},
			map[keyturn.SourceType]keyturn.Shortage{"endpoint": down},
			keyturn.SellRefuse, down,
		},
		"a fallback can deliver": {
			refuse,
			[]keyturn.Source{partner, manual},
			map[keyturn.SourceType]keyturn.Shortage{"endpoint": down},
			keyturn.SellAllow, "",
		},
		"both, and both refuse": {
			refuse,
			[]keyturn.Source{partner, pool},
			map[keyturn.SourceType]keyturn.Shortage{"endpoint": down, "pool": empty},
			keyturn.SellRefuse, down,
		},
		"both, and one is waited for": {
			keyturn.Sell{WhenEmpty: keyturn.SellRefuse},
			[]keyturn.Source{pool, partner},
			map[keyturn.SourceType]keyturn.Shortage{"endpoint": down, "pool": empty},
			keyturn.SellWarn, down,
		},
		"down and allowed": {
			keyturn.Sell{WhenPartnerDown: keyturn.SellAllow},
			[]keyturn.Source{partner},
			map[keyturn.SourceType]keyturn.Shortage{"endpoint": down},
			keyturn.SellAllow, down,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rule, why := c.sell.Sellable(c.sources, func(s keyturn.Source) keyturn.Shortage { return c.short[s.Type] })
			require.Equal(t, []any{c.rule, c.why}, []any{rule, why})
		})
	}
}
