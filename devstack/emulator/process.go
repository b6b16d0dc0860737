package emulator

import (
	"crypto/rand"
	"net/http"
	"time"
)

// process decides what the request does, journals it, applies it to the ledger and answers, in this order. If two
// copies of a request arrive together, the lock makes one of them an issue and the other a repeat.
func (c *call) process() {
	rep, err := c.decideAndRecord()
	if err != nil { // nothing is sent that is not in the journal
		sendPlain(c, c.failure(http.StatusInternalServerError, "JOURNAL", "the emulator cannot write its journal"))
		return
	}
	if c.drill.send != nil && c.entry.Fault != "" {
		c.drill.send(c, rep)
		return
	}
	sendPlain(c, rep)
}

func (c *call) decideAndRecord() (reply, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	c.entry.Time = time.Now().UTC()
	rep := c.decide(s.ledger)
	c.entry.StatusSent = rep.status
	if c.drill.silent {
		c.entry.StatusSent = 0
	}
	return rep, s.recordLocked(&c.entry)
}

// decide reads the ledger and fills in the entry; it changes nothing else.
func (c *call) decide(l *ledger) reply {
	if c.drill.refuse != nil {
		if rep := c.drill.refuse(c, l); rep != nil {
			c.entry.Fault = c.drill.text
			return *rep
		}
	} else if c.drill.send != nil {
		c.entry.Fault = c.drill.text
	}
	switch c.entry.Op {
	case opToken:
		return c.token()
	case opLookup:
		return c.lookUp(l)
	case opCancel:
		c.entry.Effect = EffectCanceled
	case opPause, opResume:
		c.changePause(l)
	default:
		return c.issue(l)
	}
	return c.success(nil) // even if the partner does not know the ID
}

// changePause pauses or resumes a license, unless it is unknown or cancelled.
func (c *call) changePause(l *ledger) {
	lic := l.license(c.entry.Partner, c.entry.FulfillmentID)
	if lic == nil || lic.Status == StatusCanceled {
		return
	}
	c.entry.Effect = EffectPaused
	if c.entry.Op == opResume {
		c.entry.Effect = EffectResumed
	}
}

func (c *call) issue(l *ledger) reply {
	e := &c.entry
	lic := l.license(e.Partner, e.FulfillmentID)
	if c.settings.RefuseAfterCancel && lic != nil && lic.Status == StatusCanceled {
		return c.failure(http.StatusOK, "LICENSE_CANCELED", "this fulfillment was cancelled")
	}
	keys, again := l.given(*e)
	if again && c.drill.makeKeys == nil {
		e.Repeat = true
		e.setKeys(keys)
		return c.success(keys)
	}
	if held := c.heldKeys(l, lic); e.Op != opCreate && len(held) > 0 && !c.settings.RenewNewKey {
		e.Effect = EffectExtended
		e.setKeys(held)
		return c.success(held)
	}
	makeKeys := freshKeys
	if c.drill.makeKeys != nil {
		makeKeys, e.Fault = c.drill.makeKeys, c.drill.text
	}
	keys = makeKeys(c, c.ids.quantity)
	e.Effect = EffectIssued
	e.setKeys(keys)
	return c.success(keys)
}

// heldKeys returns the keys that a renewal or upgrade extends: those of the same fulfillment, or the one in the body.
func (c *call) heldKeys(l *ledger, lic *License) []string {
	if lic != nil && len(lic.Keys) > 0 {
		return lic.Keys
	}
	if c.ids.held != "" && l.byKey[joined(c.entry.Partner, c.ids.held)] != nil {
		return []string{c.ids.held}
	}
	return nil
}

// success is a reply of the route's shape that carries the keys.
func (c *call) success(keys []string) reply {
	if c.settings.writesText() && !c.route.dynamic {
		return textReply(http.StatusOK, textOf(c.settings.Paths, keys))
	}
	body := c.shape().success(keys)
	if c.entry.FulfillmentID != "" && !c.route.dynamic {
		body["fulfillmentId"] = c.entry.FulfillmentID
	}
	return jsonReply(http.StatusOK, body)
}

// lookUp reports what was issued for a fulfillment, in the partner's shape so that the same response paths read it.
func (c *call) lookUp(l *ledger) reply {
	lic := l.license(c.entry.Partner, c.entry.FulfillmentID)
	switch {
	case lic != nil && len(lic.Keys) > 0 && c.settings.writesText():
		return textReply(http.StatusOK, textOf(c.settings.Paths, lic.Keys))
	case lic == nil || len(lic.Keys) == 0:
		return jsonReply(http.StatusNotFound, map[string]any{"fulfillmentId": c.entry.FulfillmentID, "issued": false})
	}
	body := c.shape().success(lic.Keys)
	body["fulfillmentId"], body["issued"], body["status"] = lic.FulfillmentID, true, lic.Status
	return jsonReply(http.StatusOK, body)
}

// alphabet leaves out characters that people confuse, so that keys can be typed from a screenshot.
const alphabet = "ABCDEFGHJKMNPQRSTVWXYZ23456789"

// newKeys returns n keys such as EMU-7K2M-QX4T-B9HA. Each has 58 random bits, so they do not repeat.
func newKeys(n int) []string {
	keys := make([]string, 0, max(n, 0))
	for range n {
		raw := make([]byte, 12)
		_, _ = rand.Read(raw) // never fails
		key := []byte("EMU")
		for i, b := range raw {
			if i%4 == 0 {
				key = append(key, '-')
			}
			key = append(key, alphabet[int(b)%len(alphabet)])
		}
		keys = append(keys, string(key))
	}
	return keys
}
