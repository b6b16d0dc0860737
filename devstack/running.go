package devstack

import (
	"fmt"
	"os"
	"path/filepath"
)

// RunningPostgres is the connection string for a database of the PostgreSQL that another process started in the data
// directory path, on this port.
func RunningPostgres(path string, port int, database string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("find the data directory: %w", err)
	}
	dir := &Dir{path: path}
	for _, home := range []string{dir.Path("postgres"), systemHome(dir)} {
		if password, err := os.ReadFile(filepath.Join(home, "password")); err == nil {
			return (&Postgres{port: port, password: string(password)}).DSN(database), nil
		}
	}
	return "", fmt.Errorf("no PostgreSQL was started in %s", path)
}
