package client_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const shopModule = `module shop.test/shop

go 1.26.0

require keyturn.dev/keyturn v0.0.0

replace keyturn.dev/keyturn => `

const shopMain = `package main

import "keyturn.dev/keyturn/client"

func main() { _ = client.Client{} }
`

// A shop that imports the client is a module of its own, and gets nothing of the server with it.
func TestAShopThatImportsTheClientGetsNothingOfTheServer(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	sums, err := os.ReadFile("../go.sum")
	require.NoError(t, err)
	shop := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": shopModule + root + "\n", "go.sum": string(sums),
		"main.go": shopMain,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(shop, name), []byte(text), 0o600))
	}
	list := exec.CommandContext(t.Context(), "go", "list", "-mod=mod", "-deps", "-f",
		"{{with .Module}}{{$.ImportPath}}{{end}}", ".")
	list.Dir = shop
	list.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	out, err := list.CombinedOutput()
	require.NoError(t, err, string(out))
	require.ElementsMatch(t, []string{
		"shop.test/shop", "keyturn.dev/keyturn/client", "keyturn.dev/keyturn",
		"github.com/google/uuid",
	},
		strings.Fields(string(out)))
}
