package mail

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// encodedWordBytes is how much of a text goes into one encoded word: 39 bytes are 64 characters with the frame, and a
// line may have 76 with the header's name (RFC 2047 §2).
const encodedWordBytes = 39

// maxName bounds a display name, in bytes, so that its line stays below the 998 characters that a server must take.
const maxName = 200

// headerText encodes a one-line text for a header. The caller has taken the line ends out before: an encoded word can
// carry what a raw header cannot. Text that looks like an encoded word is encoded too, so that no reader decodes a line
// end that a customer wrote down in code.
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

// headerAddress writes a name and an address, or the bare address when there is no name.
func headerAddress(name, address string) string {
	name = cut(oneLine(name), maxName)
	switch {
	case name == "":
		return "<" + address + ">"
	case isPlain(name) && !strings.Contains(name, "=?"):
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `" <` + address + ">"
	}
	return headerText(name) + "\r\n <" + address + ">"
}

// isPlain says whether text can stand in a header as it is: printable ASCII.
func isPlain(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}
