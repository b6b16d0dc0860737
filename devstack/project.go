package devstack

import (
	"bytes"
	"os"
	"path/filepath"
)

// projectRoot is the folder of Keyturn's source that the working directory is in, or "" outside of it.
func projectRoot() string {
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for {
		if text, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil &&
			bytes.HasPrefix(text, []byte("module keyturn.dev/keyturn\n")) {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

// ToolDir is where programs are unpacked: in the project, so that every data directory and every test run shares them,
// or in the data directory when there is no project.
func ToolDir(dataDir string) string {
	if root := projectRoot(); root != "" {
		return filepath.Join(root, ".keyturn", "dist")
	}
	return filepath.Join(dataDir, "dist")
}
