package main

import (
	"fmt"
	"net/url"
	"strings"
)

// readForm reads a form with names such as line_items[0][price_data][currency] into nested objects, in which lists are
// objects whose names are numbers.
func readForm(form string) (map[string]any, error) {
	values, err := url.ParseQuery(form)
	if err != nil {
		return nil, err
	}
	root := map[string]any{}
	for name, all := range values {
		first, rest, nested := strings.Cut(name, "[")
		path := []string{first}
		if nested {
			path = append(path, strings.Split(strings.TrimSuffix(rest, "]"), "][")...)
		}
		for i, value := range all {
			steps := append([]string(nil), path...)
			if last := len(steps) - 1; steps[last] == "" {
				steps[last] = fmt.Sprint(i)
			} else if i > 0 {
				return nil, fmt.Errorf("%s is sent more than once", name)
			}
			at := root
			for _, step := range steps[:len(steps)-1] {
				next, ok := at[step].(map[string]any)
				if !ok && at[step] != nil {
					return nil, fmt.Errorf("%s is sent in two forms", name)
				}
				if !ok {
					next = map[string]any{}
					at[step] = next
				}
				at = next
			}
			if _, twice := at[steps[len(steps)-1]]; twice {
				return nil, fmt.Errorf("%s is sent in two forms", name)
			}
			at[steps[len(steps)-1]] = value
		}
	}
	return root, nil
}
