package mail

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// encodedWordBytes is the number of text bytes in one encoded word: 39 bytes make 64 characters, and a line may have 76
// with the header's name (RFC 2047 §2).
const encodedWordBytes = 39

// maxName is the longest display name, in bytes: its line stays below the 998 characters that a server must accept.
const maxName = 200

// headerText encodes one line of text for a header. Text that looks like an encoded word is encoded too, so that no
// reader decodes a line break that a customer smuggled in; mime.WordEncoder leaves all printable ASCII as it is. The
// caller has removed line breaks, which an encoded word would carry.
func headerText(text string) string {
	if isPlain(text) && !strings.Contains(text, "=?") {
		return text
	}
	var words []string
	for text != "" {
		n := min(len(text), encodedWordBytes)
		for n < len(text) && n > 0 && !utf8.RuneStart(text[n]) {
			n--
		}
		words = append(words, "=?UTF-8?B?"+base64.StdEncoding.EncodeToString([]byte(text[:n]))+"?=")
		text = text[n:]
	}
	return strings.Join(words, "\r\n ")
}

// headerAddress formats an address with its display name, if there is one.
func headerAddress(name, address string) string {
	name = cut(oneLine(name), maxName)
	switch {
	case name == "":
		return "<" + quoted(address) + ">"
	case isPlain(name) && !strings.Contains(name, "=?"):
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `" <` + quoted(address) + ">"
	}
	return headerText(name) + "\r\n <" + quoted(address) + ">"
}

// isPlain reports whether text is printable ASCII, which a header carries unencoded.
func isPlain(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}
