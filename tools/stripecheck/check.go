package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"keyturn.dev/keyturn/devstack/stripe"
)

// checker compares exchanges with the document, with stripe-mock and with Stripe's library.
type checker struct {
	*document

	mock     *mock
	requests int
	answers  int
	events   int
	faults   map[string][]string // by what they are about; the first of each
	count    int
}

func newChecker() (*checker, error) {
	d, err := readDocument()
	if err != nil {
		return nil, err
	}
	m, err := startMock()
	if err != nil {
		return nil, err
	}
	return &checker{document: d, mock: m, faults: map[string][]string{}}, nil
}

func (c *checker) close() error { return c.mock.close() }

func (c *checker) fault(about string, faults ...string) {
	c.count += len(faults)
	if len(faults) > 0 && len(c.faults[about]) < 10 {
		c.faults[about] = append(c.faults[about], faults...)
	}
}

// read checks all exchanges of a file of JSON lines.
func (c *checker) read(from io.Reader) error {
	lines := bufio.NewReader(from)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var x stripe.Exchange
			if err := json.Unmarshal(line, &x); err != nil {
				return fmt.Errorf("line %d is no exchange: %w", n, err)
			}
			c.exchange(x)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (c *checker) exchange(x stripe.Exchange) {
	if x.Event != nil {
		c.events++
		c.fault("events", c.event(x.Event)...)
		return
	}
	about := x.Method + " " + x.Operation
	c.requests++
	c.fault(about+", request", c.request(x)...)
	if x.Response != nil {
		c.answers++
		c.fault(fmt.Sprintf("%s, answer %d", about, x.Status), c.response(x)...)
	}
}

// request says what is wrong with a request.
func (c *checker) request(x stripe.Exchange) (faults []string) {
	o := c.find(x.Method, x.Path)
	if o == nil {
		return []string{x.Path + ": the document has no such path"}
	}
	version, fault := c.version(x.Version)
	if fault != "" {
		faults = append(faults, fault)
	}
	if err := c.mock.ask(x.Method, x.Path, x.Query, version, x.Key, x.Form); err != nil {
		faults = append(faults, err.Error())
	}
	schema, form := o.query(), x.Query
	if x.Method != "GET" {
		schema, form = o.body(), x.Form
		if x.Query != "" {
			faults = append(faults, "a "+x.Method+" has no query")
		}
	}
	v, err := readForm(form)
	if err != nil {
		return append(faults, err.Error())
	}
	return append(faults, walk{c.document, true}.check("", v, schema)...)
}

// version says whether the version of a request is one of the document's release, and gives the document's. Within a
// release, such as dahlia, Stripe only adds; stripe-mock knows its newest version alone.
func (c *checker) version(sent string) (version, fault string) {
	date, name, _ := strings.Cut(sent, ".")
	newest, release, _ := strings.Cut(c.Info.Version, ".")
	if name != release || len(date) != len(newest) || date > newest {
		return sent, fmt.Sprintf("header Stripe-Version: %q is none of the release %s up to %s", sent, release, newest)
	}
	return c.Info.Version, ""
}

// response says what is wrong with an answer.
func (c *checker) response(x stripe.Exchange) []string {
	o := c.find(x.Method, x.Path)
	if o == nil {
		return nil // the request is at fault
	}
	v, err := decode(x.Response)
	if err != nil {
		return []string{err.Error()}
	}
	faults := walk{document: c.document}.check("", v, o.answer(x.Status))
	if x.Status == 200 {
		faults = append(faults, asLibrary(x.Response)...)
	}
	return faults
}

// event says what is wrong with an event and the object in it.
func (c *checker) event(text []byte) []string {
	v, err := decode(text)
	if err != nil {
		return []string{err.Error()}
	}
	w := walk{document: c.document}
	faults := w.check("", v, c.Components.Schemas["event"])
	m, _ := v.(map[string]any)
	data, _ := m["data"].(map[string]any)
	object, _ := data["object"].(map[string]any)
	kind, _ := object["object"].(string)
	about := "event " + fmt.Sprint(m["type"])
	if s := c.resources[kind]; s == nil {
		faults = append(faults, about+": the document has no "+kind)
	} else {
		faults = append(faults, w.check(about, object, s)...)
	}
	if c.Components.Schemas["event"] != nil && !c.hasEvent(fmt.Sprint(m["type"])) {
		faults = append(faults, about+": the document has no event of this type")
	}
	return append(faults, asLibrary(text)...)
}

// hasEvent says whether an endpoint may ask for a type of event.
func (c *checker) hasEvent(kind string) bool {
	asked := c.find("POST", "/v1/webhook_endpoints").body().Properties["enabled_events"]
	return walk{document: c.document}.listed(kind, c.deref(asked.Items).Enum)
}

func decode(text []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("no JSON: %w", err)
	}
	return v, nil
}
