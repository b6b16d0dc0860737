package stripe

import (
	"net/url"
	"slices"
	"time"
)

// endpoint is a webhook endpoint.
type endpoint struct {
	ID          string
	URL         string
	Types       []string
	APIVersion  string
	Description string
	Secret      string
	OldSecret   string // signs, too, until OldUntil
	OldUntil    time.Time
	Disabled    bool
	Created     int64
	Metadata    map[string]string
	Live        bool
}

func endpointParams(create bool) params {
	all := params{
		"enabled_events": listOf(oneOf(append([]string{"*"}, eventTypes...)...)), "url": {}, "description": {},
		"metadata": {kind: metadata},
	}
	if create {
		all["url"], all["enabled_events"] = must(all["url"]), must(all["enabled_events"])
		all["api_version"], all["connect"] = oneOf(APIVersion), param{kind: boolean}
	} else {
		all["disabled"] = param{kind: boolean}
	}
	return all
}

// secrets are those that sign now: while a secret is rolled, the one before signs beside it.
func (r *endpoint) secrets(now time.Time) []string {
	if r.OldSecret != "" && now.Before(r.OldUntil) {
		return []string{r.Secret, r.OldSecret}
	}
	return []string{r.Secret}
}

func (c *call) createEndpoint() (object, *apiError) {
	r := &endpoint{
		ID: newID("we_"), Secret: newID("whsec_"), Created: c.unix(), APIVersion: c.args.text("api_version"), Live: c.live,
	}
	if e := c.change(r); e != nil {
		return nil, e
	}
	o := add(&c.state, &c.state.Endpoints, r).render(c.Server)
	o["secret"] = r.Secret // this once
	return o, nil
}

func (c *call) change(r *endpoint) *apiError {
	if address := c.args.text("url"); address != "" {
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || c.live) {
			return refuse("url_invalid", "url", "Invalid URL: An explicit scheme (such as https) must be provided.")
		}
		r.URL = address
	}
	if types := c.args.texts("enabled_events"); types != nil {
		r.Types = types
	}
	if text := c.args.text("description"); text != "" {
		r.Description = text
	}
	if m := c.args.metadata("metadata"); m != nil {
		r.Metadata = m
	}
	if disabled, sent := c.args["disabled"].(bool); sent {
		r.Disabled = disabled
	}
	return nil
}

func (c *call) updateEndpoint() (object, *apiError) {
	r, e := find[*endpoint](c.Server, "webhook_endpoint", c.id)
	if e != nil {
		return nil, e
	}
	if e := c.change(r); e != nil {
		return nil, e
	}
	return r.render(c.Server), nil
}

func (c *call) retrieveEndpoint() (object, *apiError) {
	r, e := find[*endpoint](c.Server, "webhook_endpoint", c.id)
	if e != nil {
		return nil, e
	}
	return r.render(c.Server), nil
}

func (c *call) listEndpoints() (object, *apiError) {
	return page(c, "/v1/webhook_endpoints", c.state.Endpoints, nil)
}

func (c *call) deleteEndpoint() (object, *apiError) {
	r, e := find[*endpoint](c.Server, "webhook_endpoint", c.id)
	if e != nil {
		return nil, e
	}
	c.state.Endpoints = slices.DeleteFunc(c.state.Endpoints, func(o *endpoint) bool { return o == r })
	delete(c.state.byID, r.ID)
	return object{"id": r.ID, "object": "webhook_endpoint", "deleted": true}, nil
}

func (r *endpoint) id() string     { return r.ID }
func (r *endpoint) created() int64 { return r.Created }
func (*endpoint) kind() string     { return "webhook_endpoint" }

func (r *endpoint) render(*Server) object {
	status := "enabled"
	if r.Disabled {
		status = "disabled"
	}
	return object{
		"id": r.ID, "object": "webhook_endpoint", "livemode": r.Live, "api_version": orNull(r.APIVersion), "application": nil,
		"created": r.Created, "description": orNull(r.Description), "enabled_events": r.Types, "status": status, "url": r.URL,
		"metadata": orEmpty(r.Metadata),
	}
}

// AddEndpoint has all events sent to an address, signed with a secret, as if somebody had made the endpoint in Stripe's
// dashboard. An endpoint of that address gets the secret.
func (s *Server) AddEndpoint(address, secret string) (endpointID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.state.Endpoints {
		if r.URL == address {
			r.Secret = secret
			return r.ID
		}
	}
	return add(&s.state, &s.state.Endpoints, &endpoint{
		ID: newID("we_"), URL: address, Types: []string{"*"}, Secret: secret, Created: s.unix(), APIVersion: APIVersion,
		Live: s.live,
	}).ID
}

// RollSecret gives an endpoint another secret. The one before signs beside it for a while.
func (s *Server) RollSecret(endpointID string, keep time.Duration) (secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.state.byID[endpointID].(*endpoint)
	if !ok {
		return ""
	}
	r.OldSecret, r.OldUntil, r.Secret = r.Secret, s.now().Add(keep), newID("whsec_")
	return r.Secret
}
