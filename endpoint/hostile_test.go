package endpoint_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/endpoint"
)

// expensive are integrations that do as much with a reply as Check lets them: fifty paths, deep ones, filters and
// conversions.
func expensive() map[string]keyturn.Integration {
	paths := func(path, conversion string) keyturn.Integration {
		all := map[string]keyturn.ResponsePath{
			"activationCode": {Path: path + "+", ConversionTemplate: conversion}, "errorCode": {Path: path + ".no"},
			"successFlag": {Path: path + ".no"},
		}
		for i := range 47 {
			all[fmt.Sprintf("x%d", i)] = keyturn.ResponsePath{Path: path + "+", ConversionTemplate: conversion}
		}
		return reading(all)
	}
	// All conversions of an operation together are as long as one template may be.
	compares := strings.Repeat(`{{if eq . "a" "b" "c" "d"}}{{printf "%64s" .}}{{end}}`, 6) + `{{.}}`
	prints := strings.Repeat(`{{.}}`, 66)
	return map[string]keyturn.Integration{
		"names":        paths("$.a", ""),
		"every value":  paths("$..*", ""),
		"a descent":    paths("$..a", ""),
		"four levels":  paths("$..*..*..*..a", ""),
		"thirty steps": paths("$"+strings.Repeat(".*", 30), ""),
		"a filter":     paths(`$..[?@.a==1 || @.b=="x" || !(@[0] > 2) && @.a.a.a.a != 7]`, ""),
		"comparing":    paths("$..*", compares),
		"printing":     paths("$..*", prints),
		"one heavy": reading(map[string]keyturn.ResponsePath{"activationCode": {
			Path:               "$..*+",
			ConversionTemplate: strings.Repeat(`{{.}}`, 3200),
		}}),
	}
}

// hostile are replies of ten kilobytes that are made to be slow to read.
func hostile() map[string]string {
	const size = 10 << 10
	fill := func(open, item, end string) string {
		return open + strings.TrimSuffix(strings.Repeat(item+",", (size-len(open)-len(end))/(len(item)+1)), ",") + end
	}
	var names strings.Builder
	for i := 0; names.Len() < size-20; i++ {
		fmt.Fprintf(&names, `,"%x":%d`, i, i)
	}
	var codes strings.Builder
	for i := 0; codes.Len() < size-20; i++ {
		fmt.Fprintf(&codes, `,"%04x"`, i)
	}
	deep := strings.Repeat(`{"a":`, 30) + `1` + strings.Repeat(`}`, 30)
	return map[string]string{
		"numbers":          fill(`[`, `1`, `]`),
		"codes":            "[" + codes.String()[1:] + "]",
		"objects":          fill(`[`, `{"a":1}`, `]`),
		"one wide object":  "{" + names.String()[1:] + "}",
		"many deep ones":   fill(`[`, deep, `]`),
		"deep, then wide":  strings.Repeat(`{"a":[`, 15) + fill(``, `1`, ``)[200:] + strings.Repeat(`]}`, 15),
		"too deep":         strings.Repeat(`[`, size/2) + strings.Repeat(`]`, size/2),
		"one long text":    `{"a":"` + strings.Repeat("x", size-8) + `"}`,
		"texts in a text":  fill(`[`, `"aaaa","aaaaa","aaaaaa"`, `,"`+strings.Repeat("a", size/2)+`"]`),
		"escapes":          `{"a":"` + strings.Repeat(`\u0061`, size/6-2) + `"}`,
		"cut off":          fill(`[`, `"ab"`, ``) + `,"abc`,
		"a number":         `{"a":` + strings.Repeat("9", size-6) + `}`,
		"nothing but text": strings.Repeat(`"`, size),
	}
}

// The cost of reading a hostile reply of ten kilobytes, the keeping for operators included: cpu-ms/op is to stay below
// 50.
func BenchmarkHostileReply(b *testing.B) {
	for name, in := range expensive() {
		for reply, body := range hostile() {
			r := endpoint.Reply{Status: 200, Body: []byte(body)}
			b.Run(strings.ReplaceAll(name+"/"+reply, " ", "_"), func(b *testing.B) {
				b.ReportAllocs()
				before := cpu(b)
				for b.Loop() {
					v := endpoint.Judge(in, "create", 1, r)
					endpoint.RedactReply(in, "create", r, v)
				}
				b.ReportMetric(float64((cpu(b)-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
			})
		}
	}
}

// cpu is what this process has used of the processors: on a busy machine the clock says nothing.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// Whatever is in a reply, it is read to an end, no key is taken from a reply that could not be read whole, and what was
// read is masked in what operators see.
func TestHostileReplies(t *testing.T) {
	t.Parallel()
	for name, in := range expensive() {
		require.NoError(t, endpoint.Check(in, true), name)
		for reply, body := range hostile() {
			v := endpoint.Judge(in, "create", 1, endpoint.Reply{Status: 200, Body: []byte(body)})
			again := endpoint.Judge(in, "create", 1, endpoint.Reply{Status: 200, Body: []byte(body)})
			require.Equal(t, v, again, "%s, %s", name, reply)
			if v.Outcome != endpoint.Success {
				require.Equal(t, keyturn.KindBadReply, v.Kind, "%s, %s: %s", name, reply, v.Reason)
				require.True(t, v.Deliverable.Empty())
			}
			shown := string(endpoint.Redact(in, "create", []byte(body), v.Deliverable.ActivationCodes))
			for _, code := range v.Deliverable.ActivationCodes {
				if len(code.Reveal()) >= 4 {
					require.NotContains(t, shown, `"`+code.Reveal()+`"`, "%s, %s", name, reply)
				}
			}
		}
	}
}
