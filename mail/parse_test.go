package mail_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	netmail "net/mail"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/mail"
)

// content is a complete one; tests change what they are about.
func content() mail.Content {
	return mail.Content{
		Envelope: mail.Envelope{
			From: "keys@shop.test", SenderName: "Acme Store", ReplyTo: "help@shop.test", To: "jean@buyer.test",
			MessageID: "0198c2d4-7a5e-7000-8000-000000000001.1@shop.test",
			Date:      time.Date(2026, 3, 4, 11, 30, 0, 123, time.FixedZone("CET", 3600)),
		},
		Locale: "en-GB", OrderID: "ORD-2026-000123", OrderedAt: time.Date(2026, 3, 4, 10, 0, 0, 0, time.UTC),
		OrderPage: "https://shop.test/o/qwertz", ProductID: "acme-pro", ProductName: "Acme Pro Edition",
		ProductShort: "Acme Pro",
		Quantity:     2, UnitPrice: euro(1500), TotalPrice: euro(2999),
		Customer: mail.Customer{
			FirstName: "Jean", LastName: "Dupont", Email: "jean@buyer.test", Phone: "+33 1 23", Company: "Acme SAS",
			Country: "FR", City: "Paris", Zip: "75001", Address: "1 rue de la Paix",
		},
		AdditionalInfo: "second floor", Keys: []string{"AAAA-BBBB-CCCC"}, ParentKey: "OLD-KEY",
		InstructionsURL: "https://acme.test/howto", DownloadURL: "https://acme.test/dl?a=1&b=2",
	}
}

// shop is one with everything that a mail shows of it.
func shop() mail.Shop {
	return mail.Shop{
		Logo:   mail.Logo{URL: "https://shop.test/images/" + strings.Repeat("0a", 32), Width: 600, Height: 120},
		Color:  "#7a1fa2",
		Seller: "Acme Store Ltd, 1 Main Street, Dublin, Ireland", Contact: "help@shop.test",
		Terms: "https://shop.test/terms", Privacy: "https://shop.test/privacy", Imprint: "https://shop.test/imprint",
	}
}

func euro(minor int64) keyturn.Money { return keyturn.Money{Minor: minor, Currency: "EUR"} }

type file struct{ name, contentType, data string }

// parsed is a message as a mail reader sees it.
type parsed struct {
	header     netmail.Header
	subject    string
	text, html string
	files      []file
}

type fataler interface {
	require.TestingT
	Helper()
}

// parse reads a message with the standard library only and checks what must hold for every message.
func parse(t fataler, m mail.Message) parsed {
	t.Helper()
	require.NotContains(t, strings.ReplaceAll(string(m.Data), "\r\n", ""), "\n")
	require.NotContains(t, strings.ReplaceAll(string(m.Data), "\r\n", ""), "\r")
	for _, line := range strings.Split(string(m.Data), "\r\n") {
		require.LessOrEqual(t, len(line), 998, "RFC 5322 §2.1.1")
		require.Regexp(t, `^[ -~\t]*$`, line, "ASCII only")
	}
	read, err := netmail.ReadMessage(bytes.NewReader(m.Data))
	require.NoError(t, err)
	allowed := []string{
		"From", "To", "Reply-To", "Subject", "Date", "Message-Id", "Mime-Version", "Auto-Submitted",
		"Content-Type", "X-Keyturn-Ref",
	}
	for name, values := range read.Header {
		require.Contains(t, allowed, name)
		require.Len(t, values, 1, name)
	}
	to, err := read.Header.AddressList("To")
	require.NoError(t, err)
	require.Equal(t, []*netmail.Address{{Address: m.To}}, to)
	from, err := read.Header.AddressList("From")
	require.NoError(t, err)
	require.Len(t, from, 1)
	require.Equal(t, m.From, from[0].Address)
	require.Equal(t, "<"+m.MessageID+">", read.Header.Get("Message-Id"))
	require.Equal(t, "auto-generated", read.Header.Get("Auto-Submitted"))
	_, err = read.Header.Date()
	require.NoError(t, err)

	p := parsed{header: read.Header}
	p.subject, err = new(mime.WordDecoder).DecodeHeader(read.Header.Get("Subject"))
	require.NoError(t, err)
	p.walk(t, read.Header.Get("Content-Type"), read.Body)
	return p
}

func (p *parsed) walk(t fataler, contentType string, body io.Reader) {
	kind, params, err := mime.ParseMediaType(contentType)
	require.NoError(t, err)
	require.Contains(t, []string{"multipart/mixed", "multipart/alternative"}, kind)
	reader := multipart.NewReader(body, params["boundary"])
	for {
		part, err := reader.NextPart()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
		kind := part.Header.Get("Content-Type")
		if strings.HasPrefix(kind, "multipart/") {
			p.walk(t, kind, part)
			continue
		}
		data, err := io.ReadAll(part)
		require.NoError(t, err)
		switch {
		case part.FileName() != "":
			decoded, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(string(data), "\r\n", ""))
			require.NoError(t, err)
			p.files = append(p.files, file{part.FileName(), kind, string(decoded)})
		case kind == "text/plain; charset=utf-8":
			p.text = strings.ReplaceAll(string(data), "\r\n", "\n")
		case kind == "text/html; charset=utf-8":
			p.html = strings.ReplaceAll(string(data), "\r\n", "\n")
		default:
			require.Fail(t, "a part of kind "+kind)
		}
	}
}

func render(t *testing.T, tpl mail.Template, c mail.Content) parsed {
	t.Helper()
	m, err := mail.RenderKeys(tpl, c)
	require.NoError(t, err)
	return parse(t, m)
}
