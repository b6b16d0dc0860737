//go:build chaos

package survive_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// clockEnv is how many seconds the wall clock of a process of wrongClockBuild is ahead.
const clockEnv = "KEYTURN_CHAOS_CLOCK"

// skewedNow is what wrongClockBuild adds to Go's package time. It reads the environment by itself: whatever it could
// use imports time.
const skewedNow = `package time

import "syscall"

var chaosSkew = func() (n int64) {
	text, _ := syscall.Getenv("` + clockEnv + `")
	sign := int64(1)
	for _, c := range []byte(text) {
		if c == '-' {
			sign = -1
			continue
		}
		n = 10*n + int64(c-'0')
	}
	return sign * n
}()
`

// wrongClockBuild is this build of Keyturn with a wall clock that can be set. The clock of a machine is everybody's, a
// program without libc cannot be given another one from outside, and no setting of the product has to be there for the
// laboratory: the compiler is given another time.Now.
var wrongClockBuild = sync.OnceValues(func() (string, error) {
	dir := filepath.Dir(binary) // it is removed at the end
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("ask for GOROOT: %w", err)
	}
	original := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	text, err := os.ReadFile(original)
	if err != nil {
		return "", err
	}
	const at = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	if strings.Count(string(text), at) != 1 {
		return "", fmt.Errorf("time.Now of this version of Go is not the one that is known; see %s", original)
	}
	files := map[string]string{
		"time.go": strings.Replace(string(text), at, at+"\tsec += chaosSkew\n", 1),
		"skew.go": skewedNow,
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {
		original: filepath.Join(dir, "time.go"),
		filepath.Join(filepath.Dir(original), "zz_chaos_skew.go"): filepath.Join(dir, "skew.go"),
	}})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		return "", err
	}
	program := filepath.Join(dir, "keyturn-wrong-clock")
	build := exec.CommandContext(context.Background(), "go", "build", "-trimpath", "-buildvcs=false",
		"-overlay="+filepath.Join(dir, "overlay.json"), "-o", program, "keyturn.dev/keyturn/cmd/keyturn")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build keyturn with another clock: %w\n%s", err, out)
	}
	return program, nil
})

// wrongClock runs a process for a while whose clock is ahead of the database's, or behind it.
func wrongClock(off time.Duration, said string, parts ...string) fault {
	kind := "clock: " + said + " off the database's"
	return fault{kind: kind, parts: parts, fire: func(l *lab, rng *rand.Rand, on *part) bool {
		program, err := wrongClockBuild()
		if err != nil {
			l.t.Error(err)
			return false
		}
		seconds := int64(off.Seconds())
		if rng.Intn(2) == 0 {
			seconds = -seconds
		}
		begun := time.Now()
		l.stopKeyturn(on.name)
		l.startKeyturn(on.name, program, fmt.Sprintf("%s=%d", clockEnv, seconds))
		ok := l.working(on.name)
		if on.name != "api" { // a worker says so itself as soon as it looks
			l.becomes(3*patience, `SELECT EXISTS (SELECT FROM alerts WHERE cause = 'ClockSkew'
				AND coalesce(heard_at, opened_at) > $1)`, begun)
		}
		time.Sleep(short(rng, 3000, 6000))
		l.stopKeyturn(on.name)
		on.start()
		return ok
	}}
}
