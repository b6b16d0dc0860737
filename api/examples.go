package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// example is what one route takes and answers, as values of the types that its handler reads and writes. A body of text
// is a string. nil: the route has no body, or answers with none.
type example struct{ request, answer any }

// examples has the example of each route by its operation ID. They tell one story: a shop sells a text editor and a
// game season pass.
var examples = func() map[string]example {
	all := map[string]example{}
	for _, part := range []map[string]example{
		orderExamples, checkoutExamples, catalogExamples, stockExamples, operationsExamples,
	} {
		maps.Copy(all, part)
	}
	return all
}()

// addExamples puts the examples into the description: beside each body that a request may have, and beside the answer
// of a success.
func addExamples(o *huma.OpenAPI) {
	for _, op := range operationsOf(o) {
		ex := examples[op.OperationID]
		if op.RequestBody != nil {
			setExample(op.RequestBody.Content, ex.request)
		}
		for status, answer := range op.Responses {
			if strings.HasPrefix(status, "2") {
				setExample(answer.Content, ex.answer)
			}
		}
	}
}

// setExample gives each media type its example: a map has one per media type.
func setExample(content map[string]*huma.MediaType, value any) {
	texts, byType := value.(map[string]string)
	for name, media := range content {
		switch {
		case value == nil:
		case byType:
			media.Example = texts[name]
		default:
			media.Example = value
		}
	}
}

// operationsOf lists all operations, by path and then by method.
func operationsOf(o *huma.OpenAPI) []*huma.Operation {
	var all []*huma.Operation
	for _, path := range slices.Sorted(maps.Keys(o.Paths)) {
		item := o.Paths[path]
		for _, op := range []*huma.Operation{item.Post, item.Put, item.Get, item.Delete} {
			if op != nil {
				all = append(all, op)
			}
		}
	}
	return all
}

// docsExample is one example as the page shows it.
type docsExample struct{ Of, Text string }

// examplesOf lists an operation's examples: of its request by media type, then of its first success.
func examplesOf(op *huma.Operation) []docsExample {
	var all []docsExample
	add := func(of string, content map[string]*huma.MediaType) {
		for _, name := range slices.Sorted(maps.Keys(content)) {
			if value := content[name].Example; value != nil {
				all = append(all, docsExample{of + ", " + name, exampleText(value)})
			}
		}
	}
	if op.RequestBody != nil {
		add("Request", op.RequestBody.Content)
	}
	for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
		if strings.HasPrefix(status, "2") {
			add("Answer "+status, op.Responses[status].Content)
			break
		}
	}
	return all
}

// exampleText is an example as the page shows it.
func exampleText(value any) string {
	if text, ok := value.(string); ok {
		return text
	}
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("describe the API: %v", err)) // a mistake in our own types: the first test finds it
	}
	return string(text)
}
