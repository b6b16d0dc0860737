package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"go.temporal.io/sdk/client"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

type healthOutput struct {
	Status int
	Body   keyturn.Health
}

const healthTimeout = 2 * time.Second

func (a *API) healthRoutes() {
	const tag = "Health"
	register(a, operation{Operation: huma.Operation{
		OperationID: "livez", Method: http.MethodGet, Path: "/livez", Tags: []string{tag}, Summary: "Liveness check",
	}}, func(context.Context, *call, *struct{}) (*healthOutput, error) {
		return &healthOutput{Status: http.StatusOK, Body: keyturn.Health{Status: keyturn.HealthOK}}, nil
	})
	register(a, operation{Operation: huma.Operation{
		OperationID: "readyz", Method: http.MethodGet, Path: "/readyz", Tags: []string{tag}, Summary: "Readiness check",
		Description: "503 while the database is unavailable, or while Temporal's namespace lacks search attributes, which " +
			"are named. Orders are accepted without Temporal.",
	}}, func(ctx context.Context, _ *call, _ *struct{}) (*healthOutput, error) {
		out := &healthOutput{Status: http.StatusOK, Body: a.Ready(ctx)}
		if out.Body.Status != keyturn.HealthOK {
			out.Status = http.StatusServiceUnavailable
		}
		return out, nil
	})
}

// Ready says whether the API can do its work, as /readyz does.
func (a *API) Ready(ctx context.Context) keyturn.Health {
	return ReadyCheck{DB: a.DB, Temporal: a.Temporal, MissingSearchAttributes: a.MissingSearchAttributes}.Check(ctx)
}

// ReadyCheck is what a process is asked whether it can do its work.
type ReadyCheck struct {
	DB       *db.DB
	Temporal client.Client // nil: none is needed
	// MissingSearchAttributes names what Temporal's namespace lacks; nil: nobody asks.
	MissingSearchAttributes func(context.Context) ([]string, error)
	// NeedsTemporal is a worker's: it does nothing without Temporal, while an API accepts orders.
	NeedsTemporal bool
}

// Check asks the database and Temporal. It takes two seconds at most, and whoever does not answer is unavailable.
func (r ReadyCheck) Check(ctx context.Context) keyturn.Health {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	out := keyturn.Health{Status: keyturn.HealthOK, Database: keyturn.HealthOK}
	answered := make(chan error, 1)
	go func() { answered <- r.DB.Ping(ctx) }() // the driver does not hear that ctx has ended while the database is silent
	var err error
	select {
	case err = <-answered:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		out.Status, out.Database = keyturn.HealthUnavailable, keyturn.HealthUnavailable
		return out
	}
	if r.Temporal == nil {
		return out
	}
	_, err = r.Temporal.CheckHealth(ctx, &client.CheckHealthRequest{})
	if err == nil && r.MissingSearchAttributes != nil {
		out.MissingSearchAttributes, err = r.MissingSearchAttributes(ctx)
	}
	if out.Temporal = keyturn.HealthOK; err != nil {
		out.Temporal = keyturn.HealthUnavailable
	}
	if len(out.MissingSearchAttributes) > 0 || r.NeedsTemporal && err != nil {
		out.Status = keyturn.HealthUnavailable
	}
	return out
}
