package bounce

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

const ref = "abcdefghijklmnopqrstuvwxy2.abcdefghij"

func TestParse(t *testing.T) {
	t.Parallel()
	type want struct {
		kind       keyturn.BounceKind // empty: it is ignored
		status     string
		diagnostic string
		recipient  string
		refs       []string // nil: the usual one
	}
	all := map[string]want{
		"rfc3464-simple.eml": {
			keyturn.BounceUndeliverable, "4.0.0", "426 connection timed out", "louisl@larry.slip.umd.edu", nil,
		},
		"rfc3464-several.eml": {
			keyturn.BounceRefused, "5.0.0", "550 'arathib@vnet.IBM.COM' is not a registered gateway user",
			"arathib@vnet.ibm.com", nil,
		},
		"rfc3464-delayed.eml": {keyturn.BounceDelayed, "4.0.0", "", "thomas@de-montfort.ac.uk", nil},
		"rfc3464-relayed.eml": {},
		"postfix-unknown-user.eml": {
			keyturn.BounceBadAddress, "5.1.1", "550 5.1.1 <jean@buyer.test>: Recipient address rejected: User unknown in " +
				"local recipient table", "jean@buyer.test", nil,
		},
		"exim-unknown-user.eml": {
			keyturn.BounceBadAddress, "5.1.1", "550 5.1.1 <jean@buyer.test> User unknown", "jean@buyer.test", nil,
		},
		"mailbox-full.eml":              {keyturn.BounceRefused, "5.2.2", "552 5.2.2 mailbox full", "jean@buyer.test", nil},
		"mailbox-disabled.eml":          {keyturn.BounceBadAddress, "5.2.1", "", "jean@buyer.test", nil},
		"sender-refused.eml":            {keyturn.BounceRefused, "5.1.8", "", "jean@buyer.test", nil},
		"no-status.eml":                 {keyturn.BounceRefused, "", "", "jean@buyer.test", nil},
		"returned-without-envelope.eml": {keyturn.BounceBadAddress, "5.1.10", "", "jean@buyer.test", nil},
		"international.eml":             {keyturn.BounceBadAddress, "5.1.1", "", "jean@bücher.example", nil},
		"base64-report.eml":             {keyturn.BounceRefused, "5.7.1", "", "jean@buyer.test", nil},
		"rfc5965-abuse.eml":             {keyturn.BounceComplaint, "", "", "", nil},
		"rfc5965-not-spam.eml":          {},
		"vacation.eml":                  {},
		"person.eml":                    {keyturn.BounceUnknown, "", "", "", nil},
		"qmail.eml":                     {keyturn.BounceUnknown, "", "", "", nil},
		"no-mail.eml":                   {keyturn.BounceUnknown, "", "", "", []string{}},
	}
	files, err := filepath.Glob("testdata/*.eml")
	require.NoError(t, err)
	require.Len(t, files, len(all))
	for _, file := range files {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		w, known := all[filepath.Base(file)]
		require.True(t, known, file)
		got, ok := Parse(raw)
		require.Equal(t, w.kind != "", ok, file)
		if !ok {
			continue
		}
		refs := []string{ref}
		if w.refs != nil {
			refs = nil
		}
		require.Equal(t, db.BounceReport{
			Refs: refs, Kind: w.kind, Status: w.status, Diagnostic: w.diagnostic, Recipient: w.recipient,
		}, got, file)
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.eml")
	require.NoError(f, err)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, ok := Parse(raw)
		require.LessOrEqual(t, len(r.Refs), maxRefs)
		if ok {
			require.Contains(t, keyturn.BounceKinds, r.Kind)
		}
		require.Regexp(t, `^([245]\.\d{1,3}\.\d{1,3})?$`, r.Status)
	})
}

