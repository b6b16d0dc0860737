package doctor_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/doctor"
)

// statuses are those of the checks, by name.
func statuses(r doctor.Report) map[string]doctor.Status {
	out := map[string]doctor.Status{}
	for _, f := range r.Findings {
		name, _, _ := strings.Cut(f.Check, " of ")
		out[name] = f.Status
	}
	return out
}

func TestTheMailOfAnInstallation(t *testing.T) {
	t.Parallel()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	other, _, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	record := func(key ed25519.PublicKey) string {
		return "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(key)
	}
	chain := zone{}
	for i := range 12 {
		chain[fmt.Sprintf("TXT s%d.test", i)] = []string{fmt.Sprintf("v=spf1 include:s%d.test -all", i+1)}
	}
	chain["TXT s12.test"] = []string{"v=spf1 -all"}
	good := zone{
		"TXT mail.shop.test":               {"google-site-verification=x", "v=spf1 include:provider.test ip4:192.0.2.0/24 -all"},
		"TXT provider.test":                {"v=spf1 a mx ~all"},
		"TXT keyturn._domainkey.shop.test": {record(public)},
		"TXT _dmarc.shop.test":             {"v=DMARC1; p=quarantine"},
		"MX mail.shop.test":                {"mx.shop.test"}, "A mx.shop.test": {"192.0.2.1"},
	}
	fine := map[string]doctor.Status{
		"mail server": doctor.OK, "SPF": doctor.OK, "DKIM": doctor.OK, "DMARC": doctor.OK, "MX": doctor.OK,
	}
	for name, c := range map[string]struct {
		zone   zone // in place of what is good
		change func(*doctor.Mail)
		want   map[string]doctor.Status // that differ
	}{
		"all is well": {},
		"the mail server does not answer": {
			change: func(m *doctor.Mail) { m.Connect = func(context.Context) error { return errors.New("refused") } },
			want:   map[string]doctor.Status{"mail server": doctor.Wrong},
		},
		"no SPF":  {zone: zone{"TXT mail.shop.test": {"other"}}, want: map[string]doctor.Status{"SPF": doctor.Wrong}},
		"two SPF": {zone: zone{"TXT mail.shop.test": {"v=spf1 -all", "v=spf1 ~all"}}, want: map[string]doctor.Status{"SPF": doctor.Wrong}},
		"SPF lets everybody": {
			zone: zone{"TXT mail.shop.test": {"v=spf1 mx +all"}}, want: map[string]doctor.Status{"SPF": doctor.Wrong},
		},
		"SPF without an end": {
			zone: zone{"TXT mail.shop.test": {"v=spf1 mx"}}, want: map[string]doctor.Status{"SPF": doctor.Warning},
		},
		"SPF of too many": {
			zone: zone{"TXT mail.shop.test": {"v=spf1 include:s0.test -all"}},
			want: map[string]doctor.Status{"SPF": doctor.Wrong},
		},
		"SPF that includes itself": {
			zone: zone{"TXT mail.shop.test": {"v=spf1 include:mail.shop.test -all"}},
			want: map[string]doctor.Status{"SPF": doctor.Wrong},
		},
		"SPF with a typo": {
			zone: zone{"TXT mail.shop.test": {"v=spf1 inlcude:provider.test -all"}},
			want: map[string]doctor.Status{"SPF": doctor.Wrong},
		},
		"another DKIM key": {
			zone: zone{"TXT keyturn._domainkey.shop.test": {record(other)}},
			want: map[string]doctor.Status{"DKIM": doctor.Wrong},
		},
		"no DKIM record": {
			zone: zone{"TXT keyturn._domainkey.shop.test": nil}, want: map[string]doctor.Status{"DKIM": doctor.Wrong},
		},
		"nobody signs": {
			change: func(m *doctor.Mail) { m.DKIM = "" }, want: map[string]doctor.Status{"DKIM": doctor.Skipped},
		},
		"no DMARC": {zone: zone{"TXT _dmarc.shop.test": nil}, want: map[string]doctor.Status{"DMARC": doctor.Warning}},
		"strict alignment": {
			zone: zone{"TXT _dmarc.shop.test": {"v=DMARC1; p=reject; aspf=s"}},
			want: map[string]doctor.Status{"DMARC": doctor.Warning},
		},
		"nothing is aligned": {
			zone:   zone{"TXT bounces.other.test": {"v=spf1 -all"}, "MX bounces.other.test": {"mx.shop.test"}},
			change: func(m *doctor.Mail) { m.DKIM, m.Bounce = "", "bounce@bounces.other.test" },
			want:   map[string]doctor.Status{"DKIM": doctor.Skipped, "DMARC": doctor.Wrong},
		},
		"no MX":                    {zone: zone{"MX mail.shop.test": nil}, want: map[string]doctor.Status{"MX": doctor.Wrong}},
		"an MX without an address": {zone: zone{"A mx.shop.test": nil}, want: map[string]doctor.Status{"MX": doctor.Wrong}},
		"no bounce address": {
			zone:   zone{"TXT shop.test": {"v=spf1 -all"}},
			change: func(m *doctor.Mail) { m.Bounce = "" }, want: map[string]doctor.Status{"MX": doctor.Skipped},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			z := maps.Clone(good)
			maps.Copy(z, chain)
			maps.Copy(z, c.zone)
			maps.DeleteFunc(z, func(_ string, values []string) bool { return values == nil })
			m := doctor.Mail{
				DNS: z.serve(t), From: "keys@shop.test", Bounce: "bounce@mail.shop.test", DKIM: "keyturn._domainkey.shop.test",
				Public: public, Connect: func(context.Context) error { return nil },
			}
			if c.change != nil {
				c.change(&m)
			}
			r := doctor.Run(t.Context(), m.Checks())
			want := maps.Clone(fine)
			maps.Copy(want, c.want)
			require.Equal(t, want, statuses(r), "%+v", r.Findings)
			wrong := false
			for _, s := range want {
				wrong = wrong || s == doctor.Wrong
			}
			require.Equal(t, !wrong, r.OK)
			for _, f := range r.Findings {
				require.NotEmpty(t, f.Found)
				require.Equal(t, f.Status == doctor.Wrong || f.Status == doctor.Warning, f.ToDo != "", "%+v", f)
			}
		})
	}
}

func TestDNSThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	m := doctor.Mail{
		DNS: zone{}.serve(t), From: "keys@shop.test", Bounce: "bounce@shop.test",
		Connect: func(context.Context) error { return nil },
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	r := doctor.Run(ctx, m.Checks())
	require.False(t, r.OK)
}
