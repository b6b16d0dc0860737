package endpoint

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"keyturn.dev/keyturn"
)

const (
	maxErrorCode    = 64
	maxErrorMessage = 500
	maxRetryAfter   = 24 * time.Hour
)

// Judge reads a reply and returns what it means for the fulfillment (docs/understand/partner-contract.md, Outcome).
// It is pure and never panics.
//
// units is how many activation codes the line needs from this call; fewer are a failure of KindBadReply. So many links
// or files, or one for all, serve the line in place of codes. With units 0 (cancel, pause, resume, a renewal that keeps
// its key) and where the operation has no path to a code, link or file, a bare acknowledgement is enough.
func Judge(in keyturn.Integration, op string, units int, reply Reply) (v Verdict) {
	defer func() {
		if recover() != nil {
			v = Verdict{
				Outcome: Retryable, Kind: keyturn.KindBadReply, HTTPStatus: reply.Status,
				Reason: "the reply could not be read",
			}
		}
	}()
	def, _, err := definitionFor(in, op)
	if err != nil {
		return Verdict{Outcome: Retryable, Kind: keyturn.KindConfiguration, HTTPStatus: reply.Status, Reason: err.Error()}
	}
	f := readFacts(def, newReader(in, def), reply)
	v = classify(in.PermanentErrors, f)
	hide := keysIn(in, op, f)
	if def.ReadsText() && (reply.Status < 200 || reply.Status > 299 || f.errorCode != "") {
		hide = func(text string) string { return text } // the text is the refusal, not a key
	}
	v.ErrorCode, v.ErrorMessage = cleaned(hide(f.errorCode), maxErrorCode), cleaned(hide(f.message), maxErrorMessage)
	v.RetryAfter = retryAfter(reply.Header)
	if v.Outcome != Success {
		return v
	}
	v.RetryAfter = 0
	deliverable, err := f.reader.deliverable(baseURL(in))
	if err == nil {
		err = enough(def, units, deliverable)
	}
	if err != nil {
		v.Outcome, v.Kind, v.Reason = Retryable, keyturn.KindOf(err), err.Error()
		return v
	}
	additional, left := f.reader.additional()
	v.Deliverable, v.Additional = deliverable, additional
	if len(left) > 0 {
		v.Reason = "accepted; not kept, because they are no usable values: " + strings.Join(left, ", ")
	}
	return v
}

func enough(def keyturn.Operation, units int, d Deliverable) error {
	codes := len(d.ActivationCodes)
	given := false // whether the operation says that the partner gives us anything
	for _, name := range []string{nameCode, nameLink, nameFile} {
		_, has := def.ResponsePaths[name]
		given = given || has
	}
	other := max(len(d.ActivationLinks), len(d.Files))
	switch {
	case codes >= units, codes == 0 && (other == 1 || other >= units || other == 0 && !given):
		return nil
	case codes > 0:
		return keyturn.Errorf(keyturn.KindBadReply, "the reply holds %d of %d activation codes", codes, units)
	case other > 0:
		return keyturn.Errorf(keyturn.KindBadReply, "the reply holds %d links or files for %d units", other, units)
	}
	return keyturn.Errorf(keyturn.KindBadReply, "the reply holds no activation code, link or file")
}

// facts are what a verdict depends on.
type facts struct {
	status    int
	reader    reader
	unusable  error // the body, or a value that decides, cannot be read
	errorCode string
	message   string
	flag      string
	hasFlag   bool
}

func readFacts(def keyturn.Operation, r reader, reply Reply) facts {
	f := facts{status: reply.Status, reader: r}
	if reply.Truncated {
		f.unusable = keyturn.Errorf(keyturn.KindBadReply, "the reply is larger than the integration's maxReplyBytes")
		return f
	}
	if len(r.paths) == 0 { // nobody reads the body, so it may be anything
		return f
	}
	if f.reader.root, f.unusable = decode(def, reply.Header.Get("Content-Type"), reply.Body); f.unusable != nil {
		return f
	}
	var errFlag error
	f.errorCode, _, f.unusable = f.reader.status(nameError)
	f.flag, f.hasFlag, errFlag = f.reader.status(nameSuccess)
	if f.unusable == nil {
		f.unusable = errFlag
	}
	f.message, _, _ = f.reader.status(nameMessage) // words for operators: better none than a failure
	return f
}

// classify is the decision table (docs/use/partners.md): transport status first, then the error code, then the success
// flag. What the integration lists as permanent is permanent, whatever failed.
func classify(permanent keyturn.PermanentErrors, f facts) Verdict {
	v := Verdict{Outcome: Retryable, HTTPStatus: f.status}
	switch status := "the partner answered HTTP " + strconv.Itoa(f.status); {
	case f.status == http.StatusTooManyRequests:
		v.Kind, v.Reason = keyturn.KindRateLimited, status
	case f.status == http.StatusRequestTimeout || f.status >= 500 && f.status <= 599:
		v.Kind, v.Reason = keyturn.KindUnavailable, status
	case f.status >= 400 && f.status <= 499:
		v.Kind, v.Reason = keyturn.KindRejected, status
	case f.status >= 300 && f.status <= 399:
		v.Kind, v.Reason = keyturn.KindBadReply, status+": redirects are not followed"
	case f.status < 200 || f.status > 299:
		v.Kind, v.Reason = keyturn.KindBadReply, status
	case f.errorCode != "":
		v.Kind, v.Reason = keyturn.KindRejected, status+" with an error code"
	case f.hasFlag && f.flag != "true":
		v.Kind, v.Reason = keyturn.KindRejected, status+" with a success flag that is not true"
	case f.unusable != nil:
		v.Kind, v.Reason = keyturn.KindOf(f.unusable), f.unusable.Error()
	default:
		v.Outcome, v.Reason = Success, "accepted"
		return v
	}
	if slices.Contains(permanent.HTTPStatus, f.status) ||
		f.errorCode != "" && slices.Contains(permanent.ErrorCodes, f.errorCode) ||
		f.message != "" && slices.Contains(permanent.ErrorMessages, f.message) {
		v.Outcome, v.Reason = Permanent, v.Reason+", which the integration lists as permanent"
	}
	return v
}

// retryAfter reads seconds or a date; a date counts from the reply's own Date, so the partner's clock may be wrong.
func retryAfter(header http.Header) time.Duration {
	text := strings.TrimSpace(header.Get("Retry-After"))
	if text == "" {
		return 0
	}
	wait := time.Duration(0)
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		wait = time.Duration(min(seconds, int64(maxRetryAfter/time.Second))) * time.Second
	} else if until, err := http.ParseTime(text); err == nil {
		if from, err := http.ParseTime(header.Get("Date")); err == nil {
			wait = until.Sub(from)
		}
	}
	return min(max(wait, 0), maxRetryAfter)
}

// RetryAfter is how long the other side asks to be left alone, 0 if it does not, at most 24h.
func RetryAfter(r Reply) time.Duration { return retryAfter(r.Header) }
