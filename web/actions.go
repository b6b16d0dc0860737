package web

import (
	"context"
	"mime"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/google/uuid"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

// reveal shows the page with the keys of one line.
func (p *pages) reveal(w http.ResponseWriter, r *http.Request) {
	page, l, ok := p.line(w, r)
	if !ok {
		return
	}
	words := wordsFor(page.Locale)
	found, err := p.DB.RevealToCustomer(r.Context(), r.PathValue("token"), l.FulfillmentID, "keys", p.Throttle.Address(r))
	switch {
	case keyturn.KindOf(err) == keyturn.KindConflict:
		p.show(w, r, page.Page, answer{
			status: http.StatusConflict, notice: words.notice.nothingToShow,
			line: l.FulfillmentID,
		})
	case err != nil:
		p.fail(w, r, err)
	default:
		notice := words.notice.revealed
		if len(found.Codes)+len(found.Links)+len(found.Files) == 1 {
			notice = words.notice.revealedOne
		}
		p.show(w, r, page.Page, answer{
			notice: notice, line: l.FulfillmentID, keys: map[string]db.Deliverables{l.FulfillmentID: found},
		})
	}
}

// revealAll shows the page with the keys of all its delivered lines.
func (p *pages) revealAll(w http.ResponseWriter, r *http.Request) {
	n, ok := pageNumber(r)
	if !ok {
		p.fail(w, r, keyturn.Errorf(keyturn.KindNotFound, "there is no such page"))
		return
	}
	page, err := p.DB.CustomerPage(r.Context(), r.PathValue("token"), n)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	found, err := p.DB.RevealAllToCustomer(r.Context(), r.PathValue("token"), n, false, p.Throttle.Address(r))
	if err != nil {
		p.fail(w, r, err)
		return
	}
	p.show(w, r, n, answer{notice: wordsFor(page.Locale).notice.revealed, keys: found})
}

// list serves a line's keys as a file, one a line. Keys of several lines stand apart.
func (p *pages) list(w http.ResponseWriter, r *http.Request) {
	page, l, ok := p.line(w, r)
	if !ok {
		return
	}
	found, err := p.DB.RevealToCustomer(r.Context(), r.PathValue("token"), l.FulfillmentID, "keys", p.Throttle.Address(r))
	switch {
	case keyturn.KindOf(err) == keyturn.KindConflict:
		p.show(w, r, page.Page, answer{
			status: http.StatusConflict, notice: wordsFor(page.Locale).notice.nothingToShow, line: l.FulfillmentID,
		})
	case err != nil:
		p.fail(w, r, err)
	default:
		var text strings.Builder
		for _, code := range found.Codes {
			text.WriteString(strings.ReplaceAll(code.Reveal(), "\n", "\r\n") + "\r\n")
			if strings.Contains(code.Reveal(), "\n") {
				text.WriteString("\r\n")
			}
		}
		p.download(w, page.OrderID+"-"+strconv.Itoa(l.Position)+".txt", []byte(text.String()))
	}
}

// sendAgain has a line's e-mail sent again.
func (p *pages) sendAgain(w http.ResponseWriter, r *http.Request) {
	page, l, ok := p.line(w, r)
	if !ok {
		return
	}
	words := wordsFor(page.Locale)
	a := answer{line: l.FulfillmentID, notice: words.notice.sentAgain}
	var err error
	if p.RenderKeys == nil {
		err = keyturn.Errorf(keyturn.KindConflict, "this process sends no e-mail")
	} else {
		err = p.DB.ResendToCustomer(r.Context(), r.PathValue("token"), l.FulfillmentID, p.RenderKeys)
	}
	switch keyturn.KindOf(err) {
	case "":
	case keyturn.KindRateLimited:
		a.status, a.notice = http.StatusTooManyRequests, words.notice.sentEnough
	case keyturn.KindConflict, keyturn.KindInvalid, keyturn.KindConfiguration:
		a.status, a.notice = http.StatusConflict, words.notice.nothingToShow
	default:
		p.fail(w, r, err)
		return
	}
	p.show(w, r, page.Page, a)
}

// download serves a file with a fixed content type, so that no browser renders what somebody else wrote.
func (p *pages) download(w http.ResponseWriter, name string, data []byte) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": fileName(name)}))
	h.Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data)
}

// file serves one file of a line as a download, with a fixed content type, so that no browser renders a partner's
// content.
func (p *pages) file(w http.ResponseWriter, r *http.Request) {
	page, l, ok := p.line(w, r)
	if !ok {
		return
	}
	n, err := strconv.Atoi(r.PathValue("n"))
	if err != nil {
		p.fail(w, r, keyturn.Errorf(keyturn.KindNotFound, "there is no such page"))
		return
	}
	found, err := p.DB.RevealToCustomer(r.Context(), r.PathValue("token"), l.FulfillmentID, "file", p.Throttle.Address(r))
	switch {
	case keyturn.KindOf(err) == keyturn.KindConflict:
		p.show(w, r, page.Page, answer{
			status: http.StatusConflict, notice: wordsFor(page.Locale).notice.nothingToShow,
			line: l.FulfillmentID,
		})
	case err != nil:
		p.fail(w, r, err)
	case n < 1 || n > len(found.Files):
		p.fail(w, r, keyturn.Errorf(keyturn.KindNotFound, "there is no such page"))
	default:
		p.download(w, found.Files[n-1].Name, found.Files[n-1].Data)
	}
}

