// Overlay writes the source of the build with mutants to a folder and prints the file for `go test -overlay`.
package main

import (
	"fmt"
	"os"

	"keyturn.dev/keyturn/internal/testkit/mutants"
)

func main() {
	if len(os.Args) != 2 {
		fail("usage: go run ./internal/testkit/mutants/overlay FOLDER, in the module's folder")
	}
	name, err := mutants.Overlay(".", os.Args[1])
	if err != nil {
		fail(err)
	}
	fmt.Fprintln(os.Stdout, name)
}

func fail(why any) {
	fmt.Fprintln(os.Stderr, "overlay:", why)
	os.Exit(1)
}
