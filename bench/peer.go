package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"

	"keyturn.dev/keyturn/devstack/emulator"
	"keyturn.dev/keyturn/devstack/inbox"
)

// Peer is a process that plays the partner and the mail server, so that their cost is not counted. It implements
// Partner.
type Peer struct {
	Partner string `json:"partner"` // address of the emulator
	SMTP    string `json:"smtp"`    // host and port of the mail server
	cmd     *exec.Cmd
	stdin   io.Closer
}

// StartPeer runs this program with arguments that lead to ServePeer. The caller stops it.
func StartPeer(ctx context.Context, args ...string) (*Peer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &Peer{cmd: exec.CommandContext(ctx, self, args...)} //nolint:gosec // ourselves
	p.cmd.Stderr = os.Stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("the process with the partner and the mail server did not start: %w", err)
	}
	return p, json.Unmarshal(line, p)
}

// Stop ends the process and waits for it.
func (p *Peer) Stop() {
	_ = p.stdin.Close()
	_ = p.cmd.Wait()
}

// ServePeer plays partner and mail server until in ends. It writes their addresses to out as one line of JSON.
func ServePeer(in io.Reader, out io.Writer) error {
	mailbox := inbox.New(inbox.Config{SMTPAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0", MaxMessages: 100})
	if err := mailbox.Start(); err != nil {
		return err
	}
	partner := emulator.New(emulator.Config{Addr: "127.0.0.1:0", Cheap: true})
	if err := partner.Start(); err != nil {
		return err
	}
	line, err := json.Marshal(Peer{Partner: partner.URL(), SMTP: mailbox.SMTPAddr()})
	if err != nil {
		return err
	}
	fmt.Fprintln(out, string(line))
	_, _ = io.Copy(io.Discard, in)
	_ = partner.Close()
	return mailbox.Close()
}

// URL is the address of a partner of this name.
func (p *Peer) URL(name string) string { return p.Partner + "/p/" + name }

// Drill makes a partner fail in the way that the emulator knows by this name.
func (p *Peer) Drill(ctx context.Context, name, drill string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.Partner+"/_emulator/partners/"+name+"/drill",
		strings.NewReader(url.Values{"drill": {drill}}.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusSeeOther {
		return fmt.Errorf("the emulator did not take the drill %s: HTTP %d", drill, resp.StatusCode)
	}
	return nil
}

// Stats are what a partner has counted.
func (p *Peer) Stats(ctx context.Context, name string) (emulator.Stats, error) {
	var view struct {
		Stats emulator.Stats `json:"stats"`
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Partner+"/_emulator/partners/"+name, http.NoBody)
	if err != nil {
		return view.Stats, err
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return view.Stats, err
	}
	defer func() { _ = resp.Body.Close() }()
	return view.Stats, json.NewDecoder(resp.Body).Decode(&view)
}
