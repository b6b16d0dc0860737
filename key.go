package keyturn

import "slices"

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