// A message as large as one may be, however it is made, costs neither much time nor much memory.
func TestParseBombs(t *testing.T) {
	const head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	nested := strings.Builder{}
	for nested.Len() < MaxMessage-1000 {
		nested.WriteString("Content-Type: multipart/mixed; boundary=b" + strings.Repeat("b", nested.Len()%60) +
			"\r\n\r\n--b" + strings.Repeat("b", nested.Len()%60) + "\r\n")
	}
	status := "Content-Type: message/delivery-status\r\n\r\n"
	for name, raw := range map[string]string{
		"parts in parts":      nested.String(),
		"many parts":          head + strings.Repeat("--b\r\n\r\n", MaxMessage/7),
		"many boundaries":     head + strings.Repeat("--b", MaxMessage/3),
		"one long line":       "Subject: " + strings.Repeat("x", MaxMessage),
		"a long header":       strings.Repeat("X-A: b\r\n", MaxMessage/8) + "\r\n",
		"many references":     strings.Repeat("To: "+ref+"\r\n", MaxMessage/43) + "\r\n",
		"a folded field":      "To: x\r\n" + strings.Repeat(" "+ref+"\r\n", MaxMessage/40) + "\r\n",
		"a long boundary":     "Content-Type: multipart/mixed; boundary=" + strings.Repeat("b", MaxMessage/2) + "\r\n\r\n" + strings.Repeat("b", MaxMessage/2),
		"many recipients":     status + strings.Repeat("Action: failed\r\nStatus: 5.1.1\r\n\r\n", MaxMessage/33),
		"many reports":        head + strings.Repeat("--b\r\n"+status+"Action: delayed\r\n\r\n", MaxMessage/70),
		"a report in base64":  "Content-Type: message/delivery-status\r\nContent-Transfer-Encoding: base64\r\n\r\n" + strings.Repeat("QUFB", MaxMessage/4),
		"a report in =":       "Content-Type: message/delivery-status\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + strings.Repeat("=\r\n", MaxMessage/3),
		"a type with options": "Content-Type: text/plain" + strings.Repeat("; a=b", MaxMessage/5) + "\r\n\r\n",
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		begun := time.Now()
		r, _ := Parse([]byte(raw)[:min(len(raw), MaxMessage)])
		took := time.Since(begun)
		runtime.ReadMemStats(&after)
		require.Less(t, took, 2*time.Second, name)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64<<20), name)
		require.LessOrEqual(t, len(r.Refs), maxRefs, name)
	}
}

func TestRefOf(t *testing.T) {
	t.Parallel()
	const address = "Bounce@mail.shop.example"
	for to, want := range map[string]string{
		"bounce+" + ref + "@mail.shop.example":                                 ref,
		strings.ToUpper("bounce+" + ref + "@mail.shop.example"):                ref,
		"bounce@mail.shop.example":                                             "",
		"bounce+" + ref + "@other.example":                                     "",
		"x-bounce+" + ref + "@mail.shop.example":                               "",
		"bounce+" + ref + "@mail.shop.example@mail.shop.example.attacker.test": "",
		"postmaster@mail.shop.example":                                         "",
		"":                                                                     "",
		string(bytes.Repeat([]byte("bounce+"), 1000)) + "@mail.shop.example.org": "",
	} {
		got, ok := refOf(address, to)
		require.Equal(t, want != "", ok, to)
		require.Equal(t, want, map[bool]string{true: got}[ok], to)
	}
}

func TestParseListen(t *testing.T) {
	t.Parallel()
	for text, lmtp := range map[string]bool{
		":2525": false, "127.0.0.1:25": false, "lmtp://:24": true, "lmtp://[::1]:24": true,
	} {
		address, is, err := ParseListen(text)
		require.NoError(t, err, text)
		require.Equal(t, lmtp, is, text)
		require.Equal(t, strings.TrimPrefix(text, lmtpScheme), address)
	}
	for _, text := range []string{"", "2525", "smtp://:25", ":", "lmtp://"} {
		_, _, err := ParseListen(text)
		require.Error(t, err, text)
	}
}
