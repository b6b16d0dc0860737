package web

import (
	"strconv"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

// situation is a line's status from the customer's point of view, and the name of its colour in the style sheet.
type situation string

const (
	isPreparing     situation = "preparing"
	isCapturing     situation = "capturing" // its key is ready, and its payment is being completed
	isSending       situation = "sending"
	isRetrying      situation = "retrying"
	isMailLate      situation = "mail-late"
	isWaiting       situation = "waiting"
	isHeld          situation = "held"
	isDelivered     situation = "delivered"
	isReturned      situation = "returned" // its e-mail came back
	isCanceling     situation = "canceling"
	isCancelingFree situation = "canceling-free" // there is no money to give back
	isCanceled      situation = "canceled"
	isCanceledFree  situation = "canceled-free" // there was no money to give back
)

func situationOf(l db.CustomerLine) situation {
	if l.Canceling && l.Status != keyturn.LineCanceled { // the order is being cancelled and the line follows
		return canceling(l)
	}
	if l.Capturing && (l.Status == keyturn.LineObtained || l.Status == keyturn.LineRetrying) {
		return isCapturing
	}
	switch l.Status {
	case keyturn.LinePending:
		return isPreparing
	case keyturn.LineObtained:
		return isSending
	case keyturn.LineRetrying:
		if l.Obtained {
			return isMailLate
		}
		return isRetrying
	case keyturn.LineWaitingForStock:
		return isWaiting
	case keyturn.LineHeld:
		return isHeld
	case keyturn.LineDelivered:
		if l.CameBack {
			return isReturned
		}
		return isDelivered
	case keyturn.LineCanceling:
		return canceling(l)
	case keyturn.LineCanceled:
		if l.Refund.Minor == 0 {
			return isCanceledFree
		}
		return isCanceled
	}
	return isPreparing
}

func canceling(l db.CustomerLine) situation {
	if l.Unpaid || l.Uncharged || l.Price.Minor == 0 {
		return isCancelingFree
	}
	return isCanceling
}

// story tells the line's status, what happens next and by when.
func story(w *words, l db.CustomerLine, now time.Time) []phrase {
	v := values{
		"address": text(l.SentTo), "n": text(strconv.Itoa(l.Attempts)), "amount": w.date.money(l.Price),
		"by": w.date.until(l.GiveUpAt, now),
	}
	if l.Product.Units(l.Quantity) > 1 {
		v[several] = part{}
	}
	at := func(sentence string, when part) phrase { v["when"] = when; return say(sentence, v) }
	if l.Changes {
		if told := change(w, l, now, v, at); told != nil {
			return told
		}
	}
	var out []phrase
	switch situationOf(l) {
	case isPreparing:
		if l.Source.ByHand() {
			return append(out, say(w.text.byHand, v), deadline(w, l, now, v))
		}
		out = append(out, say(w.text.preparing, v))
	case isCapturing:
		out = append(out, say(w.text.capturing, v), deadline(w, l, now, v))
	case isSending:
		out = append(out, say(w.text.sending, v))
	case isRetrying:
		out = append(out, asked(w, l, v))
		out = append(out, nextTry(w, l, now, at)...)
		out = append(out, deadline(w, l, now, v))
	case isMailLate:
		out = append(out, say(w.text.mailLate, v))
		if l.MayReveal {
			out = append(out, say(w.text.canSee, v))
		}
		out = append(out, nextTry(w, l, now, at)...)
		out = append(out, deadline(w, l, now, v))
	case isWaiting:
		out = append(out, say(w.text.waiting, v), deadline(w, l, now, v))
	case isHeld:
		out = append(out, say(w.text.held, v))
		if l.HeldUntil != nil && l.HeldUntil.After(now) && l.HeldUntil.Before(l.GiveUpAt) {
			out = append(out, at(w.text.heldUntil, w.date.when(*l.HeldUntil, now)))
		}
		out = append(out, deadline(w, l, now, v))
	case isReturned:
		out = append(out, returned(w, l, v)...)
	case isDelivered:
		switch {
		case l.Corrected:
			return append(out, corrected(w, l, v, at)...)
		case l.ShownHere:
			out = append(out, at(w.text.shownHere, w.date.since(*l.DeliveredAt)))
		case l.SentTo != "":
			out = append(out, at(w.text.deliveredTo, w.date.since(*l.DeliveredAt)))
		default:
			out = append(out, at(w.text.delivered, w.date.since(*l.DeliveredAt)))
		}
		if l.SentAgainAt != nil {
			out = append(out, at(w.text.sentAgain, w.date.since(*l.SentAgainAt)))
		}
	case isCancelingFree:
		if l.Uncharged {
			return append(out, say(w.text.uncharged, v))
		}
		out = append(out, say(w.text.cancelingFree, v))
	case isCanceling:
		switch {
		case l.Status != keyturn.LineCanceling:
			out = append(out, say(w.text.orderCanceling, v))
		case l.Refund.Minor == 0:
			out = append(out, say(w.text.cancelingFree, v))
		default:
			v["amount"] = w.date.money(l.Refund)
			out = append(out, say(w.text.canceling, v))
		}
	case isCanceled:
		v["amount"] = w.date.money(l.Refund)
		out = append(out, at(w.text.canceled, w.date.since(*l.RefundedAt)), say(w.text.patience, v))
	case isCanceledFree:
		if l.Uncharged {
			return append(out, say(w.text.uncharged, v))
		}
		out = append(out, at(w.text.canceledFree, w.date.since(*l.RefundedAt)))
	}
	return out
}

// change tells the status of an operation on a licence; nil where it reads like any other line.
func change(w *words, l db.CustomerLine, now time.Time, v values, at func(string, part) phrase) []phrase {
	switch situationOf(l) { //nolint:exhaustive // the others are about money
	case isPreparing, isSending:
		return []phrase{say(w.text.changing, v)}
	case isRetrying, isMailLate, isWaiting:
		return append(append([]phrase{say(w.text.changeLate, v)}, nextTry(w, l, now, at)...), changeDeadline(w, l, now, v))
	case isHeld:
		return []phrase{say(w.text.held, v), changeDeadline(w, l, now, v)}
	case isDelivered, isReturned:
		return []phrase{at(w.text.changed, w.date.since(*l.DeliveredAt))}
	}
	return nil
}

func changeDeadline(w *words, l db.CustomerLine, now time.Time, v values) phrase {
	if !l.GiveUpAt.After(now) {
		return say(w.text.changeLate, v)
	}
	return say(w.text.changeDeadline, v)
}

// asked returns how often a partner was called. A pool or the staff of the shop has no such number.
func asked(w *words, l db.CustomerLine, v values) phrase {
	partner := l.Source.CallsPartner()
	switch {
	case partner && l.Attempts == 1:
		return say(w.text.askedOnce, v)
	case partner && l.Attempts > 1:
		return say(w.text.asked, v)
	case l.Source.ByHand():
		return say(w.text.byHand, v)
	}
	return say(w.text.working, v)
}

func nextTry(w *words, l db.CustomerLine, now time.Time, at func(string, part) phrase) []phrase {
	switch {
	case l.Source.ByHand() && !l.Obtained:
		return nil // nothing is tried: a person works on it
	case l.PartnerDown:
		return []phrase{say(w.text.whenBack, nil)}
	case l.NextAttemptAt == nil || !l.NextAttemptAt.After(now):
		return []phrase{say(w.text.tryingNow, nil)}
	case !l.NextAttemptAt.Before(l.GiveUpAt):
		return nil // no try will come before the deadline
	}
	return []phrase{at(w.text.nextTry, w.date.when(*l.NextAttemptAt, now))}
}

func deadline(w *words, l db.CustomerLine, now time.Time, v values) phrase {
	if !l.GiveUpAt.After(now) {
		if l.Unpaid {
			return say(w.text.deadlinePassedFree, v)
		}
		return say(w.text.deadlinePassed, v)
	}
	if l.Unpaid {
		return say(w.text.deadlineFree, v)
	}
	return say(w.text.deadline, v)
}
