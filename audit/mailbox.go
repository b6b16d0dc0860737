package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"keyturn.dev/keyturn"
)

// Letter is an e-mail that arrived: its envelope, which is not in its bytes.
type Letter struct {
	ID       string    `json:"id"`
	To       []string  `json:"to"`
	Received time.Time `json:"received"`
}

// Mailbox shows what arrived.
type Mailbox interface {
	List(ctx context.Context) ([]Letter, error)
	// Raw gives the bytes of a letter as they came.
	Raw(ctx context.Context, id string) ([]byte, error)
}

// OpenMailbox finds the mailbox at the address of an inbox's API (http://127.0.0.1:8025) or in its folder.
func OpenMailbox(at string) (Mailbox, error) {
	if u, err := url.Parse(at); err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
		return inboxAPI{base: strings.TrimSuffix(at, "/")}, nil
	}
	if info, err := os.Stat(at); err != nil || !info.IsDir() {
		return nil, keyturn.Errorf(keyturn.KindInvalid,
			"the mailbox must be the address of an inbox (http://127.0.0.1:8025), its folder or a folder of .eml files, not %s", at)
	}
	return inboxFolder{dir: at}, nil
}

type inboxAPI struct{ base string }

const inboxPage = 1000

// List pages through the list, newest first; a letter that comes meanwhile moves others to a later page, where they are
// seen again and not missed.
func (m inboxAPI) List(ctx context.Context) ([]Letter, error) {
	var out []Letter
	known := map[string]bool{}
	for start := 0; ; start += inboxPage {
		text, err := fetch(ctx, fmt.Sprintf("%s/api/v1/messages?start=%d&limit=%d", m.base, start, inboxPage))
		if err != nil {
			return nil, err
		}
		var page struct {
			Total    int      `json:"total"`
			Messages []Letter `json:"messages"`
		}
		if err := json.Unmarshal(text, &page); err != nil {
			return nil, keyturn.Errorf(keyturn.KindBadReply, "%s does not answer like an inbox: %w", m.base, err)
		}
		for _, l := range page.Messages {
			if !known[l.ID] {
				known[l.ID], out = true, append(out, l)
			}
		}
		if start+inboxPage >= page.Total {
			return out, nil
		}
	}
}

func (m inboxAPI) Raw(ctx context.Context, id string) ([]byte, error) {
	return fetch(ctx, m.base+"/api/v1/message/"+url.PathEscape(id)+"/raw")
}

// inboxFolder reads the .eml files of a folder: an inbox's, whether it runs or not, with a line of the envelope before
// the letter, or those that a mail client or server has saved.
type inboxFolder struct{ dir string }

const (
	envelopeHeader = "X-Inbox-Envelope: "
	letterSuffix   = ".eml"
)

func (m inboxFolder) List(ctx context.Context) ([]Letter, error) {
	files, err := os.ReadDir(m.dir)
	if err != nil {
		return nil, fmt.Errorf("read the mailbox: %w", err)
	}
	var out []Letter
	for _, f := range files {
		id, isLetter := strings.CutSuffix(f.Name(), letterSuffix)
		if !isLetter {
			continue
		}
		envelope, _, err := m.read(id)
		if err != nil {
			continue // no e-mail, or one that was just deleted
		}
		out = append(out, envelope)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (m inboxFolder) Raw(_ context.Context, id string) ([]byte, error) {
	_, data, err := m.read(id)
	return data, err
}

func (m inboxFolder) read(id string) (Letter, []byte, error) {
	content, err := os.ReadFile(filepath.Join(m.dir, id+letterSuffix))
	if err != nil {
		return Letter{}, nil, err
	}
	first, data, _ := bytes.Cut(content, []byte("\r\n"))
	head, isOurs := bytes.CutPrefix(first, []byte(envelopeHeader))
	if !isOurs {
		return savedLetter(id, content)
	}
	l := Letter{}
	err = json.Unmarshal(head, &l)
	l.ID = id
	return l, data, err
}

// savedLetter is a letter without an envelope. On their way, servers put fields before those that the letter was sent
// with (RFC 5321, 4.4): they say to whom it went and when it came, and are no part of it. Line ends may have become LF.
func savedLetter(id string, content []byte) (Letter, []byte, error) {
	data := bytes.ReplaceAll(bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
	m, err := mail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		return Letter{}, nil, keyturn.Errorf(keyturn.KindInvalid, "%s is no e-mail", id+letterSuffix)
	}
	l := Letter{ID: id}
	for _, name := range []string{"Delivered-To", "X-Original-To", "To"} {
		if to, err := m.Header.AddressList(name); err == nil && len(to) == 1 {
			l.To = []string{to[0].Address}
			break
		}
	}
	_, stamp, _ := strings.Cut(m.Header.Get("Received"), ";")
	if l.Received, err = mail.ParseDate(strings.TrimSpace(stamp)); err != nil {
		l.Received, _ = m.Header.Date() // when it was written: it cannot be known to be late
	}
	if at := ownHeader.FindIndex(data); at != nil {
		data = data[at[0]:]
	}
	return l, data, nil
}

// ownHeader is the first field of every letter of ours.
var ownHeader = regexp.MustCompile(`(?m)^From: `)

// maxFetched bounds one answer of an evidence server.
const maxFetched = 1 << 30

// fetch reads an address of an evidence server.
func fetch(ctx context.Context, address string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, keyturn.Errorf(keyturn.KindInvalid, "%s is no address: %w", address, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, keyturn.Errorf(keyturn.KindUnavailable, "%s does not answer: %w", address, err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxFetched))
	if err != nil {
		return nil, keyturn.Errorf(keyturn.KindUnavailable, "%s stopped in the middle of its answer: %w", address, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, keyturn.Errorf(keyturn.KindUnavailable, "%s answers %s", address, resp.Status)
	}
	return text, nil
}
