package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"keyturn.dev/keyturn/devstack/stripe"
)

// differ names the steps that came to something else.
func differ(here, there []said) (all []string) {
	for i, s := range here {
		switch {
		case i >= len(there):
			all = append(all, s.step+": was not reached at Stripe")
		case s != there[i]:
			all = append(all, fmt.Sprintf("%s: on the emulator %s; at Stripe %s: %s", s.step, s.is, there[i].step, there[i].is))
		}
	}
	return all
}

// words are the fields whose texts are of a list: they are compared, other values are not.
var words = []string{
	"object", "status", "payment_status", "capture_method", "cancellation_reason", "type", "code", "mode", "ui_mode",
	"confirmation_method", "payment_method_collection", "customer_creation", "submit_type", "currency", "funding", "brand",
}

// differShapes names the fields that only one of the two has, by operation and status, and those with other words.
func differShapes(here, there []stripe.Exchange) (all []string) {
	ours, theirs := shapes(here), shapes(there)
	for _, about := range slices.Sorted(maps.Keys(ours)) {
		if theirs[about] == nil {
			all = append(all, about+": only the emulator answers so")
			continue
		}
		for _, field := range slices.Sorted(maps.Keys(ours[about])) {
			switch other, ok := theirs[about][field]; {
			case !ok:
				all = append(all, fmt.Sprintf("%s: %s is said by the emulator alone", about, field))
			case !maps.Equal(other, ours[about][field]):
				all = append(all, fmt.Sprintf("%s: %s is %s on the emulator, and %s at Stripe", about, field,
					list(ours[about][field]), list(other)))
			}
		}
		for _, field := range slices.Sorted(maps.Keys(theirs[about])) {
			if ours[about][field] == nil {
				all = append(all, fmt.Sprintf("%s: %s is said by Stripe alone: %s", about, field, list(theirs[about][field])))
			}
		}
	}
	for _, about := range slices.Sorted(maps.Keys(theirs)) {
		if ours[about] == nil {
			all = append(all, about+": only Stripe answers so")
		}
	}
	return all
}

func list(set map[string]bool) string { return strings.Join(slices.Sorted(maps.Keys(set)), " or ") }

// shapes are the kinds of the values of each field, or their words, by operation and status.
func shapes(exchanges []stripe.Exchange) map[string]map[string]map[string]bool {
	all := map[string]map[string]map[string]bool{}
	for _, x := range exchanges {
		v, err := decode(x.Response)
		if err != nil {
			v = "no JSON"
		}
		about := fmt.Sprintf("%s, %d", operationOf(x.Method, x.Path), x.Status)
		if all[about] == nil {
			all[about] = map[string]map[string]bool{}
		}
		shape(all[about], "", "", v)
	}
	return all
}

func shape(into map[string]map[string]bool, at, name string, v any) {
	note := func(what string) {
		if into[at] == nil {
			into[at] = map[string]bool{}
		}
		into[at][what] = true
	}
	switch v := v.(type) {
	case map[string]any:
		for field, value := range v {
			if name == "metadata" {
				continue
			}
			shape(into, strings.TrimPrefix(at+"."+field, "."), field, value)
		}
	case []any:
		for _, each := range v {
			shape(into, at+"[]", name, each)
		}
	case nil:
		note("null")
	case string:
		if slices.Contains(words, name) {
			note(v)
		} else {
			note("a text")
		}
	case bool:
		note(fmt.Sprint(v))
	default:
		note("a number")
	}
}