// fileName makes a name safe to save under: no folders, no invisible characters, no leading dot.
func fileName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) || strings.ContainsRune(`"*:<>?|`, r) {
			return -1
		}
		return r
	}, path.Base(strings.ReplaceAll(name, `\`, "/")))
	name = strings.TrimLeft(name, ". ")
	if name == "" || name == "/" {
		return "license.bin"
	}
	return name
}

// refund asks for confirmation first. Once confirmed, it gives up the line and refunds it.
func (p *pages) refund(w http.ResponseWriter, r *http.Request) {
	page, l, ok := p.line(w, r)
	if !ok {
		return
	}
	words := wordsFor(page.Locale)
	switch decision := r.PostForm.Get("decision"); {
	case refunding(l): // the button of a page from before
		p.back(w, r)
	case p.Resolve == nil || !l.MayRefund:
		p.show(w, r, page.Page, answer{status: http.StatusConflict, notice: words.notice.noRefund, line: l.FulfillmentID})
	case decision == "":
		p.show(w, r, page.Page, answer{line: l.FulfillmentID, confirm: true})
	case uuid.Validate(decision) != nil || len(decision) != 36:
		p.refuse(w, r, http.StatusBadRequest)
	default:
		p.decide(w, r, page, l, decision)
	}
}

// decide carries out the decision. The decision ID was made with the question, so a second answer is the same decision.
// Whatever the result, the page is rendered anew from the database; the notice covers only what that leaves open.
func (p *pages) decide(w http.ResponseWriter, r *http.Request, page db.CustomerPage, l db.CustomerLine,
	decision string,
) {
	words := wordsFor(page.Locale)
	ctx, cancel := context.WithTimeout(r.Context(), resolveTimeout)
	defer cancel()
	next, err := p.Resolve(ctx, l.FulfillmentID, keyturn.Resolution{
		ID: "customer-" + decision, Action: keyturn.ActionRefund, By: "customer", Reason: "asked for on the order page",
	})
	if err == nil && (next.Status == keyturn.LineCanceling || next.Status == keyturn.LineCanceled) {
		p.back(w, r)
		return
	}
	now, readErr := p.DB.CustomerPage(r.Context(), r.PathValue("token"), page.Page)
	if readErr != nil {
		p.fail(w, r, readErr)
		return
	}
	current, _ := lineIn(now, l.FulfillmentID)
	a := answer{line: l.FulfillmentID}
	switch {
	case refunding(current): // it was carried out, although its answer was lost or somebody was faster
		p.back(w, r)
		return
	case err == nil:
		a.notice = words.notice.taken
	case keyturn.KindOf(err) == keyturn.KindConflict || keyturn.KindOf(err) == keyturn.KindNotFound:
		a.status, a.notice = http.StatusConflict, words.notice.busy
		if !current.MayRefund {
			a.notice = words.notice.noRefund
		}
	default:
		p.Logger.Error("a customer's refund was not confirmed", "fulfillmentId", l.FulfillmentID, "kind",
			string(keyturn.KindOf(err)), "error", err)
		a.status, a.notice = http.StatusServiceUnavailable, words.notice.unknown
	}
	p.show(w, r, page.Page, a)
}

func refunding(l db.CustomerLine) bool {
	return l.Status == keyturn.LineCanceling || l.Status == keyturn.LineCanceled
}

// line returns the line that a request names, in the order of its link. If there is none it has answered already.
func (p *pages) line(w http.ResponseWriter, r *http.Request) (db.CustomerPage, db.CustomerLine, bool) {
	token := r.PathValue("token")
	n, err := p.DB.CustomerPageOf(r.Context(), token, r.PathValue("line"))
	var page db.CustomerPage
	if err == nil {
		page, err = p.DB.CustomerPage(r.Context(), token, n)
	}
	if err != nil {
		p.fail(w, r, err)
		return page, db.CustomerLine{}, false
	}
	l, ok := lineIn(page, r.PathValue("line"))
	if !ok {
		p.fail(w, r, keyturn.Errorf(keyturn.KindNotFound, "there is no such page"))
	}
	return page, l, ok
}

func lineIn(page db.CustomerPage, fulfillmentID string) (db.CustomerLine, bool) {
	i := slices.IndexFunc(page.Lines, func(l db.CustomerLine) bool {
		return strings.EqualFold(l.FulfillmentID, fulfillmentID)
	})
	if i < 0 {
		return db.CustomerLine{}, false
	}
	return page.Lines[i], true
}

// confirmView is the confirmation before a refund.
type confirmView struct {
	Question, Means string
	Link, Decision  string
	Back            string
	Yes, No         string
}

func confirmOf(w *words, token string, l db.CustomerLine, page int) *confirmView {
	v := values{"product": text(l.Product.Name), "amount": w.date.money(l.Price)}
	c := &confirmView{
		Question: say(w.action.askRefund, v).String(), Means: w.action.refundMeans,
		Link:     lineLink(token, l.FulfillmentID, "refund"),
		Decision: uuid.NewString(), Back: pageLink(token, page) + "#" + lineAnchor(l.FulfillmentID), Yes: w.action.yes,
		No: w.action.no,
	}
	if l.Price.Minor == 0 || l.Unpaid {
		c.Question, c.Yes = say(w.action.askRefundFree, v).String(), w.action.yesFree
	}
	if l.Product.OnGiveUp == keyturn.CancelOrder {
		c.Means = w.action.refundMeansOrder
	}
	return c
}
