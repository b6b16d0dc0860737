//go:build !race

package endpoint_test

const raceFactor = 1
