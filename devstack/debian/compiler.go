package debian

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// Compiler finds a C compiler that can make programs, which the race detector needs, or gets one: installed when we are
// root, otherwise unpacked below dir. It gives what the environment variable CC must be.
func Compiler(ctx context.Context, dir string, progress func(string)) (string, error) {
	unpacked := filepath.Join(dir, "cc")
	wrapper := filepath.Join(unpacked, "cc")
	for _, cc := range []string{os.Getenv("CC"), "gcc", "clang", wrapper} {
		if cc != "" && compiles(ctx, cc) {
			return cc, nil
		}
	}
	if !Here() {
		return "", errors.New("there is no C compiler, and no apt-get to get one with; install gcc or clang with your " +
			"system's package manager")
	}
	if os.Geteuid() == 0 {
		progress("installing a C compiler with apt-get, for the race detector (once)")
		if err := Install(ctx, "gcc", "libc6-dev"); err != nil {
			return "", err
		}
		wrapper = "gcc"
	} else {
		progress(fmt.Sprintf("unpacking the distribution's C compiler into %s, for the race detector (once)", unpacked))
		err := Unpack(ctx, unpacked, Packages{
			Names: []string{"gcc", "libc6-dev"},
			// The linker wants these too within the folder, and every system has them.
			Also: []string{"libc6", "libgcc-s1"},
			Skip: regexp.MustCompile(`^(manpages|libc-devtools)`), Finish: wrapCompiler,
		})
		if err != nil {
			return "", err
		}
	}
	if !compiles(ctx, wrapper) {
		return "", fmt.Errorf("the C compiler %s was set up and cannot make a program; delete %s to try again", wrapper,
			unpacked)
	}
	return wrapper, nil
}

// compiles tries the compiler with headers, libraries and linker, for each of which distributions have a package.
func compiles(ctx context.Context, cc string) bool {
	words := strings.Fields(cc)
	args := append(words[1:], "-x", "c", "-o", os.DevNull, "-", "-lpthread")
	cmd := exec.CommandContext(ctx, words[0], args...) //nolint:gosec // the user's own compiler
	cmd.Stdin = strings.NewReader("#include <stdlib.h>\nint main(void) { return EXIT_SUCCESS; }\n")
	return cmd.Run() == nil
}

// cLibrary matches the C library's own files. The compiler is a program of this system and runs with this system's C
// library; the unpacked one, which may be newer, is only for linking against.
var cLibrary = regexp.MustCompile(
	`^(ld-|libc\.|libm\.|libmvec|libdl\.|librt\.|libpthread|libresolv|libnsl\.|libnss_|` +
		`libutil\.|libanl|libBrokenLocale|libthread_db|libc_malloc|libmemusage|libpcprofile)`)

// wrapCompiler adds a script that runs an unpacked gcc from wherever the folder is.
func wrapCompiler(root string) error {
	libs := filepath.Join(root, "run")
	if err := os.Mkdir(libs, 0o755); err != nil { //nolint:gosec // programs, no secrets
		return fmt.Errorf("set up the C compiler: %w", err)
	}
	found, _ := filepath.Glob(filepath.Join(root, "usr/lib/*-linux-gnu*/*.so*")) // only a malformed pattern is an error
	for _, lib := range found {
		target, err := filepath.Rel(libs, lib)
		if name := filepath.Base(lib); err == nil && !cLibrary.MatchString(name) {
			err = os.Symlink(target, filepath.Join(libs, name))
		}
		if err != nil {
			return fmt.Errorf("set up the C compiler: %w", err)
		}
	}
	const script = `#!/bin/sh
root=$(dirname "$(readlink -f "$0")")
export PATH="$root/usr/bin:$PATH" LD_LIBRARY_PATH="$root/run"
exec "$root/usr/bin/gcc" --sysroot="$root" "$@"
`
	if err := os.WriteFile(filepath.Join(root, "cc"), []byte(script), 0o755); err != nil { //nolint:gosec // a program
		return fmt.Errorf("set up the C compiler: %w", err)
	}
	return nil
}
