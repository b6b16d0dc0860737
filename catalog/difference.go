package catalog

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"keyturn.dev/keyturn"
)

// Differences compares two entries of the catalog value by value. All of a new one is different.
func Differences(old, new any, isNew bool) []keyturn.Difference {
	was := map[string]string{}
	if !isNew {
		was = flat(old)
	}
	is := flat(new)
	out := []keyturn.Difference{}
	all := maps.Clone(was)
	maps.Copy(all, is)
	for _, at := range slices.Sorted(maps.Keys(all)) {
		if was[at] != is[at] {
			out = append(out, keyturn.Difference{Location: at, From: was[at], To: is[at]})
		}
	}
	return out
}

// flat gives the values of a document by their paths.
func flat(v any) map[string]string {
	out := map[string]string{}
	text, err := json.Marshal(v)
	if err != nil {
		return out
	}
	var tree any
	if json.Unmarshal(text, &tree) == nil {
		flatten("", tree, out)
	}
	return out
}

func flatten(at string, v any, out map[string]string) {
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			flatten(strings.TrimPrefix(at+"."+name, "."), inner, out)
		}
	case []any:
		for i, inner := range v {
			flatten(at+"["+strconv.Itoa(i)+"]", inner, out)
		}
	default:
		var text bytes.Buffer
		e := json.NewEncoder(&text)
		e.SetEscapeHTML(false) // people read it
		_ = e.Encode(v)        //nolint:errchkjson // a scalar
		out[at] = strings.TrimSuffix(text.String(), "\n")
	}
}
