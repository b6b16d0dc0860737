package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/catalogfile"
	"keyturn.dev/keyturn/endpoint"
)

// checkOptions are the flags of integration check.
type checkOptions struct {
	integration, operation, product, data, address, reply string
	units, status                                         int
	send                                                  bool
}

// checked is what integration check has to say.
type checked struct {
	Integration  string                    `json:"integration"`
	StandIns     []string                  `json:"placeholders,omitempty"` // environment variables that are not set
	Request      endpoint.RequestExplained `json:"request"`
	SentTo       string                    `json:"sentTo,omitempty"`
	DurationMs   int64                     `json:"durationMs,omitempty"`
	NoReply      string                    `json:"noReply,omitempty"` // why there was none
	Reply        *keyturn.ReplyExplained   `json:"reply,omitempty"`
	InProduction []keyturn.FieldError      `json:"inProduction,omitempty"` // what production refuses
}

func newIntegrationCheck() *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use: "check FILE", Short: "Test an integration of a catalog file before applying it", Args: cobra.ExactArgs(1),
		Long: `Reads an integration from a catalog file, renders and signs the request of a sample order, and shows
both. With --send it sends the request to the integration's testBaseUrl (or to --address) with its
credentials, and explains what Keyturn would do with the reply. With --reply it explains a reply
from a file. Nothing is stored, and no customer receives anything. With --product the sample order
is for a product of the file: its name, publisher IDs, variables and quantity mode. Errors in the
file are reported with their line. Secrets, activation codes, links and files are never printed.
Unless the request is sent, a secret whose environment variable is not set is replaced by a
placeholder.

The exit status is 0 if the request can be rendered and the reply, if there is one, would be a
success.`,
		Example: `  keyturn integration check catalog.yaml
  keyturn integration check catalog.yaml --integration acme-licenses --operation renew --data order.json
  keyturn integration check catalog.yaml --product orbit-studio
  keyturn integration check catalog.yaml --send
  keyturn integration check catalog.yaml --reply reply.json --status 200 --units 2`,
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), cmd, args[0]) },
	}
	f := cmd.Flags()
	f.StringVar(&o.integration, "integration", "", "which integration of the file; needed if it has several")
	f.StringVar(&o.operation, "operation", "create", "create, renew, upgrade, cancel, pause, resume or lookup")
	f.StringVar(&o.product, "product", "", "a product of the file that the sample order is for; without it, a made-up one")
	f.StringVar(&o.data, "data", "",
		"JSON file with values of the fulfillment request that replace the sample's, such as {\"product\": "+
			"{\"publisherProductId\": \"X-1\"}}")
	f.IntVar(&o.units, "units", 1, "how many activation codes the reply must bring; 0: an acknowledgement is enough")
	f.BoolVar(&o.send, "send", false, "send the request to the integration's testBaseUrl")
	f.StringVar(&o.address, "address", "",
		"send to this base URL instead of testBaseUrl; a partner's live server really issues")
	f.StringVar(&o.reply, "reply", "", "explain the reply in this file instead of sending; - reads standard input")
	f.IntVar(&o.status, "status", 200, "the HTTP status of --reply")
	return cmd
}

func (o checkOptions) run(ctx context.Context, cmd *cobra.Command, file string) error {
	catalog, placeholders, err := o.read(file)
	if err != nil {
		return err
	}
	product, err := o.chooseProduct(catalog)
	if err != nil {
		return err
	}
	in, err := o.choose(catalog, product)
	if err != nil {
		return err
	}
	in, err = o.inTestMode(endpoint.WithDefaults(in))
	if err != nil {
		return err
	}
	data, err := o.sample(product)
	if err != nil {
		return err
	}
	out := checked{Integration: in.ID, StandIns: placeholders}
	var req endpoint.Request
	if out.Request, req, err = endpoint.ExplainRequest(in, o.operation, data); err != nil {
		return err
	}
	if e, ok := errors.AsType[*keyturn.Error](endpoint.Check(in, true)); ok {
		out.InProduction = e.Fields
	}
	if err := o.answer(ctx, in, req, &out); err != nil {
		return err
	}
	if err := show(cmd, out, func(w io.Writer) { printChecked(w, out) }); err != nil {
		return err
	}
	switch {
	case out.NoReply != "":
		return keyturn.Errorf(keyturn.KindUnavailable, "there was no reply: %s", out.NoReply)
	case out.Reply != nil && out.Reply.Outcome != string(endpoint.Success):
		return keyturn.Errorf(keyturn.KindRejected, "the reply would not be a success: %s", out.Reply.Reason)
	}
	return nil
}

