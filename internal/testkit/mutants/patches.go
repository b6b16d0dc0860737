package mutants

// patches are the edits of source. Overlay finds their places by the text, so a file may be moved or renamed.
var patches = []Patch{
	// Every statement passes the edits of SQL.
	{
		Old: `
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
`,
		New: `
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	query = mutants.Statement(query)
`,
	},
	{
		Old: `
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
`,
		New: `
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	query = mutants.Statement(query)
`,
	},

	// Orders and keys.
	{ // outside a transaction, database/sql sends a statement again when its answer is lost
		Old: `
	tx, err := a.d.BeginTxx(context.WithValue(ctx, implicitTx{}, true), nil)
`,
		New: `
	if mutants.Active("autocommit claim") {
		return AsKind(a.d.SelectContext(ctx, dest, query, args...))
	}
	tx, err := a.d.BeginTxx(context.WithValue(ctx, implicitTx{}, true), nil)
`,
	},
	{ // nobody starts what a process that died did not
		Old: `
	relayAt := ptr(now.Add(relayAfter))
`,
		New: `
	relayAt := ptr(now.Add(relayAfter))
	if mutants.Active("workflow start without outbox") {
		relayAt = nil
	}
`,
	},
	{
		Old: `
	return dk.aead.Encrypt(plain, []byte(where))
`,
		New: `
	if mutants.Active("a secret that is not bound to its row") {
		where = ""
	}
	return dk.aead.Encrypt(plain, []byte(where))
`,
	},

	{ // as an operator's look would be booked
		Old: `
	if err := l.appendLineUpdate(&w, byCustomer, whyRevealed, ""); err != nil {
`,
		New: `
	by := byCustomer
	if mutants.Active("a look of an operator delivers a line") {
		by = "ops"
	}
	if err := l.appendLineUpdate(&w, by, whyRevealed, ""); err != nil {
`,
	},

	// E-mails that come back.
	{
		Old: `
	return BounceBooked, openLineAlert(ctx, tx, l, keyturn.AlertBounced, happenedTo(r))
`,
		New: `
	if mutants.Active("nobody is told of an e-mail that came back") {
		return BounceBooked, nil
	}
	return BounceBooked, openLineAlert(ctx, tx, l, keyturn.AlertBounced, happenedTo(r))
`,
	},
	{
		Old: `
	return BounceBooked, p.alert(ctx, tx, keyturn.AlertBounced,
`,
		New: `
	if mutants.Active("nobody is told of a confirmation that came back") {
		return BounceBooked, nil
	}
	return BounceBooked, p.alert(ctx, tx, keyturn.AlertBounced,
`,
	},
	{
		Old: `
	notice, err := a.tellOld(ctx, old)
`,
		New: `
	if mutants.Active("an old address is not told of the new one") {
		return anew, nil
	}
	notice, err := a.tellOld(ctx, old)
`,
	},
	{ // whoever dies after the change leaves the other e-mails to nobody
		Old: `
		{"send e-mails to corrected addresses", h.carryAddresses},
`,
		New: `
		{"send e-mails to corrected addresses", func(ctx context.Context) error {
			if mutants.Active("nobody goes on with a corrected address") {
				return nil
			}
			return h.carryAddresses(ctx)
		}},
`,
	},

	// Partners.
	{
		Old: `
	where := requestAt(l.ID, f.Source.Name(), string(f.Operation), f.UnitNo)
	var stored []byte
`,
		New: `
	where := requestAt(l.ID, f.Source.Name(), string(f.Operation), f.UnitNo)
	switch {
	case mutants.Active("re-rendered body"):
		f.Customer.FirstName += l.Now.String()
		f.Product.Name += l.Now.String()
		plain, err = render(f)
		return plain, nil, err
	case mutants.Active("new fulfillmentId per attempt"):
		f.LicenseID = newID()
		plain, err = render(f)
		return plain, nil, err
	}
	var stored []byte
`,
	},
	{
		Old: `
	v.RetryAfter = retryAfter(reply.Header)
`,
		New: `
	v.RetryAfter = retryAfter(reply.Header)
	if mutants.Active("a key is taken from the answer of an error") && f.reader.root != nil {
		v.Outcome = Success
	}
`,
	},
	{
		Old: `
	req.Header, req.GetBody = header, nil
`,
		New: `
	req.Header = header
`,
	},
	{
		Old: `
	resp, err := transport.RoundTrip(req)
`,
		New: `
	roundTrip := transport.RoundTrip
	if mutants.Active("redirects followed") {
		roundTrip = (&http.Client{Transport: transport}).Do
	}
	resp, err := roundTrip(req)
`,
	},
	{
		Old: `
		r.Codes = r.Codes[:c.Units]
	}
`,
		New: `
		r.Codes = r.Codes[:c.Units]
	}
	if mutants.Active("key in error text") {
		r.Failed = stepFailure(keyturn.KindBadReply, "do not know what to do with "+r.Codes[0].Reveal())
	}
`,
	},

	// E-mails and money.
	{ // the e-mail leaves, and then its transaction is rolled back
		Old: `
	next, err := a.DB.Claim(ctx, in.FulfillmentID, a.Letters.Render)
`,
		New: `
	render := a.Letters.Render
	if mutants.Active("mail before commit") {
		render = func(f db.MailFacts) ([]byte, error) {
			stored, err := a.Letters.Render(f)
			if err == nil {
				err = a.post(ctx, stored)
			}
			if err == nil {
				err = keyturn.Errorf(keyturn.KindUnavailable, "the connection to the database was lost before the commit")
			}
			return stored, err
		}
	}
	next, err := a.DB.Claim(ctx, in.FulfillmentID, render)
`,
	},
	{
		Old: `
	data, err := s.client.Data()
`,
		New: `
	if mutants.Active("a blind copy of every e-mail") {
		_ = s.client.Rcpt("archive@shop.test", nil)
	}
	data, err := s.client.Data()
`,
	},
	{
		Old: `
	}, "refund-"+due.LineID, payment.Repetition(due.Repetition()), func(ctx context.Context) (int, error) {
`,
		New: `
	}, func() string {
		if mutants.Active("refund without key") { // each attempt has one of its own
			return "refund-" + due.LineID + time.Now().String()
		}
		return "refund-" + due.LineID
	}(), payment.Repetition(due.Repetition()), func(ctx context.Context) (int, error) {
`,
	},

	// Checkout links.
	{ // a payment whose time is over stays blocked at the customer's bank
		Old: `
		if p.CaptureBy != nil && !p.Now.Before(*p.CaptureBy) {
`,
		New: `
		if p.CaptureBy != nil && !p.Now.Before(*p.CaptureBy) && !mutants.Active("an authorization is never let go") {
`,
	},
	{
		Old: `
	return processor.Capture(ctx, at, due.Sum, "capture-"+due.PaymentID+"-"+strconv.Itoa(due.No))
`,
		New: `
	if mutants.Active("a capture is booked that was not made") {
		return keyturn.ProcessorState{Status: keyturn.AtProcessorCaptured, Captured: due.Sum}, nil
	}
	return processor.Capture(ctx, at, due.Sum, "capture-"+due.PaymentID+"-"+strconv.Itoa(due.No))
`,
	},
	{
		Old: `
	p.ToldAt, p.LookAt = &p.Now, &p.Now // of one whose session is not known, the workflow opens it
`,
		New: `
	if mutants.Active("an event is noted and nobody asks its processor") {
		return nil
	}
	p.ToldAt, p.LookAt = &p.Now, &p.Now // of one whose session is not known, the workflow opens it
`,
	},

	{ // two refunds under two keys are two refunds
		Old: `
	id, err := finder.FindRefund(ctx, r)
	if err == nil || keyturn.KindOf(err) != keyturn.KindNotFound {
`,
		New: `
	id, err := finder.FindRefund(ctx, r)
	if mutants.Active("a refund whose answer is lost is asked for under another key") {
		r.IdempotencyKey += time.Now().String()
		return p.Refund(ctx, provider, r)
	}
	if err == nil || keyturn.KindOf(err) != keyturn.KindNotFound {
`,
	},

	// Workflows.
	{
		Old: `
	case !l.Status.Open():
		n.Do, n.Wait, n.Left = keyturn.DoNothing, 0, 0
`,
		New: `
	case !l.Status.Open() && mutants.Active("workflow without an end"):
		n.Do, n.Wait = keyturn.DoQueue, n.Left
	case !l.Status.Open():
		n.Do, n.Wait, n.Left = keyturn.DoNothing, 0, 0
`,
	},
	{
		Old: `
	for f.next.Do != keyturn.DoNothing {
		f.show(ctx)
`,
		New: `
	if mutants.Active("a history without bounds") {
		for range 8 {
			workflow.SideEffect(ctx, func(workflow.Context) any { return make([]byte, 1_500_000) })
			if err := workflow.Sleep(ctx, 1_000_000); err != nil {
				return Result{}, err
			}
		}
	}
	if mutants.Active("a workflow that goes another way when it is replayed") && !workflow.IsReplaying(ctx) {
		if err := workflow.Sleep(ctx, 1_000_000); err != nil {
			return Result{}, err
		}
	}
	for f.next.Do != keyturn.DoNothing {
		f.show(ctx)
`,
	},

	// Events.
	{
		Old: `
		return storeEvents(ctx, tx, rows, facts)
`,
		New: `
		if mutants.Active("an event tells who bought") {
			for _, row := range rows {
				var o struct {
					CustomerID string ` + "`db:\"customer_id\"`" + `
					Customer   []byte ` + "`db:\"customer\"`" + `
					DataKey    []byte ` + "`db:\"data_key\"`" + `
				}
				if err := tx.GetContext(ctx, &o, "SELECT o.customer_id, o.customer, c.data_key FROM orders o JOIN customers c ON "+
					"c.id = o.customer_id WHERE o.id = $1", row.About); err != nil {
					continue
				}
				if c, err := d.OpenCustomer(o.DataKey, o.CustomerID, row.About, o.Customer); err == nil {
					s := facts.steps[row.ID]
					s.Status = c.Email
					facts.steps[row.ID] = s
				}
			}
		}
		return storeEvents(ctx, tx, rows, facts)
`,
	},
}
