package api

import "keyturn.dev/keyturn"

func exampleAlert() keyturn.AlertView {
	info := keyturn.AlertExposed.Info()
	return keyturn.AlertView{
		ID: 812, Cause: info.Cause, Severity: info.Severity, Happened: info.Meaning, ToDo: info.ToDo, OrderID: exampleOrderID,
		FulfillmentID: exampleLine, ProductID: exampleProduct, Source: "pool/" + examplePool, OpenedAt: exampleTime(1),
		ToldAt: exampleAt(2), Closable: info.ByPerson,
	}
}

func exampleClosedAlert() keyturn.AlertView {
	alert := exampleAlert()
	alert.ClosedAt, alert.ClosedBy, alert.CloseReason = exampleAt(90), exampleOperator, "the publisher blocked the key"
	return alert
}

func exampleAudit() keyturn.AuditView {
	return keyturn.AuditView{
		ID: "0198a600-0d3f-7a55-9e21-44c0b7f8a9d0", StartedAt: exampleTime(900), SnapshotAt: exampleTime(900),
		FinishedAt: exampleTime(901), OK: true, Checked: 1, Violated: []string{}, Repaired: []string{},
	}
}

func exampleAuditDetail() keyturn.AuditDetail {
	view := exampleAudit()
	return keyturn.AuditDetail{AuditView: view, Report: &keyturn.AuditReport{
		StartedAt: view.StartedAt, SnapshotAt: view.SnapshotAt, FinishedAt: view.FinishedAt, OK: true, Checked: 1,
		Invariants: []keyturn.InvariantResult{{
			ID: "K1", Severity: keyturn.S0, Meaning: "no key is sold twice", Checked: true,
			Looked: []keyturn.AuditCount{{What: "sold keys", N: 188}},
		}},
	}}
}

var operationsExamples = map[string]example{
	"listAlerts": {answer: keyturn.Alerts{Alerts: []keyturn.AlertView{exampleAlert()}}},
	"closeAlert": {request: keyturn.CloseRequest{Reason: "the publisher blocked the key"}, answer: exampleClosedAlert()},
	"listAudits": {answer: keyturn.Audits{Audits: []keyturn.AuditView{exampleAudit()}}},
	"getAudit":   {answer: exampleAuditDetail()},
	"startAudit": {answer: keyturn.AuditAsked{RequestedAt: exampleTime(900)}},
	"livez":      {answer: keyturn.Health{Status: keyturn.HealthOK}},
	"readyz": {answer: keyturn.Health{
		Status: keyturn.HealthOK, Database: keyturn.HealthOK,
		Temporal: keyturn.HealthOK,
	}},

	"getDeliverableFile": {}, // the bytes of a file
}