// read reads the catalog. Only who sends needs its secrets.
func (o checkOptions) read(file string) (c *catalogfile.Catalog, placeholders []string, err error) {
	if o.send || o.address != "" {
		c, err = catalogfile.Read(file, os.LookupEnv)
		return c, nil, err
	}
	return readToTry(file)
}

// chooseProduct finds the product that is meant; nil if none is.
func (o checkOptions) chooseProduct(c *catalogfile.Catalog) (*keyturn.Product, error) {
	var ids []string
	for i, p := range c.Products {
		if p.ID == o.product {
			return &c.Products[i], nil
		}
		ids = append(ids, p.ID)
	}
	switch {
	case o.product == "":
		return nil, nil //nolint:nilnil // none is meant
	case len(ids) == 0:
		return nil, keyturn.Errorf(keyturn.KindInvalid, "the file declares no product")
	}
	return nil, keyturn.Errorf(keyturn.KindInvalid, "the file declares no product %s; it has %s", o.product,
		strings.Join(ids, ", "))
}

// serving are the integrations that a product's sources name.
func serving(p *keyturn.Product) (ids []string) {
	if p == nil {
		return nil
	}
	for _, s := range p.Sources {
		if s.Type.HasIntegration() {
			ids = append(ids, s.Integration)
		}
	}
	return ids
}

// choose finds the integration that is meant: the one that is named, that the product is delivered by, or the only one.
func (o checkOptions) choose(c *catalogfile.Catalog, p *keyturn.Product) (keyturn.Integration, error) {
	if of := serving(p); o.integration == "" && len(of) == 1 {
		o.integration = of[0]
	}
	return pick(c, o.integration)
}

// inTestMode turns the integration to its test server. Its live one is never called unless --address names it.
func (o checkOptions) inTestMode(in keyturn.Integration) (keyturn.Integration, error) {
	if o.address != "" {
		in.TestBaseURL = o.address
	}
	switch {
	case in.TestBaseURL != "":
		in.Status = "TestMode"
	case o.send:
		return in, keyturn.Errorf(keyturn.KindInvalid,
			"the integration %s has no testBaseUrl: add one, or name a server with --address", in.ID)
	}
	return in, endpoint.Check(in, false)
}

// sample is the sample order, of the product if there is one, with the person's own values.
func (o checkOptions) sample(p *keyturn.Product) (endpoint.Data, error) {
	d := endpoint.Sample(o.operation)
	if p != nil {
		d.Product.ID, d.Product.Name, d.Product.PublisherProductID, d.Product.PublisherFulfillmentID = p.ID, p.Name,
			p.PublisherProductID, p.PublisherFulfillmentID
		d.Product.ExternalContext, d.Product.Variables, d.Product.PriceFunctionParameters = p.ExternalContext, p.Variables,
			p.PriceFunctionParameters
		if p.QuantityMode == keyturn.OnePerUnit || p.QuantityMode == "" { // a call is for one unit
			d.Product.Quantity = 1
		}
	}
	if o.data == "" {
		return d, nil
	}
	text, err := os.ReadFile(o.data)
	if err != nil {
		return d, fmt.Errorf("read the values: %w", err)
	}
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return d, keyturn.Errorf(keyturn.KindInvalid, "%s holds no values of a fulfillment request: %v", o.data, err)
	}
	return d, nil
}

