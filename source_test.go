package keyturn_test

import (
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

var sourceConstants = regexp.MustCompile(`(?m)^\tSource\w+ +SourceType = "(\w+)"`)

// sourceFields are the fields of Source by which a type says which source is meant.
func sourceFields(t *testing.T) (fields []string) {
	t.Helper()
	for f := range reflect.TypeFor[keyturn.Source]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name != "type" && name != "giveUpAfter" {
			fields = append(fields, name)
		}
	}
	return fields
}

// sourceWith is a source of this type with one field set, "" for none.
func sourceWith(t *testing.T, kind keyturn.SourceType, field string) keyturn.Source {
	t.Helper()
	declared := map[string]string{"type": string(kind)}
	if field != "" {
		declared[field] = "acme"
	}
	text, err := json.Marshal(declared)
	require.NoError(t, err)
	var s keyturn.Source
	require.NoError(t, json.Unmarshal(text, &s))
	return s
}

// Every type has one entry, whose field is checked, whose name reads back, and which the catalog's page shows; and
// every field of a source belongs to a type.
func TestEverySourceTypeIsComplete(t *testing.T) {
	t.Parallel()
	page := read(t, "docs/use/catalog.md")
	var declared, known []string
	for _, m := range sourceConstants.FindAllStringSubmatch(read(t, "source.go"), -1) {
		declared = append(declared, m[1])
	}
	required := map[string]int{}
	for _, info := range keyturn.SourceTypes {
		known = append(known, string(info.Type))
		required[info.Field]++
		require.Equal(t, info, info.Type.Info())
		require.Contains(t, []keyturn.Do{keyturn.DoClaim, keyturn.DoCall, keyturn.DoAwait}, info.First, info.Type)
		require.Equal(t, info.First == keyturn.DoClaim, info.Type.HasPool(), "%s: keys are claimed from a pool", info.Type)
		require.False(t, info.Type.HasIntegration() && !info.Type.CallsPartner(),
			"%s: an integration says how a partner is called", info.Type)
		require.Contains(t, page, "type: "+string(info.Type))
		requireOnlyField(t, info)
		s := sourceWith(t, info.Type, info.Field)
		if info.InName {
			require.Equal(t, string(info.Type)+"/acme", s.Name())
			require.Equal(t, s, keyturn.ParseSource(s.Name()))
		} else {
			require.Equal(t, string(info.Type), s.Name())
			require.Equal(t, keyturn.Source{Type: info.Type}, keyturn.ParseSource(s.Name()))
		}
	}
	require.Equal(t, declared, known, "each constant has one entry, in the same order")
	for _, field := range sourceFields(t) {
		require.Positive(t, required[field], "no source type requires %s", field)
	}
	require.Equal(t, 1, required["pool"], "stock is counted by the names of one type")
	require.Equal(t, 1, required["integration"], "a partner's calls are counted by the names of one type")
}

// requireOnlyField checks sources of this type with each single field, and with none: its own field is required, and no
// other one belongs to it.
func requireOnlyField(t *testing.T, info keyturn.SourceInfo) {
	t.Helper()
	for _, set := range append(sourceFields(t), "") {
		var wrong []string
		for _, field := range sourceFields(t) {
			if (field == info.Field) != (field == set) {
				wrong = append(wrong, "sources[0]."+field)
			}
		}
		if wrong == nil {
			wrong = []string{""}
		}
		p := goodProduct()
		p.Sources = []keyturn.Source{sourceWith(t, info.Type, set)}
		wantFields(t, p.Check(), string(info.Type)+" with "+set, wrong...)
	}
}

func TestSourceTypes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                            string
		pool, call, integration, byHand bool
	}{
		{"pool/games", true, false, false, false},
		{"endpoint/acme", false, true, true, false},
		{"dynamicurl", false, true, false, false},
		{"manual", false, false, false, true},
	} {
		kind := keyturn.ParseSource(c.name).Type
		require.Equal(t, []bool{c.pool, c.call, c.integration, c.byHand},
			[]bool{kind.HasPool(), kind.CallsPartner(), kind.HasIntegration(), kind.ByHand()}, c.name)
	}
	require.Equal(t, keyturn.FromPool("games"), keyturn.ParseSource("pool/games"))
	require.Equal(t, keyturn.FromIntegration("acme"), keyturn.ParseSource("endpoint/acme"))
	require.Equal(t, "dynamicurl", keyturn.Source{Type: keyturn.SourceDynamicURL, URL: "https://u:secret@x.test"}.Name())
	for _, name := range []string{"", "supplied", "ftp/x"} {
		require.Equal(t, keyturn.Source{Type: keyturn.SourceManual}, keyturn.ParseSource(name), name)
	}
	require.Equal(t, []string{"endpoint/%", "dynamicurl"}, keyturn.PartnerSources())
}
