package web

import (
	"strings"

	"keyturn.dev/keyturn"
)

// words is the page in one language. {names} in them stand for values; {when} and {by} are times, which bring their own
// preposition. Sentences promise what the database says and no more.
type words struct {
	lang string
	date dateWords

	title, hello, order, ordered, total, items, quantity, keepLink, zone string
	operation                                                            map[keyturn.OperationName]string

	summary     map[keyturn.OrderStatus]string
	underWay    string // an order that is PARTIAL_COMPLETED although nothing of it is late any more
	orderCancel string
	counts      countWords
	pages       struct{ nav, page, previous, next string }

	status map[situation]string
	text   lineWords
	action actionWords
	notice noticeWords
	fail   failWords
}

// countWords tell how many lines of a large order stand where. {n}
type countWords struct{ delivered, underWay, late, canceling, canceled string }

// lineWords are the sentences about one line.
type lineWords struct {
	delivered, deliveredTo, sentAgain        string
	preparing, byHand, sending               string
	askedOnce, asked, working                string
	nextTry, tryingNow                       string
	mailLate                                 string
	waiting, held, heldUntil                 string
	deadline, deadlinePassed                 string
	canceling, cancelingFree, orderCanceling string
	canceled, canceledFree, patience         string

	changing, changed, changeLate, changeDeadline string // of an operation on a licence
}

// actionWords are what a customer can do.
type actionWords struct {
	showKey, showKeys, yourKeys, replaced, copyKey, copied, link, file, download, hide string
	instructions, downloadProduct                                                      string
	refund, refundFree                                                                 string // {amount}
	askRefund, askRefundFree, refundMeans, refundMeansOrder                            string
	yes, no                                                                            string
}

// noticeWords answer what a customer did.
type noticeWords struct {
	nothingToShow, revealed, noRefund, busy, unknown, taken string
}

// failWords stand on pages without an order. None of them tells whether an order exists.
type failWords struct {
	notFoundTitle, notFound, brokenTitle, broken, refusedTitle, refused string
}

// languages are those that the page speaks; the first one serves everybody else.
var languages = []*words{&english, &french, &german}

// wordsFor picks the language of a locale such as fr-FR.
func wordsFor(locale string) *words {
	if w := known(locale); w != nil {
		return w
	}
	return languages[0]
}

// wordsAccepted picks the first language of an Accept-Language header that we speak, for pages that know no order.
// Weights are not read: browsers list what they prefer first.
func wordsAccepted(header string) *words {
	for entry := range strings.SplitSeq(header[:min(len(header), 200)], ",") {
		tag, _, _ := strings.Cut(entry, ";")
		if w := known(tag); w != nil {
			return w
		}
	}
	return languages[0]
}

func known(locale string) *words {
	language, _, _ := strings.Cut(strings.ReplaceAll(strings.TrimSpace(locale), "_", "-"), "-")
	for _, w := range languages {
		if strings.EqualFold(w.lang, language) {
			return w
		}
	}
	return nil
}

// part is a piece of a sentence: plain text, or a time that machines can read too.
type part struct{ Text, Datetime string }

// phrase is a sentence. The template escapes each part.
type phrase []part

func (p phrase) String() string {
	var b strings.Builder
	for _, x := range p {
		b.WriteString(x.Text)
	}
	return b.String()
}

// values are what the names in a sentence stand for.
type values map[string]part

func text(s string) part { return part{Text: s} }

// say puts values in the place of their names.
func say(sentence string, v values) phrase {
	var out phrase
	for sentence != "" {
		before, rest, found := strings.Cut(sentence, "{")
		if before != "" {
			out = append(out, part{Text: before})
		}
		if !found {
			break
		}
		name, after, _ := strings.Cut(rest, "}")
		out = append(out, v[name])
		sentence = after
	}
	return out
}