// answer gets a reply, where one was asked for.
func (o checkOptions) answer(ctx context.Context, in keyturn.Integration, req endpoint.Request, out *checked) error {
	var reply endpoint.Reply
	switch {
	case o.reply != "":
		file, _, err := openInput(o.reply)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		reply.Status = o.status
		if reply.Body, err = io.ReadAll(io.LimitReader(file, int64(in.Limits.MaxReplyBytes))); err != nil {
			return fmt.Errorf("read the reply: %w", err)
		}
	case o.send || o.address != "":
		caller := endpoint.NewCaller(endpoint.Options{})
		defer caller.Close()
		out.SentTo = in.TestBaseURL
		start := time.Now()
		var err error
		reply, err = caller.Send(ctx, in, 0, req)
		out.DurationMs = time.Since(start).Milliseconds()
		if err != nil {
			out.NoReply = explain(err)
			return nil
		}
	default:
		return nil
	}
	explained := endpoint.ExplainReply(in, o.operation, o.units, reply)
	out.Reply = &explained
	return nil
}

func printChecked(w io.Writer, c checked) {
	r := c.Request
	definition := "operations." + r.Definition
	if r.Definition == "" {
		definition = "Nexway's default template, because the integration defines no operations"
	}
	fmt.Fprintf(w, "1. %s of %s uses %s\n", r.Operation, c.Integration, definition)
	fmt.Fprintf(w, "\n2. the request, for a sample order\n   %s %s\n", r.Method, r.URL)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		fmt.Fprintf(w, "   %s: %s\n", name, strings.Join(r.Header[name], ", "))
	}
	printIndented(w, r.Body)
	if s := r.Signed; s != nil {
		fmt.Fprintf(w, "\n3. signed\n   %s\n   %s", s.Canonical, s.Signature)
		if s.Header != "" {
			fmt.Fprintf(w, "  in the header %s", s.Header)
		}
		if s.InBody {
			fmt.Fprint(w, "  in the body")
		}
		fmt.Fprintln(w)
	} else {
		fmt.Fprintln(w, "\n3. not signed")
	}
	switch {
	case c.NoReply != "":
		fmt.Fprintf(w, "\n4. sent to %s: no reply after %d ms: %s\n", c.SentTo, c.DurationMs, c.NoReply)
	case c.Reply == nil:
		fmt.Fprintln(w, "\n4. not sent (--send sends it to the testBaseUrl, --reply FILE explains a reply)")
	default:
		if c.SentTo != "" {
			fmt.Fprintf(w, "\n4. sent to %s, answered in %d ms\n", c.SentTo, c.DurationMs)
		} else {
			fmt.Fprintln(w, "\n4. not sent; the reply is from a file")
		}
		printReply(w, *c.Reply)
	}
	if len(c.StandIns) > 0 {
		fmt.Fprintf(w, "\nnot set, replaced by a placeholder (a signature made with it is not the partner's): %s\n",
			strings.Join(c.StandIns, ", "))
	}
	for i, f := range c.InProduction {
		if i == 0 {
			fmt.Fprintln(w, "\nproduction would refuse:")
		}
		fmt.Fprintf(w, "   %s %s\n", f.Location, f.Message)
	}
}

// printReply says what a reply means, step by step.
func printReply(w io.Writer, r keyturn.ReplyExplained) {
	fmt.Fprintf(w, "\n5. the reply, HTTP %d, with what is secret masked\n", r.HTTPStatus)
	printIndented(w, r.Body)
	fmt.Fprintln(w, "\n6. what the response paths find")
	for _, v := range r.Values {
		fmt.Fprintf(w, "   %-22s %-28s ", v.Name, v.Path)
		switch {
		case v.Problem != "":
			fmt.Fprint(w, v.Problem)
		case v.Matches == 0:
			fmt.Fprint(w, "nothing")
		default:
			fmt.Fprintf(w, "%d: %s", v.Matches, strings.Join(v.Found, " · "))
		}
		if v.Converted {
			fmt.Fprint(w, "  (then converted)")
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "\n7. %s: %s\n", r.Outcome, r.Reason)
	if r.ErrorCode != "" || r.ErrorMessage != "" {
		fmt.Fprintf(w, "   the partner says: %s %s\n", r.ErrorCode, r.ErrorMessage)
	}
	fmt.Fprintf(w, "   %s\n", endpoint.Meaning(r))
}

func printIndented(w io.Writer, text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintf(w, "   | %s\n", strings.TrimRight(line, "\r\n"))
	}
}
