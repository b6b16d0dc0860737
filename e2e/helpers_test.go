package e2e_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"strings"

	"github.com/stretchr/testify/require"
)

// sql reads one value with a connection of the test's own.
func (s *stack) sql(out any, query string, args ...any) error {
	return s.reader.QueryRow(query, args...).Scan(out)
}

// exec changes the database behind the application's back.
func (s *stack) exec(query string, args ...any) {
	s.t.Helper()
	tx, err := s.reader.Begin()
	require.NoError(s.t, err)
	_, err = tx.Exec(query, args...)
	require.NoError(s.t, err)
	require.NoError(s.t, tx.Commit())
}

// texts reads one column.
func (s *stack) texts(query string, args ...any) []string {
	s.t.Helper()
	rows, err := s.reader.Query(query, args...)
	require.NoError(s.t, err)
	defer func() { _ = rows.Close() }()
	out := []string{}
	for rows.Next() {
		var text string
		require.NoError(s.t, rows.Scan(&text))
		out = append(out, text)
	}
	require.NoError(s.t, rows.Err())
	return out
}

func (s *stack) count(query string, args ...any) int {
	s.t.Helper()
	var n int
	require.NoError(s.t, s.sql(&n, query, args...))
	return n
}

// plainSpaces makes no-break spaces, as amounts have them, ordinary ones.
var plainSpaces = strings.NewReplacer("\u00a0", " ", "\u202f", " ")

// letter is an e-mail as its reader sees it, with ordinary spaces.
type letter struct {
	To, Subject, MessageID, Text, Raw string
}

// letters are the e-mails that arrived at an address.
func (s *stack) letters(to string) []letter {
	s.t.Helper()
	var out []letter
	for _, m := range s.inbox.Messages() {
		raw, ok := s.inbox.Raw(m.ID)
		require.True(s.t, ok)
		parsed, err := netmail.ReadMessage(bytes.NewReader(raw))
		require.NoError(s.t, err)
		if !strings.Contains(parsed.Header.Get("To"), to) {
			continue
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(parsed.Header.Get("Subject"))
		require.NoError(s.t, err)
		out = append(out, letter{
			To: to, Subject: plainSpaces.Replace(subject), MessageID: parsed.Header.Get("Message-Id"), Raw: string(raw),
			Text: plainSpaces.Replace(textOf(s, parsed.Header.Get("Content-Type"),
				parsed.Header.Get("Content-Transfer-Encoding"), parsed.Body)),
		})
	}
	return out
}

func textOf(s *stack, contentType, encoding string, body io.Reader) string {
	s.t.Helper()
	kind, params, err := mime.ParseMediaType(contentType)
	require.NoError(s.t, err)
	if strings.HasPrefix(kind, "multipart/") {
		text := ""
		parts := multipart.NewReader(body, params["boundary"])
		for {
			p, err := parts.NextRawPart()
			if err != nil {
				return text
			}
			text += textOf(s, p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p)
		}
	}
	switch encoding {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	plain, err := io.ReadAll(body)
	require.NoError(s.t, err)
	return string(plain)
}
