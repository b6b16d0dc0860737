package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"keyturn.dev/keyturn/devstack/debian"
)

// programs is one installation of PostgreSQL's programs.
type programs struct {
	bin   string
	major int
	libs  []string // where an unpacked installation has its libraries
}

const oldestMajor = 14

func (p *programs) path(name string) string { return filepath.Join(p.bin, name) }

// env is what the programs need around them. The messages in the log are ours to read, so they are in English.
func (p *programs) env() []string {
	env := []string{"LC_ALL=C"}
	if len(p.libs) > 0 {
		env = append(env, "LD_LIBRARY_PATH="+strings.Join(p.libs, ":"))
	}
	return env
}

// findPrograms lists the installations on this machine, newest first. Where there is none it gets one.
func findPrograms(ctx context.Context, dir *Dir, progress func(string)) ([]*programs, error) {
	if found := installations(ctx, dir); len(found) > 0 {
		return found, nil
	}
	if ctx.Err() != nil { // a program that could not be asked for its version may be there
		return nil, ctx.Err()
	}
	if err := getPrograms(ctx, dir, progress); err != nil {
		return nil, err
	}
	if found := installations(ctx, dir); len(found) > 0 {
		return found, nil
	}
	return nil, errors.New("PostgreSQL was installed, and its programs are still neither on the PATH nor in " +
		"/usr/lib/postgresql; put the folder with initdb and postgres on the PATH")
}

// choosePrograms takes the installation that can serve the cluster, and the newest for a cluster that is yet to be
// made: PostgreSQL reads no cluster of another major version.
func choosePrograms(found []*programs, data string) (*programs, error) {
	text, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if err != nil {
		return found[0], nil //nolint:nilerr // no cluster yet
	}
	version := strings.TrimSpace(string(text))
	for _, p := range found {
		if strconv.Itoa(p.major) == version {
			return p, nil
		}
	}
	return nil, fmt.Errorf("the database in %s was made by PostgreSQL %s, and the newest programs on this machine are "+
		"of version %d; install PostgreSQL %s, or delete that folder to begin anew",
		data, version, found[0].major, version)
}

// installations lists what is there: on the PATH, in the distributions' places, and what we have unpacked.
func installations(ctx context.Context, dir *Dir) []*programs {
	var bins []string
	if path, err := exec.LookPath("postgres"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			bins = append(bins, filepath.Dir(path))
		}
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin",
		filepath.Join(unpackedPostgres(dir), "usr/lib/postgresql/*/bin"),
	} {
		matches, _ := filepath.Glob(pattern) // only a malformed pattern is an error
		bins = append(bins, matches...)
	}
	var found []*programs
	for _, bin := range bins {
		if slices.ContainsFunc(found, func(p *programs) bool { return p.bin == bin }) {
			continue
		}
		if p := inspect(ctx, dir, bin); p != nil {
			found = append(found, p)
		}
	}
	slices.SortStableFunc(found, func(a, b *programs) int { return b.major - a.major })
	return found
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// inspect is nil when the folder has no usable PostgreSQL.
func inspect(ctx context.Context, dir *Dir, bin string) *programs {
	p := &programs{bin: bin}
	if root := unpackedPostgres(dir); strings.HasPrefix(bin, root) {
		p.libs = debian.Libraries(root)
	}
	if _, err := os.Stat(p.path("initdb")); err != nil {
		return nil
	}
	cmd := exec.CommandContext(ctx, p.path("postgres"), "--version") //nolint:gosec // a program in a known place
	cmd.Env = append(os.Environ(), p.env()...)
	out, err := cmd.Output()
	if err != nil {
		return nil
	}
	match := versionPattern.FindSubmatch(out)
	if match == nil {
		return nil
	}
	if p.major, err = strconv.Atoi(string(match[1])); err != nil || p.major < oldestMajor {
		return nil
	}
	return p
}

// getPrograms installs PostgreSQL: as root with the package manager, otherwise by unpacking the distribution's
// packages.
func getPrograms(ctx context.Context, dir *Dir, progress func(string)) error {
	if !debian.Here() {
		return fmt.Errorf("PostgreSQL's programs (postgres and initdb, version %d or newer) are not on the PATH; install "+
			"them%s, and start again", oldestMajor, installHint())
	}
	if os.Geteuid() == 0 {
		progress("installing PostgreSQL with apt-get (once)")
		return debian.InstallPostgres(ctx)
	}
	target := unpackedPostgres(dir)
	progress(fmt.Sprintf("unpacking the distribution's PostgreSQL packages into %s (once)", target))
	return debian.Unpack(ctx, target, debian.Packages{
		Names: []string{"postgresql"},
		// The compiler for queries is switched off, and the cluster tools of the distribution are not used.
		Skip: regexp.MustCompile(
			`^(libllvm|libz3|perl|libperl|ssl-cert|postgresql-common|` +
				`libjson-perl|libcommon-sense-perl|libtypes-serialiser-perl)`),
	})
}

// installHint names the command for the package managers that we know and do not drive.
func installHint() string {
	for _, hint := range [][2]string{
		{"dnf", "dnf install postgresql-server"},
		{"yum", "yum install postgresql-server"},
		{"zypper", "zypper install postgresql-server"},
		{"apk", "apk add postgresql"},
		{"pacman", "pacman -S postgresql"},
		{"brew", "brew install postgresql@17"},
	} {
		if _, err := exec.LookPath(hint[0]); err == nil {
			return " with `" + hint[1] + "`"
		}
	}
	return " with your system's package manager"
}

// unpackedPostgres is where an ordinary user's PostgreSQL is unpacked.
func unpackedPostgres(dir *Dir) string { return filepath.Join(ToolDir(dir.path), "postgresql") }
