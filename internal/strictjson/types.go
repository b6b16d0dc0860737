package strictjson

import (
	"encoding"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"keyturn.dev/keyturn"
)

func (w *walker) checkText(t reflect.Type, at, text string) {
	switch {
	case t == nil || t.Kind() == reflect.String && !isText(t):
	case t == timeType:
		if _, err := time.Parse(time.RFC3339, text); err != nil {
			w.addf(at, "must be a time such as 2026-01-31T12:00:00Z")
		}
	case isText(t):
		if err := reflect.New(t).Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)); err != nil { //nolint:forcetypeassert // isText has seen it
			w.addf(at, "%s", err.Error())
		}
	case reflect.PointerTo(t).Implements(jsonType): // may have a short form that is a string
		quoted, err := json.Marshal(text)
		if err == nil {
			err = reflect.New(t).Interface().(json.Unmarshaler).UnmarshalJSON(quoted) //nolint:forcetypeassert // seen
		}
		if ours, ok := errors.AsType[*keyturn.Error](err); ok {
			w.addf(at, "%s", ours.Message)
		}
	default:
		w.addf(at, "must be %s, not a string", wanted(t))
	}
}

func (w *walker) checkNumber(t reflect.Type, at, number string) {
	if t == nil {
		return
	}
	switch kind := t.Kind(); {
	case isText(t):
		w.addf(at, "must be %s, not a number", wanted(t))
	case kind >= reflect.Int && kind <= reflect.Int64:
		if _, err := strconv.ParseInt(number, 10, t.Bits()); err != nil {
			w.addf(at, "must be an integer of at most %d bits", t.Bits())
		}
	case kind == reflect.Float64:
		if f, err := strconv.ParseFloat(number, 64); err != nil || math.IsInf(f, 0) {
			w.addf(at, "is out of range")
		}
	case reflect.PointerTo(t).Implements(jsonType): // may have a short form that is a number
		err := reflect.New(t).Interface().(json.Unmarshaler).UnmarshalJSON([]byte(number)) //nolint:forcetypeassert // seen
		if ours, ok := errors.AsType[*keyturn.Error](err); ok {
			w.addf(at, "%s", ours.Message)
		} else if err != nil {
			w.addf(at, "must be %s, not a number", wanted(t))
		}
	default:
		w.addf(at, "must be %s, not a number", wanted(t))
	}
}

func (w *walker) checkBool(t reflect.Type, at string) {
	if t != nil && (t.Kind() != reflect.Bool || isText(t)) {
		w.addf(at, "must be %s, not a boolean", wanted(t))
	}
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
		return "a boolean"
	case kind == reflect.Slice:
		return "a list"
	case kind == reflect.Struct, kind == reflect.Map:
		return "an object"
	}
	return "a number"
}

var fieldCache sync.Map // reflect.Type -> map[string]reflect.Type

// fieldsOf returns the JSON names of a struct's fields.
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
