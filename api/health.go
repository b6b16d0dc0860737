package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"go.temporal.io/sdk/client"

	"keyturn.dev/keyturn"
)

type healthOutput struct {
	Status int
	Body   keyturn.Health
}

const (
	healthy       = "ok"
	unhealthy     = "unavailable"
	healthTimeout = 2 * time.Second
)

func (a *API) healthRoutes() {
	const tag = "Health"
	register(a, operation{Operation: huma.Operation{
		OperationID: "livez", Method: http.MethodGet, Path: "/livez", Tags: []string{tag}, Summary: "Liveness check",
	}}, func(context.Context, *call, *struct{}) (*healthOutput, error) {
		return &healthOutput{Status: http.StatusOK, Body: keyturn.Health{Status: healthy}}, nil
	})
	register(a, operation{Operation: huma.Operation{
		OperationID: "readyz", Method: http.MethodGet, Path: "/readyz", Tags: []string{tag}, Summary: "Readiness check",
		Description: "503 while the database is unavailable. Orders are accepted without Temporal.",
	}}, a.ready)
}

func (a *API) ready(ctx context.Context, _ *call, _ *struct{}) (*healthOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	out := &healthOutput{Status: http.StatusOK, Body: keyturn.Health{Status: healthy, Database: healthy}}
	answered := make(chan error, 1)
	go func() { answered <- a.DB.Ping(ctx) }() // the driver does not hear that ctx has ended while the database is silent
	var err error
	select {
	case err = <-answered:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		out.Status, out.Body.Status, out.Body.Database = http.StatusServiceUnavailable, unhealthy, unhealthy
		return out, nil
	}
	if a.Temporal != nil {
		out.Body.Temporal = healthy
		if _, err := a.Temporal.CheckHealth(ctx, &client.CheckHealthRequest{}); err != nil {
			out.Body.Temporal = unhealthy
		}
	}
	return out, nil
}
