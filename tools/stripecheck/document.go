package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/stripe/stripe-mock/embedded"
)

// document is what Stripe publishes of its API (OpenAPI 3), as stripe-mock carries it.
type document struct {
	Info struct {
		Version string `json:"version"`
	} `json:"info"`
	Paths      map[string]map[string]*operation `json:"paths"`
	Components struct {
		Schemas map[string]*schema `json:"schemas"`
	} `json:"components"`

	templates map[int][]template // by number of steps
	resources map[string]*schema // by what an object calls itself
}

type operation struct {
	Parameters  []parameter `json:"parameters"`
	RequestBody struct {
		Content map[string]media `json:"content"`
	} `json:"requestBody"`
	Responses map[string]struct {
		Content map[string]media `json:"content"`
	} `json:"responses"`
}

type parameter struct {
	Name     string  `json:"name"`
	In       string  `json:"in"`
	Required bool    `json:"required"`
	Schema   *schema `json:"schema"`
}

type media struct {
	Schema *schema `json:"schema"`
}

// schema is as much of JSON Schema as the document uses.
type schema struct {
	Ref                  string             `json:"$ref"`
	Type                 string             `json:"type"`
	Nullable             bool               `json:"nullable"`
	Enum                 []any              `json:"enum"`
	AnyOf                []*schema          `json:"anyOf"`
	Items                *schema            `json:"items"`
	Properties           map[string]*schema `json:"properties"`
	Required             []string           `json:"required"`
	AdditionalProperties json.RawMessage    `json:"additionalProperties"`
	MaxLength            int                `json:"maxLength"`
	Pattern              string             `json:"pattern"`

	once  sync.Once
	extra *schema // of additionalProperties
	open  bool    // additionalProperties is true
}

// template is a path with names in braces.
type template struct {
	path  string
	steps []string
}

func readDocument() (*document, error) {
	var d document
	if err := json.Unmarshal(embedded.OpenAPISpec, &d); err != nil {
		return nil, fmt.Errorf("read the OpenAPI document: %w", err)
	}
	d.templates, d.resources = map[int][]template{}, map[string]*schema{}
	for path := range d.Paths {
		steps := strings.Split(path, "/")
		d.templates[len(steps)] = append(d.templates[len(steps)], template{path, steps})
	}
	for _, s := range d.Components.Schemas {
		if name := s.Properties["object"]; name != nil && len(name.Enum) == 1 {
			text, _ := name.Enum[0].(string)
			if d.resources[text] == nil || strings.HasPrefix(text, "deleted") {
				d.resources[text] = s
			}
		}
	}
	for name, s := range d.Components.Schemas { // the schema that is named as its objects are
		if own := s.Properties["object"]; own != nil && len(own.Enum) == 1 && own.Enum[0] == name {
			d.resources[name] = s
		}
	}
	return &d, nil
}

// find gives the operation of a request; the path that names more by itself comes first. nil: the document has none.
func (d *document) find(method, path string) *operation {
	steps := strings.Split(path, "/")
	var best *operation
	literal := -1
	for _, t := range d.templates[len(steps)] {
		same := 0
		for i, step := range t.steps {
			if step == steps[i] {
				same++
			} else if !strings.HasPrefix(step, "{") || steps[i] == "" {
				same = -1
				break
			}
		}
		if o := d.Paths[t.path][strings.ToLower(method)]; o != nil && same > literal {
			best, literal = o, same
		}
	}
	return best
}

// deref follows a reference.
func (d *document) deref(s *schema) *schema {
	for s != nil && s.Ref != "" {
		s = d.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
	}
	return s
}

// additional says what an object may have beside its properties: anything (open), values of a schema, or nothing.
func (s *schema) additional() (extra *schema, open bool) {
	s.once.Do(func() {
		switch text := string(s.AdditionalProperties); text {
		case "", "false":
		case "true":
			s.open = true
		default:
			s.extra = &schema{}
			if err := json.Unmarshal(s.AdditionalProperties, s.extra); err != nil {
				panic(err) // the document was read before
			}
		}
	})
	return s.extra, s.open
}

// query is the schema of the parameters of a GET: an object.
func (o *operation) query() *schema {
	all := &schema{Type: "object", Properties: map[string]*schema{}}
	for _, p := range o.Parameters {
		if p.In == "query" {
			all.Properties[p.Name] = p.Schema
			if p.Required {
				all.Required = append(all.Required, p.Name)
			}
		}
	}
	return all
}

// body is the schema of a form-encoded body.
func (o *operation) body() *schema {
	if s := o.RequestBody.Content["application/x-www-form-urlencoded"].Schema; s != nil {
		return s
	}
	return &schema{Type: "object"}
}

// answer is the schema of the answer with a status.
func (o *operation) answer(status int) *schema {
	if r, ok := o.Responses[fmt.Sprint(status)]; ok {
		return r.Content["application/json"].Schema
	}
	return o.Responses["default"].Content["application/json"].Schema
}
