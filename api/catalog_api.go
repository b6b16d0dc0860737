package api

import (
	"context"
	"maps"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/catalog"
)

type (
	putInput struct {
		ID     string `path:"id" maxLength:"200"`
		DryRun bool   `query:"dryRun" doc:"Validate and report what would change, without storing anything."`
	}
	putOutput struct {
		Status int
		Change string `header:"Keyturn-Change" enum:"created,changed,unchanged"`
		Body   any
	}
	anyOutput struct{ Body any }
)

// catalogKind is one kind of catalog entries: how they are checked, stored and shown.
type catalogKind[T any] struct {
	one, many string // "product", "products"; a kind that has one entry has no many
	of        subject
	tag       string
	shown     any              // a value of the type of what GET shows
	list      any              // a value of the type of the list's document
	readers   []string         // the scopes that open GET
	id        func(*T) *string // nil: there is one entry, without an ID
	check     func(context.Context, keyturn.Prefix, T) (T, error)
	secrets   func(context.Context, T) ([]string, error) // which would change; nil: the kind has none
	show      func(T) T                                  // without what is not shown; nil: as it is
	put       func(context.Context, T) (created, changed bool, err error)
	answer    func(given, stored T) any // what PUT answers; nil: what is stored
	get       func(context.Context, string) (T, error)
	view      func(context.Context, string) (any, error) // what GET shows
	all       func(context.Context, keyturn.Prefix) (any, error)
	remove    func(context.Context, string) error
}

func catalogRoutes[T any](a *API, k catalogKind[T]) {
	var zero T
	base := "/v1/" + k.many
	missing := func(id string) error {
		if !keyturn.ValidID(id) {
			return keyturn.Errorf(keyturn.KindNotFound, "the catalog has no such %s", k.one)
		}
		return nil
	}
	var answered any = zero
	if k.answer != nil {
		answered = k.answer(zero, zero)
	}
	stored := a.answers("200", "Updated or unchanged, or the result of a dry run", answered)
	maps.Copy(stored, a.answers("201", "Created", answered))
	register(a, operation{of: k.of, body: zero, Operation: huma.Operation{
		OperationID: "put-" + k.one, Method: http.MethodPut, Path: base + "/{id}", Tags: []string{k.tag},
		Summary: "Create or change " + withArticle(k.one),
		Description: "Idempotent. The header `Keyturn-Change` reports what happened. With `dryRun=true` the response lists " +
			"what would change, as {change, differences}.",
		Security: anyOf(ScopeCatalogWrite), Responses: stored,
	}}, func(ctx context.Context, c *call, in *putInput) (*putOutput, error) {
		return k.handlePut(ctx, c, in.ID, in.DryRun)
	})
	register(a, operation{of: k.of, Operation: huma.Operation{
		OperationID: "get-" + k.one, Method: http.MethodGet, Path: base + "/{id}", Tags: []string{k.tag},
		Summary:  "Show " + withArticle(k.one),
		Security: anyOf(k.readers...), Responses: a.answers("200", "OK", k.shown),
	}}, func(ctx context.Context, _ *call, in *idInput) (*anyOutput, error) {
		if err := missing(in.ID); err != nil {
			return nil, err
		}
		v, err := k.view(ctx, in.ID)
		return &anyOutput{Body: v}, err
	})
	register(a, operation{of: narrowed, Operation: huma.Operation{
		OperationID: "list-" + k.many, Method: http.MethodGet, Path: base, Tags: []string{k.tag}, Summary: "List all " +
			k.many,
		Security: anyOf(k.readers...), Responses: a.answers("200", "OK", k.list),
	}}, func(ctx context.Context, c *call, _ *struct{}) (*anyOutput, error) {
		v, err := k.all(ctx, c.client.Prefix)
		return &anyOutput{Body: v}, err
	})
	register(a, operation{of: k.of, Operation: huma.Operation{
		OperationID: "delete-" + k.one, Method: http.MethodDelete, Path: base + "/{id}", Tags: []string{k.tag},
		Summary:     "Delete " + withArticle(k.one),
		Description: "409 while anything refers to it.", Security: anyOf(ScopeCatalogWrite),
	}}, func(ctx context.Context, _ *call, in *idInput) (*struct{}, error) {
		if err := missing(in.ID); err != nil {
			return nil, err
		}
		return nil, k.remove(ctx, in.ID)
	})
}

func withArticle(noun string) string {
	if strings.ContainsAny(noun[:1], "aeiou") {
		return "an " + noun
	}
	return "a " + noun
}

func (k catalogKind[T]) handlePut(ctx context.Context, c *call, id string, dryRun bool) (*putOutput, error) {
	var v T
	if _, err := decodeBody(c, maxCatalogBody, false, &v); err != nil {
		return nil, err
	}
	var bad keyturn.Problems
	if k.id != nil {
		if given := k.id(&v); *given == "" {
			*given = id
		} else {
			bad.Check(*given == id, "id", "must match the ID in the URL")
		}
	}
	if err := bad.Err("the " + k.one + " is not valid"); err != nil {
		return nil, err
	}
	v, err := k.check(ctx, c.client.Prefix, v)
	if err != nil {
		return nil, err
	}
	if dryRun {
		return k.dryRun(ctx, id, v)
	}
	created, changed, err := k.put(ctx, v)
	if err != nil {
		return nil, err
	}
	out := &putOutput{Status: http.StatusOK, Change: keyturn.ChangeOf(created, changed)}
	if created {
		out.Status = http.StatusCreated
	}
	stored, err := k.get(ctx, id)
	out.Body = stored
	if k.answer != nil && err == nil {
		out.Body = k.answer(v, stored)
	}
	return out, err
}

// dryRun compares an entry with what is stored.
func (k catalogKind[T]) dryRun(ctx context.Context, id string, v T) (*putOutput, error) {
	var secrets []string
	var err error
	if k.secrets != nil {
		if secrets, err = k.secrets(ctx, v); err != nil {
			return nil, err
		}
	}
	if k.show != nil {
		v = k.show(v)
	}
	old, err := k.get(ctx, id)
	isNew := keyturn.KindOf(err) == keyturn.KindNotFound
	if err != nil && !isNew {
		return nil, err
	}
	change := keyturn.Change{Differences: catalog.Differences(old, v, isNew)}
	for _, name := range secrets {
		change.Differences = append(change.Differences, keyturn.Difference{Location: name, To: "[a new secret]"})
	}
	change.Change = keyturn.ChangeOf(isNew, len(change.Differences) > 0)
	return &putOutput{Status: http.StatusOK, Change: change.Change, Body: change}, nil
}
