package emulator

import (
	"regexp"
	"strconv"
	"strings"
)

// step is one part of a path: a name, or an index; all stands for [*].
type step struct {
	name  string
	index int
	all   bool
}

var stepPattern = regexp.MustCompile(`^(?:\.([A-Za-z_][A-Za-z0-9_]*)|\["([^"]+)"\]|\[(\d{1,3})\]|\[(\*)\])`)

// steps reads a path; false for one that is more than names, indexes and [*].
func steps(path string) ([]step, bool) {
	rest, ok := strings.CutPrefix(strings.TrimSuffix(strings.TrimSpace(path), "+"), "$")
	if !ok || rest == "" {
		return nil, false
	}
	var out []step
	for rest != "" {
		m := stepPattern.FindStringSubmatch(rest)
		if m == nil {
			return nil, false
		}
		index, _ := strconv.Atoi(m[3])
		out = append(out, step{name: m[1] + m[2], index: index, all: m[4] != ""})
		rest = rest[len(m[0]):]
	}
	return out, out[0].name != ""
}

// pathShape answers so that these paths find what they look for.
func pathShape(paths map[string]string) shape {
	return shape{
		success: func(keys []string) map[string]any {
			body := map[string]any{}
			setAt(body, paths["successFlag"], []string{"true"})
			switch {
			case len(keys) == 0:
			case paths["activationCode"] != "":
				setAt(body, paths["activationCode"], keys)
			case paths["activationLink"] != "":
				setAt(body, paths["activationLink"], []string{activationLink(keys[0])})
			default:
				setAt(body, paths["activationFileContent"], []string{activationFile(keys[0])})
			}
			return body
		},
		failure: func(code, message string) map[string]any {
			body := map[string]any{}
			setAt(body, paths["errorCode"], []string{code})
			setAt(body, paths["errorMessage"], []string{message})
			return body
		},
	}
}

// setAt puts values where a path finds them. A path without [*] that is to find several finds a list.
func setAt(body map[string]any, path string, values []string) {
	list, ok := steps(path)
	if !ok {
		return
	}
	set(body, list, values)
}

func set(node any, path []step, values []string) any {
	if len(path) == 0 {
		if len(values) == 1 {
			return values[0]
		}
		return values
	}
	s := path[0]
	if s.name != "" {
		m, _ := node.(map[string]any)
		if m == nil {
			m = map[string]any{}
		}
		m[s.name] = set(m[s.name], path[1:], values)
		return m
	}
	l, _ := node.([]any)
	if !s.all {
		for len(l) <= s.index {
			l = append(l, nil)
		}
		l[s.index] = set(l[s.index], path[1:], values)
		return l
	}
	for i, v := range values {
		if i == len(l) {
			l = append(l, nil)
		}
		l[i] = set(l[i], path[1:], []string{v})
	}
	return l
}
