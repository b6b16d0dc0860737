package stripe

import (
	"context"
	"slices"
	"strings"

	api "github.com/stripe/stripe-go/v85"

	"keyturn.dev/keyturn"
)

// Setup is what an account at Stripe has for us.
type Setup struct {
	Live     bool     `json:"live"`
	Lacks    []string `json:"lacks,omitempty"` // permissions of the key
	Endpoint string   `json:"endpoint"`
	Made     bool     `json:"made"` // the endpoint is new: its secret is told once
	// Secret signs the endpoint's events. Stripe tells it once, when the endpoint is made.
	Secret  string   `json:"secret,omitempty"`
	Retired []string `json:"retired,omitempty"` // endpoints of ours that were removed
}

// SetupOptions say what is to become of the endpoint.
type SetupOptions struct {
	Address string // of our hook
	Roll    bool   // make a further endpoint, whose secret replaces that of the one before
	Retire  bool   // remove all of our endpoints but the newest
}

const endpointsPath = "/v1/webhook_endpoints"

// Setup checks the key's permissions, and makes or corrects the endpoint that events are sent to. It may be repeated.
// KindConfiguration names what the key lacks if the endpoint could not be seen to.
func (x Processor) Setup(ctx context.Context, o SetupOptions) (Setup, error) {
	out := Setup{Live: x.Live()}
	var err error
	if out.Lacks, err = x.lacks(ctx); err != nil {
		return out, err
	}
	err = x.setUpEndpoint(ctx, o, &out)
	if forbidden(err) {
		out.Lacks = append(out.Lacks, setupPermission)
		err = keyturn.Errorf(keyturn.KindConfiguration, "Stripe's key lacks permissions: give it these at Developers, API "+
			"keys, and run it again: %s", strings.Join(out.Lacks, "; "))
	}
	return out, err
}

// setUpEndpoint makes or corrects the endpoint that events are sent to.
func (x Processor) setUpEndpoint(ctx context.Context, o SetupOptions, out *Setup) error {
	ours, err := x.endpoints(ctx, o.Address)
	if err != nil {
		return err
	}
	var current *api.WebhookEndpoint
	if len(ours) > 0 {
		current = ours[0]
	}
	if current == nil || o.Roll || current.APIVersion != APIVersion { // the version of one that is there stays
		var made api.WebhookEndpoint
		p := &api.WebhookEndpointCreateParams{
			Params: api.Params{Context: ctx}, URL: api.String(o.Address), APIVersion: api.String(APIVersion),
			EnabledEvents: api.StringSlice(EventTypes), Metadata: x.mark("endpoint"), Description: api.String("Keyturn"),
		}
		if err := x.post(endpointsPath, p, &made); err != nil {
			return err
		}
		out.Made, out.Secret, out.Endpoint = true, made.Secret, made.ID
		ours = append([]*api.WebhookEndpoint{&made}, ours...)
	} else if out.Endpoint = current.ID; !sameEvents(current.EnabledEvents) || current.Status != "enabled" {
		p := &api.WebhookEndpointUpdateParams{
			Params: api.Params{Context: ctx}, EnabledEvents: api.StringSlice(EventTypes), Disabled: api.Bool(false),
		}
		if err := x.post(api.FormatURLPath(endpointsPath+"/%s", current.ID), p, current); err != nil {
			return err
		}
	}
	if !o.Retire {
		return nil
	}
	for _, old := range ours[1:] {
		p := &api.WebhookEndpointDeleteParams{Params: api.Params{Context: ctx}}
		if err := x.call("DELETE", api.FormatURLPath(endpointsPath+"/%s", old.ID), p, old); err != nil {
			return err
		}
		out.Retired = append(out.Retired, old.ID)
	}
	return nil
}

func sameEvents(has []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(has)), slices.Sorted(slices.Values(EventTypes)))
}

// endpoints are those at our address that this installation has made, the newest first.
func (x Processor) endpoints(ctx context.Context, address string) (ours []*api.WebhookEndpoint, err error) {
	p := &api.WebhookEndpointListParams{}
	err = each(ctx, x, endpointsPath, p, &p.ListParams, func(e *api.WebhookEndpoint) (id string) {
		if id, _ := x.owner(e.Metadata); id == "endpoint" && e.URL == address {
			ours = append(ours, e)
		}
		return e.ID
	})
	slices.SortStableFunc(ours, func(a, b *api.WebhookEndpoint) int { return int(b.Created - a.Created) })
	return ours, err
}

// Permissions are those that a restricted key needs, as Stripe's dashboard names them.
var Permissions = []string{
	"Checkout Sessions: write", "PaymentIntents: write", "Charges and Refunds: write", "Disputes: read",
	"Radar, early fraud warnings: read",
}

// setupPermission is what the key needs for Setup alone.
const setupPermission = "Webhook Endpoints: write"

// lacks tries each permission without an effect: what is asked for is not there. Only a key without the permission is
// answered otherwise.
func (x Processor) lacks(ctx context.Context) (lacks []string, err error) {
	write := api.Params{Context: ctx}
	one := api.ListParams{Limit: api.Int64(1)}
	none := "none_0"
	tries := []func() error{
		func() error {
			return x.post(sessionsPath+"/cs_"+none+"/expire", &api.CheckoutSessionExpireParams{Params: write},
				&api.CheckoutSession{})
		},
		func() error {
			return x.post(intentsPath+"/pi_"+none+"/capture", &api.PaymentIntentCaptureParams{Params: write},
				&api.PaymentIntent{})
		},
		func() error {
			return x.post(refundsPath, &api.RefundCreateParams{Params: write, PaymentIntent: api.String("pi_" + none)},
				&api.Refund{})
		},
		func() error {
			return x.list(ctx, disputesPath, &api.DisputeListParams{ListParams: one}, &api.DisputeList{})
		},
		func() error {
			return x.list(ctx, warningsPath, &api.RadarEarlyFraudWarningListParams{ListParams: one},
				&api.RadarEarlyFraudWarningList{})
		},
	}
	for i, try := range tries {
		err := try()
		switch {
		case forbidden(err):
			lacks = append(lacks, Permissions[i])
		case err == nil || keyturn.KindOf(err) == keyturn.KindNotFound || keyturn.KindOf(err) == keyturn.KindRejected:
		default:
			return nil, err
		}
	}
	return lacks, nil
}
