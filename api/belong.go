package api

import (
	"context"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"keyturn.dev/keyturn"
)

// subject says what the {id} of a route's path names. It decides whose the thing is: a token with a prefix reaches a
// route only for what is its merchant's. register refuses a route that has a token and no subject.
type subject string

const (
	ofOrder       subject = "order"
	ofFulfillment subject = "fulfillment"
	ofLicense     subject = "licence"
	ofAlert       subject = "alert"
	ofProduct     subject = "product"
	ofPool        subject = "pool"
	ofIntegration subject = "integration"
	ofWebhook     subject = "webhook"
	ofLink        subject = "checkout link"
	ofPayment     subject = "payment"
	// narrowed: the handler gives the prefix to what it asks the database for, which leaves out all else.
	narrowed subject = "narrowed"
	// ofInstallation: no merchant's. A token with a prefix finds nothing there.
	ofInstallation subject = "installation"
)

const metaSubject = "subject"

// belongs refuses what is not the merchant's whose prefix the token has, as if it were not there. It is the one place
// that does: what a body names, and what a list shows, is up to the handler.
func (a *API) belongs(ctx context.Context, c *call, op *huma.Operation, id string) error {
	prefix := c.client.Prefix
	if prefix == "" {
		return nil
	}
	of, _ := op.Metadata[metaSubject].(subject)
	owner, err := id, error(nil)
	switch of {
	case narrowed:
		return nil
	case ofOrder, ofProduct, ofPool, ofIntegration, ofWebhook:
		if op.Method == http.MethodPut {
			return prefix.CheckNew("id", id)
		}
	case ofFulfillment, ofLicense:
		owner, err = a.DB.OrderOf(ctx, id)
	case ofLink:
		owner, err = a.DB.OrderOfLink(ctx, id)
	case ofPayment:
		owner, err = a.DB.OrderOfPayment(ctx, id)
	case ofAlert:
		no, _ := strconv.ParseInt(id, 10, 64) // 0 is no alert's
		owner, err = a.DB.AlertSubject(ctx, no)
	default:
		return keyturn.Errorf(keyturn.KindNotFound,
			"this is about the whole installation, and the token is for %s: use a token without a prefix", prefix)
	}
	if kind := keyturn.KindOf(err); err != nil && kind != keyturn.KindNotFound {
		return err
	}
	if err != nil || !prefix.Covers(owner) {
		return keyturn.Errorf(keyturn.KindNotFound, "there is no such %s for this token, whose prefix is %s", of, prefix)
	}
	return nil
}
