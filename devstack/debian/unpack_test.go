package debian

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPlannedReadsASimulatedInstallation(t *testing.T) {
	t.Parallel()
	const plan = `Reading package lists...
The following NEW packages will be installed:
  libllvm14 libpq5 postgresql postgresql-15
Inst libc6 [2.36-9+deb12u9] (2.36-9+deb12u10 Debian:12.15/oldstable [amd64]) [libc6-dev:amd64 ]
Inst libpq5 (15.18-0+deb12u1 Debian:12.15/oldstable [amd64])
Inst libllvm14 (1:14.0.6-12 Debian:12.15/oldstable [amd64])
Inst postgresql-15 (15.18-0+deb12u1 Debian:12.15/oldstable [amd64])
Conf libpq5 (15.18-0+deb12u1 Debian:12.15/oldstable [amd64])
`
	require.Equal(t, []string{"libc6=2.36-9+deb12u10", "libpq5=15.18-0+deb12u1", "postgresql-15=15.18-0+deb12u1"},
		planned([]byte(plan), regexp.MustCompile("^libllvm")),
		"an upgrade counts, what is skipped and the order of set-up do not")
}

func TestTheCLibraryIsToldFromOtherLibraries(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"libc.so.6", "libm.so.6", "libpthread.so.0", "ld-linux-x86-64.so.2",
		"libnss_files.so.2",
	} {
		require.Regexp(t, cLibrary, name)
	}
	for _, name := range []string{
		"libmpc.so.3", "libmpfr.so.6", "libctf.so.0", "libisl.so.23", "libcc1.so.0",
		"libopcodes-2.40-system.so",
	} {
		require.NotRegexp(t, cLibrary, name)
	}
}

func TestACompilerThatIsNotThereDoesNotCompile(t *testing.T) {
	t.Parallel()
	require.False(t, compiles(t.Context(), "/nowhere/cc"))
	require.False(t, compiles(t.Context(), "false"))
}
