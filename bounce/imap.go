package bounce

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"keyturn.dev/keyturn"
)

// Mailbox takes reports from a mailbox, which is looked at once a minute, and as soon as something comes where the
// server says so (IDLE). What was taken is moved to keyturn-done, what is not understood to keyturn-unknown. Any number
// of processes may look at the same mailbox.
type Mailbox struct {
	Books
	Account Account
	RootCAs *x509.CertPool // nil: the system's

	stepTime time.Duration // 0: stepTime
}

// Account is where a mailbox is.
type Account struct {
	Addr     string // host:port
	User     string
	Password keyturn.Secret
	Folder   string
	Plain    bool // without TLS: for development
}

// ParseIMAP reads imaps://user:password@host/INBOX; the port is 993 unless it says another. imap+plain:// is without
// TLS, which production refuses. KindInvalid, without the password.
func ParseIMAP(text string, production bool) (Account, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User == nil || u.Scheme != "imaps" && u.Scheme != "imap+plain" {
		return Account{}, keyturn.Errorf(keyturn.KindInvalid, "must look like imaps://user:password@mail.example.com/INBOX, "+
			"with signs such as @ in user and password percent-encoded")
	}
	if u.Scheme == "imap+plain" && production {
		return Account{}, keyturn.Errorf(keyturn.KindInvalid, "must use imaps://: passwords do not travel in the clear")
	}
	password, _ := u.User.Password()
	a := Account{
		User: u.User.Username(), Password: keyturn.Secret(password), Folder: strings.Trim(u.Path, "/"),
		Plain: u.Scheme == "imap+plain", Addr: u.Host,
	}
	if a.Folder == "" {
		a.Folder = "INBOX"
	}
	if u.Port() == "" {
		a.Addr = u.Hostname() + ":993"
	}
	return a, nil
}

const (
	lookEvery = time.Minute
	mostRound = 200 // messages of one look
	// stepTime bounds signing in, a look, and a wait: the client itself waits for an answer for as long as it takes.
	stepTime = 5 * time.Minute

	doneFolder    = "keyturn-done"
	unknownFolder = "keyturn-unknown"
)

// Run looks until ctx ends.
func (m *Mailbox) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := m.attend(ctx); err != nil && ctx.Err() == nil {
			m.Logger.Warn("the mailbox of reports about e-mails cannot be read; it is tried again in a minute", "server",
				m.Account.Addr, "folder", m.Account.Folder, "error", err)
		}
		pause(ctx, lookEvery, nil)
	}
}

// pause waits, until something comes or ctx ends at most.
func pause(ctx context.Context, d time.Duration, news <-chan struct{}) {
	select {
	case <-ctx.Done():
	case <-news:
	case <-time.After(d):
	}
}

// attend looks at the mailbox over and over, on one connection.
func (m *Mailbox) attend(ctx context.Context) error {
	news := make(chan struct{}, 1)
	client, err := m.open(func() {
		select {
		case news <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	defer context.AfterFunc(ctx, func() { _ = client.Close() })()
	most := cmp.Or(m.stepTime, stepTime)
	silent := time.AfterFunc(most, func() { _ = client.Close() })
	defer silent.Stop()
	prefix, err := m.signIn(client)
	for err == nil && ctx.Err() == nil {
		silent.Reset(most)
		if err = m.round(ctx, client, prefix); err == nil {
			silent.Reset(most)
			err = m.await(ctx, client, news)
		}
	}
	return err
}

// open connects.
func (m *Mailbox) open(changed func()) (*imapclient.Client, error) {
	options := &imapclient.Options{
		TLSConfig: &tls.Config{RootCAs: m.RootCAs, MinVersion: tls.VersionTLS12},
		UnilateralDataHandler: &imapclient.UnilateralDataHandler{
			Mailbox: func(*imapclient.UnilateralDataMailbox) { changed() },
		},
	}
	if m.Account.Plain {
		return imapclient.DialInsecure(m.Account.Addr, options)
	}
	return imapclient.DialTLS(m.Account.Addr, options)
}

// signIn signs in, makes the folders and selects the mailbox. It gives what the names of folders begin with.
func (m *Mailbox) signIn(c *imapclient.Client) (prefix string, err error) {
	if err := c.Login(m.Account.User, m.Account.Password.Reveal()).Wait(); err != nil {
		return "", fmt.Errorf("sign in: %w", err)
	}
	if c.Caps().Has(imap.CapNamespace) {
		if names, err := c.Namespace().Wait(); err == nil && len(names.Personal) > 0 {
			prefix = names.Personal[0].Prefix
		}
	}
	for _, folder := range []string{doneFolder, unknownFolder} {
		if _, err := c.Status(prefix+folder, &imap.StatusOptions{NumMessages: true}).Wait(); err == nil {
			continue
		}
		if err := c.Create(prefix+folder, nil).Wait(); err != nil {
			return "", fmt.Errorf("make the folder %s: %w", prefix+folder, err)
		}
	}
	_, err = c.Select(m.Account.Folder, nil).Wait()
	return prefix, err
}

// await waits until something comes, or for a minute.
func (m *Mailbox) await(ctx context.Context, c *imapclient.Client, news <-chan struct{}) error {
	if !c.Caps().Has(imap.CapIdle) {
		pause(ctx, lookEvery, nil)
		return c.Noop().Wait()
	}
	idle, err := c.Idle()
	if err != nil {
		return err
	}
	pause(ctx, lookEvery, news)
	if err := idle.Close(); err != nil {
		return err
	}
	return idle.Wait()
}

// round takes the messages that are there.
func (m *Mailbox) round(ctx context.Context, c *imapclient.Client, prefix string) error {
	found, err := c.UIDSearch(&imap.SearchCriteria{NotFlag: []imap.Flag{imap.FlagDeleted}}, nil).Wait()
	if err != nil {
		return err
	}
	uids := found.AllUIDs()
	for _, uid := range uids[:min(len(uids), mostRound)] {
		raw, err := fetch(c, uid)
		if err != nil {
			return err
		}
		folder := unknownFolder
		if raw != nil { // else it is too large, or another process has moved it
			understood, err := m.take(ctx, keyturn.InletIMAP, raw)
			if err != nil {
				return err
			}
			if understood {
				folder = doneFolder
			}
		}
		if _, err := c.Move(imap.UIDSetNum(uid), prefix+folder).Wait(); err != nil {
			return fmt.Errorf("move a message to %s: %w", prefix+folder, err)
		}
	}
	return nil
}

// fetch gives a message, or nil for one that is gone or too large.
func fetch(c *imapclient.Client, uid imap.UID) ([]byte, error) {
	sizes, err := c.Fetch(imap.UIDSetNum(uid), &imap.FetchOptions{UID: true, RFC822Size: true}).Collect()
	if err != nil || len(sizes) == 0 || sizes[0].RFC822Size > MaxMessage {
		return nil, err
	}
	body := &imap.FetchItemBodySection{Peek: true}
	messages, err := c.Fetch(imap.UIDSetNum(uid), &imap.FetchOptions{
		UID: true, BodySection: []*imap.FetchItemBodySection{body},
	}).Collect()
	if err != nil || len(messages) == 0 {
		return nil, err
	}
	return messages[0].FindBodySection(body), nil
}
