package web

import (
	"slices"
	"strings"

	"keyturn.dev/keyturn"
)

// words are the page's texts in one language. {names} stand for values; {when} and {by} are times, which bring their
// own preposition. A sentence about keys has a form for one and a form for several, parted by |. A sentence
// promises only what the database states.
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

	checkout checkoutWords
	sold     soldWords
	shop     shopWords
	library  libraryWords
	address  addressWords
}

// countWords sum up the lines of a large order by status. {n}
type countWords struct{ delivered, underWay, late, canceling, canceled string }

// lineWords are the sentences about one line.
type lineWords struct {
	delivered, deliveredTo, sentAgain        string
	shownHere, canSee                        string
	preparing, byHand, sending               string
	askedOnce, asked, working                string
	nextTry, tryingNow, whenBack             string
	mailLate                                 string
	waiting, held, heldUntil                 string
	deadline, deadlinePassed                 string
	deadlineFree, deadlinePassedFree         string // nothing is charged yet
	canceling, cancelingFree, orderCanceling string
	canceled, canceledFree, patience         string
	capturing, uncharged                     string

	changing, changed, changeLate, changeDeadline string // of an operation on a licence
}

// actionWords label the customer's actions.
type actionWords struct {
	showKey, showKeys, yourKeys, replaced, copyKey, copied, link, file, download, hide string
	instructions, downloadProduct                                                      string
	showAll, copyAll, saveList, sendAgain                                              string
	refund, refundFree                                                                 string // {amount}
	askRefund, askRefundFree, refundMeans, refundMeansOrder                            string
	yes, yesFree, no                                                                   string
}

// noticeWords answer the customer's action.
type noticeWords struct {
	nothingToShow, revealed, revealedOne, noRefund, busy, unknown, taken string
	sentAgain, sentEnough                                                string
}

// failWords are the texts of pages without an order. None of them reveals whether an order exists.
type failWords struct {
	notFoundTitle, notFound, brokenTitle, broken, refusedTitle, refused, tooManyTitle, tooMany string
}

// languages are the languages of the page; the first one is the default.
var languages = []*words{&english, &french, &german}

// wordsFor returns the words for a locale such as fr-FR.
func wordsFor(locale string) *words {
	if w := known(locale); w != nil {
		return w
	}
	return languages[0]
}

// wordsAccepted returns the words for the first supported language of an Accept-Language header, for pages without an
// order. It ignores weights: browsers list languages in order of preference.
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

// part is a piece of a sentence: plain text, or a time that is machine-readable too. As is the format of localTimes by
// which the script writes it in the reader's time zone.
type part struct{ Text, Datetime, As string }

// phrase is a sentence. The template escapes each part.
type phrase []part

func (p phrase) String() string {
	var b strings.Builder
	for _, x := range p {
		b.WriteString(x.Text)
	}
	return b.String()
}

// tellsTime says whether the sentence has a time.
func (p phrase) tellsTime() bool {
	return slices.ContainsFunc(p, func(x part) bool { return x.As != "" })
}

// values are the values of the names in a sentence.
type values map[string]part

func text(s string) part { return part{Text: s} }

// several, among the values, says that a sentence is about several keys.
const several = "several"

// ofKeys are the values of a sentence that is about n keys and has no others.
func ofKeys(n int) values {
	if n > 1 {
		return values{several: part{}}
	}
	return values{}
}

// say substitutes the values for their names. Of a sentence that has two forms, one key|several, it takes one.
func say(sentence string, v values) phrase {
	one, more, both := strings.Cut(sentence, "|")
	if _, many := v[several]; both && many {
		sentence = more
	} else {
		sentence = one
	}
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
