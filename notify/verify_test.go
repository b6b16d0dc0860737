package notify_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/notify"
)

// languages are those of the page, each with what makes a program of its function. Arguments are the secret, and ID,
// time, signatures and body of each request; it prints a line for each.
var languages = []struct {
	name, file string
	run        string
	old, new   string
	end        string
}{
	{
		name: "go", file: "main.go", run: "go run", old: "import (", new: "package main\nimport (\n\"fmt\"\n\"os\"",
		end: `func main() {
				for a := os.Args[2:]; len(a) > 0; a = a[4:] { fmt.Println(verify(os.Args[1], a[0], a[1], a[2], a[3])) }
			}`,
	},
	{
		name: "python", file: "main.py", run: "python3",
		end: "import sys\na = sys.argv[2:]\nfor i in range(0, len(a), 4):\n" +
			"    print(str(verify(sys.argv[1], a[i], a[i+1], a[i+2], a[i+3].encode())).lower())\n",
	},
	{
		name: "js", file: "main.js", run: "node",
		end: "const a = process.argv.slice(3);\nfor (let i = 0; i < a.length; i += 4)\n" +
			"  console.log(verify(process.argv[2], a[i], a[i+1], a[i+2], a[i+3]));\n",
	},
	{
		name: "java", file: "Main.java", run: "java", old: "class Webhook {", // the first class has the program
		new: `class Main {
				public static void main(String[] a) throws Exception {
					for (int i = 1; i < a.length; i += 4)
						System.out.println(Webhook.verify(a[0], a[i], a[i+1], a[i+2], a[i+3].getBytes("UTF-8")));
				}
			}
			class Webhook {`,
	},
	{
		name: "php", file: "main.php", run: "php", old: "function verify", new: "<?php\nfunction verify",
		end: "for ($i = 2; $i < $argc; $i += 4)\n" +
			"  echo verify($argv[1], $argv[$i], $argv[$i+1], $argv[$i+2], $argv[$i+3]) ? 'true' : 'false', \"\\n\";\n",
	},
}

// The functions of the page take what Keyturn signs, also during a rotation, and nothing else.
func TestThePageVerifiesInEachLanguage(t *testing.T) {
	page, err := os.ReadFile("../docs/use/notifications.md")
	require.NoError(t, err)
	secret, other := keyturn.NewWebhookSecret(), keyturn.NewWebhookSecret()
	args, want := []string{secret}, []string{}
	add := func(good bool, at time.Time, body string, secrets ...string) {
		h := notify.Header("evt_1", at, `{"type":"order.created","data":{"orderId":"ORD-é"}}`, secrets)
		args = append(args, h.Get("Webhook-Id"), h.Get("Webhook-Timestamp"), h.Get("Webhook-Signature"), body)
		want = append(want, strconv.FormatBool(good))
	}
	now, body := time.Now(), `{"type":"order.created","data":{"orderId":"ORD-é"}}`
	add(true, now, body, secret)
	add(true, now, body, other, secret)
	add(false, now, body, other)
	add(false, now, body)
	add(false, now, body+" ", secret)
	add(false, now.Add(-time.Hour), body, secret)
	add(false, now.Add(time.Hour), body, secret)
	for _, l := range languages {
		t.Run(l.name, func(t *testing.T) {
			found := regexp.MustCompile("(?s)```" + l.name + "\n(.*?)```").FindSubmatch(page)
			require.NotNil(t, found, "the page has no %s", l.name)
			run := strings.Fields(l.run)
			if _, err := exec.LookPath(run[0]); err != nil {
				t.Skipf("%s is not installed", run[0])
			}
			code := string(found[1])
			if l.old != "" {
				code = strings.Replace(code, l.old, l.new, 1)
			}
			path := filepath.Join(t.TempDir(), l.file)
			require.NoError(t, os.WriteFile(path, []byte(code+"\n"+l.end), 0o600))
			run = append(append(run, path), args...)
			cmd := exec.CommandContext(t.Context(), run[0], run[1:]...)
			cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
			out, err := cmd.Output()
			require.NoError(t, err)
			require.Equal(t, want, strings.Fields(string(out)))
		})
	}
}
