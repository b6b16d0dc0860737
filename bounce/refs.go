package bounce

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
)

// refPattern is what a reference (db.MailRef) looks like.
var refPattern = regexp.MustCompile(`(?i)\b[a-z2-7]{26}\.[a-z2-7]{10}\b`)

// naming are the fields in which servers repeat the envelope of a message, and our own.
var naming = map[string]bool{
	"x-keyturn-ref": true, "return-path": true, "to": true, "delivered-to": true, "x-original-to": true,
	"envelope-to": true, "x-envelope-to": true,
}

// maxRefs bounds how many references of one message are looked at: whoever writes it may name as many as they like.
const maxRefs = 8

// refs are the references that messages name in their headers.
type refs struct{ found []string }

// add looks at the header of a message, whether it is well-formed or not.
func (r *refs) add(message []byte) {
	header, _ := headerOf(message)
	names := false
	for line := range bytes.Lines(header) {
		if line[0] != ' ' && line[0] != '\t' { // else it goes on with the field before
			name, _, _ := bytes.Cut(line, []byte(":"))
			names = naming[strings.ToLower(string(bytes.TrimSpace(name)))]
		}
		if names {
			r.addText(string(line))
		}
	}
}

// headerOf is the header of a message, or its first maxHeader bytes where it does not end within them.
func headerOf(message []byte) (header []byte, whole bool) {
	header = message[:min(len(message), maxHeader)]
	for _, end := range []string{"\r\n\r\n", "\n\n"} {
		if at := bytes.Index(header, []byte(end)); at >= 0 {
			header, whole = header[:at], true
		}
	}
	return header, whole
}

// addText looks for references anywhere in a text.
func (r *refs) addText(text string) {
	for _, ref := range refPattern.FindAllString(text, maxRefs) {
		ref = strings.ToLower(ref)
		if len(r.found) < maxRefs && !slices.Contains(r.found, ref) {
			r.found = append(r.found, ref)
		}
	}
}
