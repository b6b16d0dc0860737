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
