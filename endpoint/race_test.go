//go:build race

package endpoint_test

// raceFactor allows for the race detector, under which everything takes longer.
const raceFactor = 10
