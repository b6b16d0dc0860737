package e2e_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// moneyWords are what e-mails say of money in one language, in lower case.
type moneyWords struct {
	uncharged, refunded, back string
	unchargedSubject          string // of a whole order
	noOrder, refused          string // subjects
}

var moneyIn = map[string]moneyWords{
	"en": {
		"you were not charged", "sending 10.00 eur back", "back to the means of payment", "and you were not charged",
		"Your payment could not become an order", "Your payment was refused, and nothing was charged",
	},
	"de": {
		"es wurde nichts abgebucht", "erstatten 10,00 eur", "erstatten", "abgebucht wurde nichts",
		"Aus Ihrer Zahlung konnte keine Bestellung werden", "Ihre Zahlung wurde abgelehnt, abgebucht wurde nichts",
	},
	"fr": {
		"vous n’avez pas été débité", "remboursons 10,00 eur", "remboursons", "vous n’avez pas été débité",
		"Votre paiement n’a pas pu donner lieu à une commande", "Votre paiement a été refusé, et rien n’a été débité",
	},
}

var title = regexp.MustCompile(`<title>[^<]*</title>`)

// plain is what an e-mail says below its subject, in text and HTML: in lower case, with spaces that break.
func (l letter) plain() string {
	text := title.ReplaceAllString(l.Text, "")
	return strings.ToLower(strings.NewReplacer("&#39;", "'", "\u00a0", " ", "\u202f", " ").Replace(text))
}

// requireMoney requires that an e-mail says what became of the money, in text and HTML, and nothing else.
func (w moneyWords) requireMoney(t *testing.T, l letter, charged bool) {
	t.Helper()
	text := l.plain()
	if charged {
		require.Equal(t, 2, strings.Count(text, w.refunded), l.Text)
		require.NotContains(t, text, w.uncharged)
		return
	}
	require.Equal(t, 2, strings.Count(text, w.uncharged), l.Text)
	require.NotContains(t, text, w.back)
}

// Whatever becomes of a payment, its customer is told in three languages what is so: not charged, or refunded.
func TestWhatCustomersAreToldOfTheirMoney(t *testing.T) {
	s := start(t, options{})
	s.product(keyturn.Product{ID: "game", Sources: []keyturn.Source{keyturn.FromPool("p")}}, keysNamed(30)...)
	s.product(keyturn.Product{
		ID: "late", Sources: []keyturn.Source{keyturn.FromPool("empty")},
		Retry: keyturn.RetryPolicy{GiveUpAfter: keyturn.Duration(8 * time.Second)},
	})
	type sale struct{ never, lost, all, ready string }
	sales := map[string]sale{}
	var fails []string
	for locale := range moneyIn {
		in := keyturn.CheckoutLink{Locale: locale}
		sold := sale{
			never: s.linkOf(in, "", "late"), lost: s.linkOf(in, "capture-refused", "game"),
			all:   s.linkOf(keyturn.CheckoutLink{Locale: locale, Mixed: keyturn.MixedChargeAll}, "", "game", "late"),
			ready: s.linkOf(keyturn.CheckoutLink{Locale: locale, Mixed: keyturn.MixedChargeReady}, "", "game", "late"),
		}
		for _, link := range []string{sold.never, sold.lost, sold.all, sold.ready} {
			s.buy(link)
		}
		sales[locale] = sold
		s.payLate(s.linkOf(in, "", "game"))
		s.payLate(s.linkOf(in, "cannot-authorize", "game"))
		failing := s.linkOf(in, "settles-not", "game")
		s.buy(failing)
		fails = append(fails, failing)
	}
	for _, failing := range fails {
		s.lookUntil(failing, keyturn.PaymentFailed)
	}
	for locale, sold := range sales {
		t.Run(locale, func(t *testing.T) {
			w := moneyIn[locale]
			for _, link := range []string{sold.never, sold.lost} {
				told := s.mailAbout(link, w.unchargedSubject)
				w.requireMoney(t, told, false)
				s.keep("uncharged-"+link[len(link)-4:], locale, told)
			}
			for _, link := range []string{sold.all, sold.ready} { // what is told is what is booked
				var told letter
				s.eventually(func() (bool, string) {
					for _, l := range s.letters(buyer) {
						if strings.Contains(l.Subject, link) && strings.Contains(l.Text, "The late") &&
							(strings.Contains(l.plain(), w.refunded) || strings.Contains(l.plain(), w.uncharged)) {
							told = l
							return true, ""
						}
					}
					return false, "the line that failed is not told of"
				})
				back := s.count(`SELECT r.amount_minor FROM refunds r JOIN line_items l ON l.id = r.line_id
					WHERE l.order_id = $1 AND l.product_id = 'late'`, link)
				require.True(t, link == sold.all || back == 0, "chargeReady charges for nothing that has failed")
				w.requireMoney(t, told, back > 0)
				require.NotContains(t, told.Text, "The game")
				s.keep("mixed", locale, told)
			}
			s.eventually(func() (bool, string) { return len(s.lettersOn(w.noOrder)) == 2, "not told of what came late" })
			refunded := 0
			for _, l := range s.lettersOn(w.noOrder) {
				charged := strings.Contains(l.plain(), w.refunded)
				w.requireMoney(t, l, charged)
				if charged {
					refunded++
				}
				s.keep("no-order", locale, l)
			}
			require.Equal(t, 1, refunded)
			s.eventually(func() (bool, string) { return len(s.lettersOn(w.refused)) == 1, "not told of the refusal" })
			refused := s.lettersOn(w.refused)[0]
			require.Contains(t, refused.Text, "/c/", "it leads back to the page, which is open again")
			s.keep("refused", locale, refused)
		})
	}
}

