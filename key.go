package keyturn

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// KeyState is what became of a pool's key.
type KeyState string

const (
	// KeyAvailable: for sale.
	KeyAvailable KeyState = "available"
	// KeyClaimed: a line's; its customer has not seen it for certain.
	KeyClaimed KeyState = "claimed"
	// KeyDelivered: the mail server accepted an e-mail with it.
	KeyDelivered KeyState = "delivered"
	// KeyQuarantined: somebody may have seen it, or a person put it aside: never sold again.
	KeyQuarantined KeyState = "quarantined"
	// KeyRecalled: its customer got another one instead.
	KeyRecalled KeyState = "recalled"
	// KeyExpired: too little of its validity was left to sell it.
	KeyExpired KeyState = "expired"
	// KeyWithdrawn: its import was undone before any of it was sold; the same key may be imported again.
	KeyWithdrawn KeyState = "withdrawn"
)

// KeyStates are all states in the order of a key's life.
var KeyStates = []KeyState{
	KeyAvailable, KeyClaimed, KeyDelivered, KeyQuarantined, KeyRecalled, KeyExpired,
	KeyWithdrawn,
}

// KeyTransitions is the one table of what may follow what. The database has the same rows in key_transitions, the chart
// in docs/use/pools.md shows them, and a test keeps the three equal.
var KeyTransitions = map[KeyState][]KeyState{
	KeyAvailable:   {KeyClaimed, KeyQuarantined, KeyExpired, KeyWithdrawn},
	KeyClaimed:     {KeyAvailable, KeyDelivered, KeyQuarantined, KeyRecalled},
	KeyDelivered:   {KeyQuarantined, KeyRecalled},
	KeyQuarantined: {},
	KeyRecalled:    {},
	KeyExpired:     {},
	KeyWithdrawn:   {},
}

// CanBecome says whether the table has the step.
func (s KeyState) CanBecome(next KeyState) bool { return slices.Contains(KeyTransitions[s], next) }

// MaxKeyLength is the length of the longest key, in characters.
const MaxKeyLength = 4096

// Why a text cannot be a key, worded as the rule that the field which brought it breaks.
var (
	ErrKeyTooLong = errors.New("must be at most " + strconv.Itoa(MaxKeyLength) + " characters")
	ErrKeyUnclean = errors.New("must be UTF-8 text without control characters and without invisible characters inside")
)

// CleanKey decides what a key is, for files, partners and people alike: its result is what is stored, fingerprinted,
// compared and shown. White space and invisible characters around a key do not belong to it: byte-order marks,
// zero-width characters, marks of direction. A key may have several lines, such as a license block; each ends with LF,
// whatever it ended with before. A text with nothing else is no key: "" and no error. ErrKeyUnclean for invalid UTF-8
// and for characters inside that nobody sees; ErrKeyTooLong.
func CleanKey(text string) (string, error) {
	if isPlainKey(text) {
		return text, nil
	}
	if !utf8.ValidString(text) {
		return "", ErrKeyUnclean
	}
	key := lineEnds.Replace(strings.TrimFunc(text, func(r rune) bool { return unicode.IsSpace(r) || isInvisible(r) }))
	if strings.ContainsFunc(key, func(r rune) bool {
		return r != '\n' && (unicode.IsControl(r) || isInvisible(r) || r == utf8.RuneError)
	}) {
		return "", ErrKeyUnclean
	}
	if len(key) > MaxKeyLength && utf8.RuneCountInString(key) > MaxKeyLength {
		return "", ErrKeyTooLong
	}
	return key, nil
}

// KeyIsLink says whether a key is a link that its customer may follow: http or https, to a host, and nothing in it that
// makes it look like another.
func KeyIsLink(key string) bool {
	u, err := url.Parse(key)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil &&
		!strings.ContainsAny(key, " \"<>\\^`{|}")
}

// isPlainKey knows most keys at a glance: visible ASCII, and not long.
func isPlainKey(text string) bool {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] >= 0x7F {
			return false
		}
	}
	return len(text) <= MaxKeyLength
}

var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// isInvisible says of a character that it takes no place where it is shown, so that two keys which differ in it alone
// look the same. Format characters are those that hide, join or turn what stands around them.
func isInvisible(r rune) bool {
	return r > unicode.MaxLatin1 && unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Variation_Selector,
		unicode.Other_Default_Ignorable_Code_Point) || r == softHyphen
}

const softHyphen = '\u00AD'
