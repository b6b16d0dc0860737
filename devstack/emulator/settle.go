package emulator

import (
	"crypto/rand"
	"net/http"
	"time"
)

// settle decides what the request does, journals it, applies it to the books and answers, in this order. The lock makes
// two copies of one request that arrive together one issue and one repeat.
func (c *call) settle() {
	rep, err := c.decideAndRecord()
	if err != nil { // what is not in the journal must not be sent
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
	rep := c.decide(s.books)
	c.entry.StatusSent = rep.status
	if c.drill.silent {
		c.entry.StatusSent = 0
	}
	return rep, s.recordLocked(&c.entry)
}

// decide reads the books and fills in the entry; it changes nothing else.
func (c *call) decide(b *books) reply {
	if c.drill.refuse != nil {
		if rep := c.drill.refuse(c, b); rep != nil {
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
		return c.lookUp(b)
	case opCancel:
		c.entry.Effect = EffectCanceled
	case opPause, opResume:
		c.changePause(b)
	default:
		return c.issue(b)
	}
	return c.success(nil) // also for an ID that the partner never heard of
}

// changePause leaves alone what is not there and what was cancelled.
func (c *call) changePause(b *books) {
	l := b.license(c.entry.Partner, c.entry.FulfillmentID)
	if l == nil || l.Status == StatusCanceled {
		return
	}
	c.entry.Effect = EffectPaused
	if c.entry.Op == opResume {
		c.entry.Effect = EffectResumed
	}
}

func (c *call) issue(b *books) reply {
	e := &c.entry
	l := b.license(e.Partner, e.FulfillmentID)
	if c.settings.RefuseAfterCancel && l != nil && l.Status == StatusCanceled {
		return c.failure(http.StatusOK, "LICENSE_CANCELED", "this fulfillment was cancelled")
	}
	keys, again := b.given(*e)
	if again && c.drill.makeKeys == nil {
		e.Repeat = true
		e.setKeys(keys)
		return c.success(keys)
	}
	if held := c.heldKeys(b, l); e.Op != opCreate && len(held) > 0 && !c.settings.RenewNewKey {
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

// heldKeys are the keys that a renewal or upgrade is about: those of the same fulfillment, or the one in the body.
func (c *call) heldKeys(b *books, l *License) []string {
	if l != nil && len(l.Keys) > 0 {
		return l.Keys
	}
	if c.ids.held != "" && b.byKey[joined(c.entry.Partner, c.ids.held)] != nil {
		return []string{c.ids.held}
	}
	return nil
}

// success is a good answer in the shape of the route.
func (c *call) success(keys []string) reply {
	body := c.shape().success(keys)
	if c.entry.FulfillmentID != "" && !c.route.dynamic {
		body["fulfillmentId"] = c.entry.FulfillmentID
	}
	return jsonReply(http.StatusOK, body)
}

// lookUp tells what became of a fulfillment, in the partner's own shape so that the same paths read it.
func (c *call) lookUp(b *books) reply {
	l := b.license(c.entry.Partner, c.entry.FulfillmentID)
	if l == nil || len(l.Keys) == 0 {
		return jsonReply(http.StatusNotFound, map[string]any{"fulfillmentId": c.entry.FulfillmentID, "issued": false})
	}
	body := c.shape().success(l.Keys)
	body["fulfillmentId"], body["issued"], body["status"] = l.FulfillmentID, true, l.Status
	return jsonReply(http.StatusOK, body)
}

// alphabet leaves out what people misread, so that keys can be typed from a screenshot.
const alphabet = "ABCDEFGHJKMNPQRSTVWXYZ23456789"

// newKeys makes n keys such as EMU-7K2M-QX4T-B9HA: 58 random bits each, so they do not repeat.
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
