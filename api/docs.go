package api

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"keyturn.dev/keyturn"
)

// spec is the API's description in its three forms, made once.
type spec struct{ json, yaml, page []byte }

//go:embed docs.html
var docsHTML string

var docsPage = template.Must(template.New("docs").Funcs(template.FuncMap{
	"typeOf": typeOf, "refOf": refOf, "scopes": scopesOf, "examplesOf": examplesOf, "markup": markup,
}).Parse(docsHTML))

// describe makes the description and serves it: for machines, and for people without anybody else's server.
func (a *API) describe() {
	o := a.huma.OpenAPI()
	for name, short := range map[string]string{
		"ResponsePath": "The path alone.",
		"HeaderValue":  "A text, which may be a template.",
	} {
		if s := o.Components.Schemas.Map()[name]; s != nil { // it has a short form, which its type does not tell
			o.Components.Schemas.Map()[name] = &huma.Schema{OneOf: []*huma.Schema{
				{Type: huma.TypeString, Description: short},
				s,
			}}
		}
	}
	schemas := o.Components.Schemas.Map()
	schemas["LinkQuantity"] = &huma.Schema{OneOf: []*huma.Schema{
		{Type: huma.TypeInteger, Description: "So many units, no more and no fewer."},
		{
			Type: huma.TypeObject, Required: []string{"value"}, AdditionalProperties: false,
			Description: "What the customer may choose; the page begins with value.",
			Properties: map[string]*huma.Schema{
				"value": {Type: huma.TypeInteger}, "min": {Type: huma.TypeInteger}, "max": {Type: huma.TypeInteger},
			},
		},
	}}
	prefill := *schemas["Customer"]
	prefill.Required = nil
	schemas["CheckoutLink"].Properties["customer"] = &prefill
	addExamples(o)
	var err error
	if a.spec.json, err = json.Marshal(o); err != nil {
		panic(fmt.Sprintf("describe the API: %v", err)) // a mistake in our own types: the first test finds it
	}
	if a.spec.yaml, err = o.YAML(); err != nil {
		panic(fmt.Sprintf("describe the API: %v", err))
	}
	var page bytes.Buffer
	if err := docsPage.Execute(&page, pageOf(o)); err != nil {
		panic(fmt.Sprintf("describe the API: %v", err))
	}
	a.spec.page = page.Bytes()
	a.serveBytes("/openapi.json", "application/openapi+json", a.spec.json)
	a.serveBytes("/openapi.yaml", "application/openapi+yaml", a.spec.yaml)
	a.serveBytes("/docs", "text/html; charset=utf-8", a.spec.page)
	a.mux.Handle("GET /{$}", http.RedirectHandler("/docs", http.StatusFound))
}

func (a *API) serveBytes(path, contentType string, body []byte) {
	a.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
		_, _ = w.Write(body)
	})
}

type (
	docsData struct {
		Title, Description string
		Tags               []docsTag
		Schemas            []docsSchema
		Statuses           []docsStatus
	}
	docsTag struct {
		Name       string
		Operations []*huma.Operation
	}
	docsSchema struct {
		Name   string
		Schema *huma.Schema
		Fields []docsField
	}
	docsField struct {
		Name     string
		Schema   *huma.Schema
		Required bool
	}
	docsStatus struct {
		Kind   keyturn.Kind
		Type   string
		Status int
		Title  string
	}
)

// pageOf arranges the description for readers: operations by what they are about, then the documents they speak of.
func pageOf(o *huma.OpenAPI) docsData {
	data := docsData{Title: o.Info.Title, Description: o.Info.Description}
	byTag := map[string][]*huma.Operation{}
	for _, op := range operationsOf(o) {
		byTag[op.Tags[0]] = append(byTag[op.Tags[0]], op)
	}
	for _, tag := range slices.Sorted(maps.Keys(byTag)) {
		data.Tags = append(data.Tags, docsTag{tag, byTag[tag]})
	}
	schemas := o.Components.Schemas.Map()
	for _, name := range slices.Sorted(maps.Keys(schemas)) {
		s := docsSchema{Name: name, Schema: schemas[name]}
		for _, field := range slices.Sorted(maps.Keys(s.Schema.Properties)) {
			s.Fields = append(s.Fields, docsField{field, s.Schema.Properties[field], slices.Contains(s.Schema.Required, field)})
		}
		data.Schemas = append(data.Schemas, s)
	}
	for _, kind := range keyturn.Kinds() {
		data.Statuses = append(data.Statuses, docsStatus{kind, kind.ProblemType(), kind.HTTPStatus(), kind.Title()})
	}
	return data
}

// refOf gives the name of the document that a schema refers to, if it does, also as the item of a list.
func refOf(s *huma.Schema) string {
	if s == nil {
		return ""
	}
	if s.Items != nil {
		return refOf(s.Items)
	}
	if inner, ok := s.AdditionalProperties.(*huma.Schema); ok {
		return refOf(inner)
	}
	return strings.TrimPrefix(s.Ref, "#/components/schemas/")
}

// typeOf says in words what a schema takes.
func typeOf(s *huma.Schema) string {
	switch {
	case s == nil:
		return "anything"
	case s.Ref != "":
		return refOf(s)
	case s.Items != nil:
		return "list of " + typeOf(s.Items)
	case len(s.OneOf) > 0:
		return "one of several forms"
	}
	if inner, ok := s.AdditionalProperties.(*huma.Schema); ok {
		return "map of " + typeOf(inner)
	}
	text := s.Type
	if s.Format == "date-time" {
		text = "time"
	}
	if len(s.Enum) > 0 {
		values := make([]string, len(s.Enum))
		for i, v := range s.Enum {
			values[i] = fmt.Sprint(v)
		}
		text += ": " + strings.Join(values, ", ")
	}
	return text
}

func scopesOf(op *huma.Operation) string {
	var out []string
	for _, s := range op.Security {
		out = append(out, s[bearer]...)
	}
	return strings.Join(out, " or ")
}
