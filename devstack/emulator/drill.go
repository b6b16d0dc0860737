package emulator

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The drills that code refers to by name.
const (
	drillOK        = "ok"
	drillFail      = "fail-N-then-ok"
	drillRateLimit = "rate-limit"
	drillDown      = "down"
)

// Drill describes one way of misbehaving.
type Drill struct {
	Name     string `json:"name"`     // what X-Drill, settings and product IDs say
	Argument string `json:"argument"` // what may follow after a colon, with its default; empty if nothing may
	About    string `json:"about"`
}

// argKind is the type of a drill's argument.
type argKind int

const (
	argNone argKind = iota
	argNumber
	argDuration
	argText
)

// drill is a Drill with what it does. A request is either refused, or worked with keys from makeKeys and sent by send;
// a nil function means the ordinary behaviour.
type drill struct {
	name, about string
	arg         argKind
	deflt       string
	refuse      func(*call, *ledger) *reply
	makeKeys    func(c *call, n int) []string
	send        func(*call, reply)
	silent      bool // no status line ever leaves

	// what the argument said
	text     string // the drill as it was asked for, for the journal
	word     string
	number   int
	duration time.Duration
}

// Drills lists every drill, in the order of the control page.
func Drills() []Drill {
	list := make([]Drill, 0, len(drills))
	for _, d := range drills {
		list = append(list, Drill{Name: d.name, Argument: d.deflt, About: d.about})
	}
	return list
}

var failN = regexp.MustCompile(`(?i)^fail[-:._](\d{1,6})([-._]then[-._]ok)?$`)

// parseDrill reads "name" or "name:argument"; the empty text is "ok".
func parseDrill(text string) (drill, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		text = drillOK
	}
	if m := failN.FindStringSubmatch(text); m != nil {
		return lookUpDrill(drillFail).with(text, m[1])
	}
	for _, d := range byLength {
		if strings.EqualFold(text, d.name) {
			return d.with(text, d.deflt)
		}
		if len(text) > len(d.name)+1 && strings.EqualFold(text[:len(d.name)], d.name) &&
			strings.ContainsRune(":._-", rune(text[len(d.name)])) {
			return d.with(text, text[len(d.name)+1:])
		}
	}
	return drill{}, fmt.Errorf("there is no drill %q; GET /_emulator/drills lists them", text)
}

// byLength has the longest names first, so that permanent-x is not read as a drill whose name it begins with.
var byLength = func() []drill {
	list := slices.Clone(drills)
	slices.SortStableFunc(list, func(a, b drill) int { return len(b.name) - len(a.name) })
	return list
}()

func lookUpDrill(name string) drill {
	for _, d := range byLength {
		if d.name == name {
			return d
		}
	}
	return drill{}
}

func (d drill) with(text, arg string) (drill, error) {
	d.text, d.word = text, arg
	var err error
	switch d.arg {
	case argNone:
		if arg != "" {
			err = fmt.Errorf("drill %s takes no argument", d.name)
		}
	case argNumber:
		if d.number, err = strconv.Atoi(arg); err != nil || d.number < 0 || d.number > 1_000_000 {
			err = fmt.Errorf("drill %s takes a number up to 1000000, not %q", d.name, arg)
		}
	case argDuration:
		if d.duration, err = time.ParseDuration(arg); err != nil || d.duration < 0 || d.duration > maxHold {
			err = fmt.Errorf("drill %s takes a duration up to %s, such as 500ms, not %q", d.name, maxHold, arg)
		}
	case argText:
	}
	return d, err
}

// marker finds drill:<rest> in an ID. With a separator other than the colon the word may be innocent, so only a drill
// that exists counts.
var marker = regexp.MustCompile(`(?i)(?:^|[^a-z])drill([:._-])(.+)$`)

func markedDrill(id string) (d drill, found bool, err error) {
	m := marker.FindStringSubmatch(id)
	if m == nil {
		return drill{}, false, nil
	}
	d, err = parseDrill(m[2])
	if err != nil && m[1] != ":" {
		return drill{}, false, nil
	}
	return d, true, err
}

// chooseDrill picks the drill for a call: header, then product, then the partner's settings.
func chooseDrill(c *call) (drill, error) {
	if header := c.r.Header.Get("X-Drill"); header != "" {
		return parseDrill(header)
	}
	if issues(c.entry.Op) {
		for _, id := range c.ids.products {
			if d, found, err := markedDrill(id); found {
				return d, err
			}
		}
	}
	if c.settings.hits(c.entry.Op) {
		return parseDrill(c.settings.Drill)
	}
	return parseDrill(drillOK)
}
