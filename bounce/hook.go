package bounce

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/metrics"
)

// provider understands what a service that sends e-mails tells.
type provider interface {
	// verify says whether the service itself sent the request. KindForbidden; KindUnavailable where what it has to ask
	// does not answer.
	verify(ctx context.Context, r *http.Request, body []byte) error
	// reports are those in the body; what else is told is left out. KindInvalid for a body that is not the service's;
	// KindUnavailable as for verify.
	reports(ctx context.Context, body []byte) ([]db.BounceReport, error)
}

// once is a provider whose messages are taken once. One that could not be booked is sent again.
type once interface{ forget(body []byte) }

// Hooks takes what services tell, at POST /hooks/mail/{provider}/{secret}. It is answered 200 once it is booked, also
// where it is known already or about no e-mail of ours; 400 where it is not the service's; 503 where that cannot be
// found out or booked now; 404 for a service without settings and for another secret.
type Hooks struct {
	Books
	providers map[keyturn.BounceInlet]hook
}

type hook struct {
	provider
	secret [sha256.Size]byte
}

// HookSettings are those of one service. The first word is the secret in the hook's address; a second one is what
// signatures are checked with.
type HookSettings map[keyturn.BounceInlet]string

// minSecret is the shortest secret in an address.
const minSecret = 16

// NewHooks takes what the services with settings tell. KindInvalid, by service.
func NewHooks(books Books, settings HookSettings) (*Hooks, error) {
	h := &Hooks{Books: books, providers: map[keyturn.BounceInlet]hook{}}
	var bad keyturn.Problems
	for inlet, text := range settings {
		words := strings.Fields(text)
		if len(words) == 0 {
			continue
		}
		p, err := providerOf(inlet, words[1:])
		bad.Merge(string(inlet), err)
		bad.Check(len(words[0]) >= minSecret && !strings.Contains(words[0], "/"), string(inlet),
			"must begin with a secret of at least %d characters without a slash, which stands in the hook's address", minSecret)
		h.providers[inlet] = hook{provider: p, secret: sha256.Sum256([]byte(words[0]))}
	}
	return h, bad.Err("the hooks are not valid")
}

func providerOf(inlet keyturn.BounceInlet, keys []string) (provider, error) {
	key := ""
	if len(keys) > 0 {
		key = keys[0]
	}
	signs := inlet == keyturn.InletMailgun || inlet == keyturn.InletSendGrid
	if len(keys) > 1 || signs != (key != "") {
		if signs {
			return nil, keyturn.Errorf(keyturn.KindInvalid,
				"must be a secret and the key of its signatures, with a space between")
		}
		return nil, keyturn.Errorf(keyturn.KindInvalid, "must be a secret alone")
	}
	switch inlet { //nolint:exhaustive // the others are no services
	case keyturn.InletSES:
		return newSES(), nil
	case keyturn.InletPostmark:
		return postmark{}, nil
	case keyturn.InletMailgun:
		return newMailgun(key), nil
	case keyturn.InletSendGrid:
		return newSendGrid(key)
	}
	return nil, keyturn.Errorf(keyturn.KindInvalid, "is no service that sends e-mails")
}

// ServeHTTP takes one message.
func (h *Hooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	inlet := keyturn.BounceInlet(r.PathValue("provider"))
	given := sha256.Sum256([]byte(r.PathValue("secret")))
	known, ok := h.providers[inlet]
	if !ok || subtle.ConstantTimeCompare(known.secret[:], given[:]) != 1 {
		http.Error(w, "there is nothing here", http.StatusNotFound)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxMessage))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		http.Error(w, "the message is too large", http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil {
		http.Error(w, "the message ends early", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), bookTime)
	defer cancel()
	if err := known.verify(ctx, r, body); err != nil {
		h.refuse(w, inlet, err, "the signature does not fit")
		return
	}
	reports, err := known.reports(ctx, body)
	if err != nil {
		h.refuse(w, inlet, err, "the message is not understood")
		return
	}
	for _, report := range reports {
		report.Via = inlet
		if _, err := h.book(ctx, report); err != nil {
			if once, ok := known.provider.(once); ok {
				once.forget(body)
			}
			http.Error(w, "try again", http.StatusServiceUnavailable)
			return
		}
	}
	w.WriteHeader(http.StatusOK)
}

// refuse refuses a message of which nothing is booked. One that cannot be checked at the moment is to be sent again:
// what is answered 400 a service gives up.
func (h *Hooks) refuse(w http.ResponseWriter, inlet keyturn.BounceInlet, err error, why string) {
	if keyturn.KindOf(err) == keyturn.KindUnavailable {
		metrics.Bounce(string(inlet), "failed", "")
		h.Logger.Warn("a message of an e-mail service cannot be checked now; it is to send it again", "via", string(inlet))
		http.Error(w, "try again", http.StatusServiceUnavailable)
		return
	}
	metrics.Bounce(string(inlet), "refused", "")
	h.Logger.Warn("a message that claims to be an e-mail service's was refused", "via", string(inlet), "why", why)
	http.Error(w, why, http.StatusBadRequest)
}

// mailID is the ID of an e-mail of ours in a Message-ID, if it has one.
func mailID(messageID string) string {
	local, _, _ := strings.Cut(strings.Trim(messageID, "<> "), "@")
	if id, err := uuid.Parse(local); err == nil && len(local) == 36 {
		return id.String()
	}
	return ""
}

// recently says whether a time that a service has signed is near: what is older may be sent by somebody who found it.
func recently(at time.Time) bool { return time.Since(at).Abs() <= 5*time.Minute }

func notSigned() error { return keyturn.Errorf(keyturn.KindForbidden, "the signature does not fit") }

func notTheirs() error {
	return keyturn.Errorf(keyturn.KindInvalid, "the message is not what the service sends")
}

// refsIn are the references in texts.
func refsIn(texts ...string) []string {
	var r refs
	for _, text := range texts {
		r.addText(text)
	}
	return r.found
}
