package keyturn

import (
	"strconv"
	"unicode"
	"unicode/utf8"
)

// CleanText says whether text is valid UTF-8 of min to max characters without control characters and without the
// characters that reverse or hide what stands around them.
func CleanText(text string, minLen, maxLen int) bool { return cleanText(text, minLen, maxLen) }

func cleanText(text string, minLen, maxLen int) bool {
	if !utf8.ValidString(text) {
		return false
	}
	n := 0
	for _, r := range text {
		n++
		if r < utf8.RuneSelf {
			if r < ' ' || r == 0x7F {
				return false
			}
			continue
		}
		if unicode.IsControl(r) || r == utf8.RuneError || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' ||
			r == '\u2029' {
			return false
		}
	}
	return n >= minLen && n <= maxLen
}

func itoa(i int) string { return strconv.Itoa(i) }
