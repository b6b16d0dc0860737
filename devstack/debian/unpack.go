package debian

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

// Packages says what to unpack.
type Packages struct {
	Names []string       // these and what they depend on, as far as the system does not have it
	Also  []string       // these even when the system has them, without what they depend on
	Skip  *regexp.Regexp // but not these; nil: all

	Finish func(root string) error // completes what was unpacked before it appears; nil: nothing to do
}

// Unpack downloads packages and unpacks them below target, which appears only when it is complete. apt-get works on a
// private copy of its state and checks the signatures as always. An existing target is left as it is.
func Unpack(ctx context.Context, target string, packages Packages) error {
	if _, err := os.Stat(target); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil { //nolint:gosec // programs, no secrets
		return fmt.Errorf("make a folder for programs: %w", err)
	}
	work, err := os.MkdirTemp(filepath.Dir(target), ".unpack-")
	if err != nil {
		return fmt.Errorf("make a folder for programs: %w", err)
	}
	defer os.RemoveAll(work) //nolint:errcheck // the next run does not look at it
	debs, err := download(ctx, work, packages)
	if err != nil {
		return fmt.Errorf("download the packages of %v: %w", packages.Names, err)
	}
	root := filepath.Join(work, "root")
	for _, deb := range debs {
		if err := run(ctx, "", "dpkg", "-x", deb, root); err != nil {
			return fmt.Errorf("unpack %s: %w", filepath.Base(deb), err)
		}
	}
	if packages.Finish != nil {
		if err := packages.Finish(root); err != nil {
			return err
		}
	}
	// Another process may have been faster; what it unpacked is as good.
	if err := os.Rename(root, target); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("put unpacked packages in their place: %w", err)
	}
	return nil
}

// download returns the paths of the package files, in work.
func download(ctx context.Context, work string, packages Packages) ([]string, error) {
	state, debs := filepath.Join(work, "apt"), filepath.Join(work, "debs")
	for _, dir := range []string{state + "/lists/partial", state + "/cache/archives/partial", debs} {
		if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // public files
			return nil, err
		}
	}
	apt := func(args ...string) []string {
		return append([]string{
			"-q", "-o", "Dir::State=" + state, "-o", "Dir::Cache=" + state + "/cache", "-o",
			"Dir::State::status=/var/lib/dpkg/status",
			"-o", "Debug::NoLocking=1", "-o", "Dir::Log=" + state,
		}, args...)
	}
	if err := run(ctx, "", "apt-get", apt("update")...); err != nil {
		return nil, err
	}
	plan, err := output(ctx, "", "apt-get",
		apt(append([]string{"install", "--simulate", "--no-install-recommends"}, packages.Names...)...)...)
	if err != nil {
		return nil, err
	}
	wanted := planned(plan, packages.Skip)
	if len(wanted) == 0 && len(packages.Also) == 0 {
		return nil, fmt.Errorf("the system says that it has them, and the programs are not where they should be; " +
			"reinstall them with apt-get")
	}
	wanted = append(wanted, packages.Also...)
	if err := run(ctx, debs, "apt-get", apt(append([]string{"download"}, wanted...)...)...); err != nil {
		return nil, err
	}
	return filepath.Glob(filepath.Join(debs, "*.deb"))
}

// planLine is a line such as `Inst libpq5 (15.18-0+deb12u1 Debian:12.15/oldstable [amd64])`; an upgrade has the old
// version in brackets before it.
var planLine = regexp.MustCompile(`^Inst (\S+) (?:\[\S+\] )?\((\S+) `)

// planned reads which package versions a simulated installation would install.
func planned(plan []byte, skip *regexp.Regexp) []string {
	var wanted []string
	for lines := bufio.NewScanner(bytes.NewReader(plan)); lines.Scan(); {
		match := planLine.FindStringSubmatch(lines.Text())
		if match == nil || skip != nil && skip.MatchString(match[1]) {
			continue
		}
		wanted = append(wanted, match[1]+"="+match[2])
	}
	return wanted
}
