package starter

import (
	"encoding"
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"
)

func (s *strict) checkText(t reflect.Type, at, text string) {
	switch {
	case t == nil || t.Kind() == reflect.String && !isText(t):
	case t == timeType:
		if _, err := time.Parse(time.RFC3339, text); err != nil {
			s.addf(at, "must be a time such as 2026-01-31T12:00:00Z")
		}
	case isText(t):
		if err := reflect.New(t).Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)); err != nil { //nolint:forcetypeassert // isText has seen it
			s.addf(at, "%s", err.Error())
		}
	case reflect.PointerTo(t).Implements(jsonType): // has a short form that is a string
	default:
		s.addf(at, "must be %s, not a string", wanted(t))
	}
}

func (s *strict) checkLiteral(t reflect.Type, at, literal string) {
	if t == nil || literal == "null" { // null is the same as absent
		return
	}
	isNumber := literal[0] == '-' || literal[0] >= '0' && literal[0] <= '9'
	switch kind := t.Kind(); {
	case isText(t):
		s.addf(at, "must be %s, not %s", wanted(t), literalName(isNumber))
	case kind == reflect.Bool && !isNumber:
	case isNumber && kind >= reflect.Int && kind <= reflect.Int64:
		if _, err := strconv.ParseInt(literal, 10, t.Bits()); err != nil {
			s.addf(at, "must be a whole number of ordinary size")
		}
	case isNumber && kind == reflect.Float64:
		if f, err := strconv.ParseFloat(literal, 64); err != nil || math.IsInf(f, 0) {
			s.addf(at, "must be a number of ordinary size")
		}
	default:
		s.addf(at, "must be %s, not %s", wanted(t), literalName(isNumber))
	}
}

func literalName(isNumber bool) string {
	if isNumber {
		return "a number"
	}
	return "true or false"
}

var (
	timeType = reflect.TypeFor[time.Time]()
	textType = reflect.TypeFor[encoding.TextUnmarshaler]()
	jsonType = reflect.TypeFor[json.Unmarshaler]()
)

func isText(t reflect.Type) bool { return reflect.PointerTo(t).Implements(textType) }

// wanted names what a type is written as.
func wanted(t reflect.Type) string {
	switch kind := t.Kind(); {
	case isText(t), kind == reflect.String:
		return "a string"
	case kind == reflect.Bool:
		return "true or false"
	case kind == reflect.Slice:
		return "a list"
	case kind == reflect.Struct, kind == reflect.Map:
		return "an object"
	}
	return "a number"
}

var fieldCache sync.Map // reflect.Type -> map[string]reflect.Type

// fieldsOf gives the JSON names of a struct's fields.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	if found, ok := fieldCache.Load(t); ok {
		return found.(map[string]reflect.Type) //nolint:forcetypeassert // nothing else is stored
	}
	fields := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.IsExported() && name != "" && name != "-" {
			fields[name] = f.Type
		}
	}
	fieldCache.Store(t, fields)
	return fields
}

// suggestion helps with a name that is right but for its case.
func suggestion(name string, fields map[string]reflect.Type) string {
	for known := range fields {
		if strings.EqualFold(known, name) {
			return ": did you mean " + known + "?"
		}
	}
	return ""
}
