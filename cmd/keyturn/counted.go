package main

import "strconv"

// counted is a number of things, with their word: 1 key, 2 keys.
func counted[N int | int64](n N, one, several string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.FormatInt(int64(n), 10) + " " + several
}
