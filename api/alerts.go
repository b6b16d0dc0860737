package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"keyturn.dev/keyturn"
)

type (
	alertsInput struct {
		All    bool               `query:"all" doc:"Include closed alerts."`
		Cause  keyturn.AlertCause `query:"cause" maxLength:"100"`
		Before int64              `query:"before" doc:"Only alerts with a smaller ID, for the next page."`
		Limit  int                `query:"limit" minimum:"1" maximum:"200" default:"50"`
	}
	alertInput struct {
		ID int64 `path:"id"`
	}
	alertsOutput struct{ Body keyturn.Alerts }
	alertOutput  struct{ Body keyturn.AlertView }
)

func (a *API) alertRoutes() {
	const tag = "Alerts"
	register(a, operation{of: narrowed, Operation: huma.Operation{
		OperationID: "listAlerts", Method: http.MethodGet, Path: "/v1/alerts", Tags: []string{tag},
		Summary: "List open alerts",
		Description: "The newest first. `closable` marks those that stay open until a person closes them. The causes:\n\n" +
			keyturn.AlertCausesTable(), Security: anyOf(ScopeOps),
	}}, func(ctx context.Context, c *call, in *alertsInput) (*alertsOutput, error) {
		found, err := a.DB.Alerts(ctx, c.client.Prefix, in.All, in.Cause, in.Before, in.Limit)
		return &alertsOutput{Body: keyturn.Alerts{Alerts: found}}, err
	})
	register(a, operation{of: ofAlert, body: keyturn.CloseRequest{}, Operation: huma.Operation{
		OperationID: "closeAlert", Method: http.MethodPost, Path: "/v1/alerts/{id}/close", Tags: []string{tag},
		Summary: "Close an alert",
		Description: "For alerts that need a person to act outside Keyturn, such as blocking a key at its publisher. 409 " +
			"for alerts that close automatically. Idempotent.",
		Security: anyOf(ScopeOps),
	}}, func(ctx context.Context, c *call, in *alertInput) (*alertOutput, error) {
		var body keyturn.CloseRequest
		if _, err := decodeBody(c, maxSmallBody, false, &body); err != nil {
			return nil, err
		}
		v, err := a.DB.CloseAlert(ctx, in.ID, c.by(), body.Reason)
		return &alertOutput{Body: v}, err
	})
}
