package endpoint

import (
	slash "path"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	defaultFileName  = "activation-file.bin"
	maxFileNameBytes = 100
)

// cleanFileName makes of a partner's text a name under which a customer can save a file on every system, or "" if
// nothing is left of it: the last part of a path, without what hides, separates or has a meaning to a shell or a file
// system. A name that Windows keeps for a device gets an underscore.
func cleanFileName(text string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError || !unicode.IsPrint(r) || unicode.Is(unicode.Bidi_Control, r):
			return -1
		case strings.ContainsRune(`"*:<>?|`, r):
			return '_'
		}
		return r
	}, slash.Base(strings.ReplaceAll(text, `\`, "/")))
	name = strings.TrimRight(strings.TrimLeft(name, ". "), ". ")
	if name == "" || name == "/" {
		return ""
	}
	stem, rest, _ := strings.Cut(name, ".")
	if reservedNames[strings.ToUpper(strings.TrimSpace(stem))] {
		name = stem + "_"
		if rest != "" {
			name += "." + rest
		}
	}
	return shortName(name)
}

// shortName cuts a name that is too long before its extension.
func shortName(name string) string {
	if len(name) <= maxFileNameBytes {
		return name
	}
	ext := slash.Ext(name)
	if len(ext) > maxFileNameBytes/2 {
		ext = ""
	}
	return strings.ToValidUTF8(name[:maxFileNameBytes-len(ext)], "") + ext
}

// reservedNames are devices to Windows, with any extension.
var reservedNames = func() map[string]bool {
	names := map[string]bool{"CON": true, "PRN": true, "AUX": true, "NUL": true}
	for _, digit := range "123456789¹²³" {
		names["COM"+string(digit)], names["LPT"+string(digit)] = true, true
	}
	return names
}()
