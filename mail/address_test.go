package mail_test

import (
	netmail "net/mail"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/mail"
)

func TestCheckAddress(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"a@b.co", "jean.dupont+keys@buyer.test", "o'brien@x.test", "a@xn--bcher-kva.de", "A_b-c=1@sub.domain.example",
		strings.Repeat("l", 64) + "@x.test", "a@" + strings.Repeat("d", 63) + ".test", "{KEY}@x.test",
		"a@bücher.de", "a@例え.テスト", ".a..b.@docomo.ne.jp", "a..b@c.co", ".a@b.co", "a.@b.co",
	} {
		require.NoError(t, mail.CheckAddress(good), good)
	}
	for _, bad := range []string{
		"", "a", "@b.co", "a@", "a@b", "a@b.c\r\nBcc:x@y.test", "a@b.co\n", "\"x y\"@b.co", "a@[127.0.0.1]", "a@127.0.0.1",
		"ü@b.co", "ü@bücher.de", "a@bü cher.de", "a@bücher", "a@-bücher.de", "a@" + strings.Repeat("ü", 64) + ".de",
		"Name <a@b.co>", "<a@b.co>", "a@b.co, c@d.co", "a@b@c.co", "a b@c.co", " a@b.co", "a@b.co ", "a@.co", "a@b.",
		"a@-b.co", "a@b-.co", "a@b_c.co", "a@b..co", "a(comment)@b.co", "a@b.co(comment)", "a\x00@b.co", "a,b@c.co",
		"a;b@c.co", "a@b.co\t",
		strings.Repeat("l", 65) + "@x.test", strings.Repeat("l", 400) + "@x.test", "a@" + strings.Repeat("d", 64) + ".test",
		"a@" + strings.Repeat("dddd.", 60) + "test",
	} {
		err := mail.CheckAddress(bad)
		require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(err), bad)
		require.True(t, strings.HasPrefix(err.Error(), "must "), err.Error())
	}
}

// TestCheckAddressIsStricterThanNetMail: what passes here is one bare address to everybody else, too.
func TestCheckAddressIsStricterThanNetMail(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		address := rapid.OneOf(rapid.StringMatching(`[a-z0-9.!'+ "<>()\[\],;:\\@-]{0,12}@[a-z0-9.\-\[\]]{0,12}`),
			rapid.String()).Draw(t, "address")
		if mail.CheckAddress(address) != nil {
			return
		}
		parsed, err := netmail.ParseAddress(address)
		if err != nil { // dots where only quotes allow them
			require.Regexp(t, `^\.|\.\.|\.@`, address)
			return
		}
		require.Equal(t, &netmail.Address{Address: address}, parsed)
	})
}

// What customers give is what their shop shows; what e-mail carries is ASCII.
func TestASCIIAddress(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"Jean.Dupont@Buyer.Test":      "Jean.Dupont@Buyer.Test",
		"joerg@müllershop.example":    "joerg@xn--mllershop-q9a.example",
		"joerg@MÜLLERSHOP.example":    "joerg@xn--mllershop-q9a.example",
		"a@faß.example":               "a@xn--fa-hia.example",
		"a@例え。テスト":                    "a@xn--r8jz45g.xn--zckzah",
		".a..b.@docomo.ne.jp":         ".a..b.@docomo.ne.jp",
		"a@xn--mllershop-q9a.example": "a@xn--mllershop-q9a.example",
	} {
		got, err := mail.ASCIIAddress(given)
		require.NoError(t, err, given)
		require.Equal(t, want, got)
	}
}
