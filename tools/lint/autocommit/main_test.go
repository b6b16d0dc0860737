package main

import (
	"testing"

	"golang.org/x/tools/go/analysis/analysistest"
)

// The lines with a `want` comment in testdata are the planted mistakes; every other line must pass.
func TestPlantedWritesAreFound(t *testing.T) {
	analysistest.Run(t, analysistest.TestData(), analyzer, "app")
}
