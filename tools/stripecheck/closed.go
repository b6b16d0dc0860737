package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// walk compares a value with a schema in which every object that has properties is closed, and names what does not
// fit. In a form all values are texts: numbers and booleans are read out of them.
type walk struct {
	*document

	form bool
}

func (w walk) check(at string, v any, s *schema) (faults []string) {
	s = w.deref(s)
	if s == nil {
		return []string{at + ": the document does not say what it is"}
	}
	if v == nil {
		if s.Nullable || !w.form && len(s.AnyOf) > 0 && w.anyNullable(s) {
			return nil
		}
		return []string{at + ": must not be null"}
	}
	if len(s.AnyOf) > 0 {
		return w.checkAny(at, v, s.AnyOf)
	}
	if len(s.Enum) > 0 && !w.listed(v, s.Enum) {
		return []string{fmt.Sprintf("%s: %v is none of %v", at, brief(v), s.Enum)}
	}
	switch v := v.(type) {
	case map[string]any:
		if s.Type == "array" && w.form {
			return w.checkNumbered(at, v, s)
		}
		if s.Type != "object" && len(s.Properties) == 0 {
			return []string{at + ": must be a " + s.Type + ", not an object"}
		}
		return w.checkObject(at, v, s)
	case []any:
		if s.Type != "array" {
			return []string{at + ": must be a " + s.Type + ", not a list"}
		}
		for i, each := range v {
			faults = append(faults, w.check(at+"["+strconv.Itoa(i)+"]", each, s.Items)...)
		}
		return faults
	}
	return w.checkScalar(at, v, s)
}

func (w walk) anyNullable(s *schema) bool {
	return slices.ContainsFunc(s.AnyOf, func(one *schema) bool { return w.deref(one).Nullable })
}

// checkAny names the faults of the alternative that is nearest: of the same kind, and with the fewest.
func (w walk) checkAny(at string, v any, all []*schema) []string {
	var nearest []string
	_, isObject := v.(map[string]any)
	for _, one := range all {
		faults := w.check(at, v, one)
		if len(faults) == 0 {
			return nil
		}
		one = w.deref(one)
		if name := one.Properties["object"]; isObject && name != nil && len(name.Enum) == 1 {
			if m, _ := v.(map[string]any); name.Enum[0] == m["object"] {
				return faults // what an object says that it is decides
			}
		}
		if sameKind := isObject == (one.Type == "object"); nearest == nil || sameKind && len(faults) <= len(nearest) {
			nearest = faults
		}
	}
	return nearest
}

func (w walk) checkObject(at string, v map[string]any, s *schema) (faults []string) {
	extra, open := s.additional()
	for _, name := range slices.Sorted(maps.Keys(v)) {
		where := strings.TrimPrefix(at+"."+name, ".")
		p := s.Properties[name]
		switch {
		case p != nil:
			faults = append(faults, w.check(where, v[name], p)...)
		case extra != nil:
			faults = append(faults, w.check(where, v[name], extra)...)
		case open, len(s.Properties) == 0 && len(s.AdditionalProperties) == 0 && !w.form:
		default:
			faults = append(faults, where+": the document has no such field")
		}
	}
	for _, name := range s.Required {
		if _, ok := v[name]; !ok {
			faults = append(faults, strings.TrimPrefix(at+"."+name, ".")+": is required")
		}
	}
	return faults
}

// checkNumbered checks a list of a form, whose elements are numbered from 0.
func (w walk) checkNumbered(at string, v map[string]any, s *schema) (faults []string) {
	for i := range len(v) {
		each, ok := v[strconv.Itoa(i)]
		if !ok {
			return []string{at + ": a list is numbered from 0 without a gap"}
		}
		faults = append(faults, w.check(at+"["+strconv.Itoa(i)+"]", each, s.Items)...)
	}
	return faults
}

func (w walk) listed(v any, enum []any) bool {
	return slices.ContainsFunc(enum, func(one any) bool { return fmt.Sprint(one) == fmt.Sprint(v) })
}

func (w walk) checkScalar(at string, v any, s *schema) []string {
	text, isText := v.(string)
	fits := false
	switch s.Type {
	case "string":
		fits = isText
	case "integer":
		n, isNumber := v.(json.Number)
		_, err := strconv.ParseInt(string(n)+map[bool]string{true: text}[w.form], 10, 64)
		fits = err == nil && (isNumber || w.form)
	case "number":
		n, isNumber := v.(json.Number)
		_, err := strconv.ParseFloat(string(n)+map[bool]string{true: text}[w.form], 64)
		fits = err == nil && (isNumber || w.form)
	case "boolean":
		_, isBool := v.(bool)
		fits = isBool || w.form && (text == "true" || text == "false")
	}
	switch {
	case !fits:
		return []string{fmt.Sprintf("%s: %v must be a %s", at, brief(v), s.Type)}
	case isText && s.MaxLength > 0 && utf8.RuneCountInString(text) > s.MaxLength:
		return []string{fmt.Sprintf("%s: longer than %d", at, s.MaxLength)}
	case isText && s.Pattern != "" && !regexp.MustCompile(s.Pattern).MatchString(text):
		return []string{at + ": does not match " + s.Pattern}
	}
	return nil
}

func brief(v any) string {
	text := fmt.Sprintf("%q", fmt.Sprint(v))
	if len(text) > 60 {
		return text[:60] + "…"
	}
	return text
}
