package survive_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/devstack/inbox"
	"keyturn.dev/keyturn/internal/testkit"
)

// systemctlScript plays systemd for the units that the page writes: it starts what ExecStart says with the settings of
// EnvironmentFile, stops it by SIGTERM, and fails if a process does not end well within TimeoutStopSec.
const systemctlScript = `#!/bin/bash
set -euo pipefail
field() { sed -n "s/^$2=//p" "$PLAY_UNITS/$1.service"; }
start() { (set -a; . "$(field "$1" EnvironmentFile)"; set +a; unset KEYTURN_API KEYTURN_TOKEN_FILE
  # shellcheck disable=SC2046
  $(field "$1" ExecStart) & pid=$!; echo $pid > "$PLAY_DIR/$1.pid"
  code=0; wait $pid || code=$?; echo $code > "$PLAY_DIR/$1.code") >> "$PLAY_DIR/$1.log" 2>&1 < /dev/null &
  until [ -s "$PLAY_DIR/$1.pid" ]; do sleep 0.05; done; }
stop() { kill -TERM "$(cat "$PLAY_DIR/$1.pid")"; left=$(($(field "$1" TimeoutStopSec) * 10))
  until [ -s "$PLAY_DIR/$1.code" ]; do sleep 0.1; left=$((left - 1)); [ $left -gt 0 ]; done
  [ "$(cat "$PLAY_DIR/$1.code")" = 0 ]; rm "$PLAY_DIR/$1.pid" "$PLAY_DIR/$1.code"; }
verb=$1; shift
for unit in "$@"; do
  case $verb:$unit in
    enable:--now) ;;
    enable:*) start "$unit" ;;
    stop:*) stop "$unit" ;;
    restart:*) stop "$unit"; start "$unit" ;;
    *) echo "the page's systemctl cannot $verb" >&2; exit 1 ;;
  esac
done
`

// The page's way from an empty host to a delivered key, word by word: what a reader copies is what the test runs, in
// production mode, with a mail server that speaks TLS.
func TestInstallPageWordByWord(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/run/install.md")
	require.NoError(t, err)
	var blocks []string
	for _, m := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```").FindAllStringSubmatch(string(page), -1) {
		blocks = append(blocks, m[1])
	}
	require.Greater(t, len(blocks), 10)

	dir := t.TempDir()
	certified := httptest.NewUnstartedServer(nil)
	certified.StartTLS() // for its certificate
	t.Cleanup(certified.Close)
	trusted := filepath.Join(dir, "ca.pem")
	require.NoError(t, os.WriteFile(trusted, pem.EncodeToMemory(&pem.Block{
		Type: "CERTIFICATE", Bytes: certified.Certificate().Raw,
	}), 0o600))
	mails := inbox.New(inbox.Config{
		SMTPAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0",
		TLS: &tls.Config{Certificates: certified.TLS.Certificates, MinVersion: tls.VersionTLS12},
	})
	require.NoError(t, mails.Start())
	t.Cleanup(func() { _ = mails.Close() })

	name := "install_" + strings.ToLower(rand.Text()[:8])
	admin, err := url.Parse(testkit.Postgres(t, "", nil))
	require.NoError(t, err)
	me, err := user.Current()
	require.NoError(t, err)
	port := freePorts(t, 3)
	values := map[string]string{
		"OWNER": me.Username, "BIN": dir + "/sbin", "ETC": dir + "/etc", "UNITS": dir + "/units", "BACKUPS": dir + "/backups",
		"DOMAIN": "keys.shop.test", "LISTEN": fmt.Sprint("127.0.0.1:", port),
		"API_HEALTH": fmt.Sprint("127.0.0.1:", port+1), "WORKER_HEALTH": fmt.Sprint("127.0.0.1:", port+2),
		"ADMIN_DATABASE_URL": admin.String(), "DATABASE": name, "DATABASE_ADDRESS": admin.Host,
		"DATABASE_OPTIONS": "sslmode=disable", "TEMPORAL_ADDRESS": testkit.Temporal(t),
		"TEMPORAL_NAMESPACE": strings.ReplaceAll(name, "_", "-"), "SMTP_URL": "smtp://" + mails.SMTPAddr(),
		"MAIL_FROM": "keys@shop.test", "OPERATIONS_MAIL": "ops@shop.test", "BUYER_MAIL": "jean@buyer.test",
	}
	var own strings.Builder
	for _, m := range regexp.MustCompile(`(?m)^(\w+)=`).FindAllStringSubmatch(blocks[0], -1) {
		require.Contains(t, values, m[1], "the page asks for a value")
		fmt.Fprintf(&own, "%s='%s'\n", m[1], values[m[1]])
		delete(values, m[1])
	}
	require.Empty(t, values, "every value is one that the page asks for")

	for _, d := range []string{"units", "play", "checkout/bin", "path"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, d), 0o700))
	}
	require.NoError(t, os.Symlink(binary, filepath.Join(dir, "checkout/bin/keyturn"))) // as make keyturn leaves it
	require.NoError(t, os.Symlink(filepath.Join(filepath.Dir(binary), "temporal"), filepath.Join(dir, "path/temporal")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "path/systemctl"), []byte(systemctlScript), 0o700))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	script := own.String() + "set -x\n" + strings.Join(blocks[1:], "\n")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "page.sh"), []byte(script), 0o600))
	shell := exec.CommandContext(ctx, "bash", filepath.Join(dir, "page.sh"))
	shell.Dir = filepath.Join(dir, "checkout")
	shell.Env = []string{
		"PATH=" + filepath.Join(dir, "path") + ":" + os.Getenv("PATH"), "HOME=" + dir, "SSL_CERT_FILE=" + trusted,
		"LD_LIBRARY_PATH=" + os.Getenv("LD_LIBRARY_PATH"),
		"PLAY_DIR=" + filepath.Join(dir, "play"), "PLAY_UNITS=" + filepath.Join(dir, "units"),
	}
	t.Cleanup(func() { // what a page that failed half-way left behind
		clean := exec.Command("bash", "-c", `for p in "$1"/*.pid; do [ -e "$p" ] && kill -9 "$(cat "$p")"; done; `+
			`psql "$2" -qc "DROP DATABASE IF EXISTS \"$3\" WITH (FORCE)" -c "DROP ROLE IF EXISTS \"$3\""`,
			"bash", filepath.Join(dir, "play"), admin.String(), name)
		out, _ := clean.CombinedOutput()
		t.Log(string(out))
	})
	out, err := shell.CombinedOutput()
	logs := ""
	for _, unit := range []string{"keyturn-api", "keyturn-worker"} {
		text, _ := os.ReadFile(filepath.Join(dir, "play", unit+".log"))
		logs += unit + ":\n" + string(text)
	}
	require.NoError(t, err, "%s\n%s", out, logs)

	var delivered []string
	for _, m := range mails.Messages() {
		raw, ok := mails.Raw(m.ID)
		require.True(t, ok)
		if strings.Contains(string(raw), "ORBIT-1111-AAAA") {
			delivered = append(delivered, strings.Join(m.To, ","))
		}
	}
	require.Equal(t, []string{"jean@buyer.test"}, delivered, "the first key is in the buyer's mailbox, once\n%s", logs)
	info, err := os.Stat(filepath.Join(dir, "etc/keys.json"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	for line := range strings.Lines(logs) {
		require.NotContains(t, line, `"level":"ERROR"`)
	}
}
