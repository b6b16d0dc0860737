package endpoint

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// What honest partners send is far from the bound that ends hostile replies.
func TestHonestRepliesTakeLittleWork(t *testing.T) {
	t.Parallel()
	var licenses []string
	for i := range 500 {
		licenses = append(licenses, fmt.Sprintf(`{"key":"ORB-%08d","until":"2027-06-15T00:00:00Z","seat":{"no":%d}}`, i, i))
	}
	root, err := decodeJSON([]byte(`{"error":null,"licenses":[` + strings.Join(licenses, ",") + `]}`))
	require.NoError(t, err)
	for name, conversion := range map[string]string{
		"as they are": "",
		"converted":   `{{if eq . ""}}none{{else}}KEY {{.}}{{end}}`,
	} {
		in := keyturn.Integration{}
		r := newReader(in, keyturn.Operation{ResponsePaths: map[string]keyturn.ResponsePath{
			"activationCode": {Path: "$.licenses[*].key+", ConversionTemplate: conversion}, "errorCode": {Path: "$.error.code"},
			"until": {Path: "$.licenses[0].until"},
		}})
		r.root = root
		d, err := r.deliverable("https://partner.test")
		require.NoError(t, err, name)
		require.Len(t, d.ActivationCodes, 500)
		t.Log(name, maxWork-r.left.left)
		require.Less(t, maxWork-r.left.left, maxWork/2, name)
	}
}

// A reply costs a bounded amount of work whatever it holds and whatever the integration enables: what a number costs to
// compare grows with the square of its length, and a long text is compared byte by byte.
func TestNumbersOfAReplyAreBounded(t *testing.T) {
	t.Parallel()
	for _, number := range []string{
		strings.Repeat("7", 1_000_000), "-" + strings.Repeat("7", maxNumber), "0." + strings.Repeat("7", maxNumber),
		"1e" + strings.Repeat("0", maxNumber),
	} {
		_, err := decodeJSON([]byte(`{"list":[{"n":` + number + `}]}`))
		require.Equal(t, keyturn.KindBadReply, keyturn.KindOf(err))
		require.ErrorContains(t, err, "a number of more than 1000 characters")
	}
	longest := strings.Repeat("7", maxNumber)
	_, err := decodeJSON([]byte(`{"` + longest + longest + `":"` + longest + longest + `","n":` + longest + `,"m":[` +
		longest + `,"\"` + longest + longest + `"]}`))
	require.NoError(t, err, "texts and names may be longer, and numbers as long as that")

	var list []string
	for range 900 {
		list = append(list, `{"n":`+longest+`,"t":"`+strings.Repeat("x", 1000)+`"}`)
	}
	root, err := decodeJSON([]byte(`[` + strings.Join(list, ",") + `]`))
	require.NoError(t, err)
	for _, filter := range []string{
		`$[?@.n >= 1 && @.n >= 2 && @.n >= 3 && @.n >= 4 && @.n >= 5]`,
		`$..[?@.t == @.t && @.n == @.n && @.n >= @.n]`,
	} {
		p, err := parsePath(filter, pathOptions{filters: true, descendants: true})
		require.NoError(t, err)
		left := &work{left: maxWork}
		_, err = p.eval(root, left)
		require.Equal(t, keyturn.KindBadReply, keyturn.KindOf(err), "%s leaves %d", filter, left.left)
	}
}