func keysNamed(n int) (keys []string) {
	for i := range n {
		keys = append(keys, "KEY-"+string(rune('A'+i/26))+string(rune('A'+i%26)))
	}
	return keys
}

func (s *stack) lettersOn(subject string) (out []letter) {
	for _, l := range s.letters(buyer) {
		if l.Subject == subject {
			out = append(out, l)
		}
	}
	return out
}

// payLate pays a session that counts as expired here: its processor was wrong, or slow.
func (s *stack) payLate(link string) {
	s.t.Helper()
	at := s.orderAndPay(link)
	s.exec(`UPDATE payments SET status = 'EXPIRED', ended_at = now() WHERE link_id = $1`, link)
	s.exec(`UPDATE checkout_links SET status = 'OPEN' WHERE id = $1`, link)
	resp, body := s.visit("POST", at, url.Values{"action": {"pay"}})
	require.Equal(s.t, http.StatusSeeOther, resp.StatusCode, body)
}

// lookUntil has the processor asked until the payment has this status.
func (s *stack) lookUntil(link string, want keyturn.PaymentStatus) {
	s.t.Helper()
	s.eventually(func() (bool, string) {
		id, status := s.paymentOf(link)
		if status == want {
			return true, ""
		}
		require.NoError(s.t, s.db.LookAtPayment(s.t.Context(), id))
		s.starter.Wake()
		time.Sleep(200 * time.Millisecond)
		return false, string(status)
	})
}

// A processor that does not answer keeps no e-mail about its payment.
func TestAnEmailDoesNotWaitForTheProcessor(t *testing.T) {
	s := start(t, options{noWorker: true})
	s.product(keyturn.Product{ID: "late", Sources: []keyturn.Source{keyturn.FromPool("empty")}})
	processor := s.shake(0, 0)
	s.startWorker()
	link := s.linkOf(keyturn.CheckoutLink{Locale: "en"}, "", "late")
	s.buy(link)
	pay := s.awaitPayment(link, keyturn.PaymentAuthorized)
	s.mailAbout(link, "confirmation")
	processor.fails.Store(100)
	require.NoError(t, s.db.LookAtPayment(t.Context(), pay))
	s.starter.Wake()
	s.eventually(func() (bool, string) { return processor.failed.Load() > 0, "its workflow does not ask" })
	require.NoError(t, s.db.SendOrderPage(t.Context(), s.db.LinkToken(link)))
	s.starter.Wake()
	s.mailAbout(link, "page")
}
