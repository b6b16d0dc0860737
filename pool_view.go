package keyturn

import "time"

// ImportResult is the verdict on an import.
type ImportResult struct {
	BatchID  string         `json:"batchId,omitempty"`
	Accepted int            `json:"accepted"`
	Rejected []RejectedKey  `json:"rejected"`
	Counts   map[string]int `json:"counts"`
	Served   int            `json:"served"`
	Waiting  int            `json:"waiting,omitempty" doc:"Lines that still wait for the pool; with a pace, those that it has not come to yet."`
	DryRun   bool           `json:"dryRun,omitempty"`
	Preview  *ImportPreview `json:"preview,omitempty" doc:"How the file was read. Look at it in a dry run before a file from a new source is imported."`
}

// ImportPreview says how a file of keys was read, without a key of it.
type ImportPreview struct {
	FirstKey  string   `json:"firstKey,omitempty" example:"ABCD•-•••••-•••••" doc:"The first key, masked but for its beginning and its punctuation."`
	Header    bool     `json:"header" doc:"The first row was taken as a header, not as a key."`
	Columns   []string `json:"columns,omitempty" doc:"CSV: what the header calls the columns. A name that could be a key is replaced by the column's number."`
	Separator string   `json:"separator,omitempty" example:";" doc:"CSV with several columns: what separates them."`
	Rows      int      `json:"rows" doc:"Rows of the file, without the header and without empty ones."`
	Unlike    int      `json:"unlike" doc:"Keys that do not look like the others: another punctuation than most, or another length where nearly all have the same. 0 also where the keys have no shape in common."`
}

// HeaderRow says whether the first row of a file is a header; "" does not say.
type HeaderRow string

const (
	HeaderYes HeaderRow = "yes"
	HeaderNo  HeaderRow = "no"
)

// ParseHeaderRow reads yes, no, true, false or nothing. KindInvalid.
func ParseHeaderRow(text string) (HeaderRow, error) {
	switch text {
	case "":
		return "", nil
	case "yes", "true":
		return HeaderYes, nil
	case "no", "false":
		return HeaderNo, nil
	}
	var bad Problems
	bad.Addf("header", "must be yes or no")
	return "", bad.Err("the import is not valid")
}

// RejectedKey is a row of an import that brought no new key, and why.
type RejectedKey struct {
	Line   int    `json:"line"`
	Reason string `json:"reason" enum:"duplicate_in_file,duplicate_in_pool,duplicate_in_other_pool,already_sold,malformed,too_long,malformed_expiry,expired"`
}

// Why a row of an import brought no new key. The first four are no mistakes: Keyturn has these keys already. The others
// are bad rows, and refuse the file unless they are to be skipped.
const (
	RowDuplicateInFile      = "duplicate_in_file"
	RowDuplicateInPool      = "duplicate_in_pool"
	RowDuplicateInOtherPool = "duplicate_in_other_pool"
	RowAlreadySold          = "already_sold"
	RowMalformed            = "malformed"
	RowTooLong              = "too_long"
	RowBadExpiry            = "malformed_expiry"
	RowExpired              = "expired"
)

// RowReasons says to people what is wrong with a bad row.
var RowReasons = map[string]string{
	RowMalformed: "malformed: it has no key, control or invisible characters inside, too few or too many columns, or " +
		"does not match the pool's pattern",
	RowTooLong:   "too_long: a key has at most 4096 characters",
	RowBadExpiry: "malformed_expiry: must be a day such as 2027-01-31 or a time such as 2027-01-31T12:00:00Z",
	RowExpired:   "expired: less than the pool's minValidity is left",
}

// BatchDetail is one import and its recall.
type BatchDetail struct {
	BatchView
	Recall *RecallView `json:"recall,omitempty"`
}

// RecallView is how far a recall is. Keys lists the first thousand that were sold.
type RecallView struct {
	Reason   string        `json:"reason"`
	Replace  bool          `json:"replace"`
	Complete bool          `json:"complete" doc:"All keys of the batch are dealt with: unsold ones in quarantine, sold ones listed."`
	Percent  int           `json:"percent" doc:"How much of the batch is dealt with."`
	Sold     int           `json:"sold"`
	Owed     int           `json:"owed" doc:"Customers' keys that are still to be replaced: they wait for stock, or for the line's first e-mail."`
	Replaced int           `json:"replaced"`
	Void     int           `json:"void" doc:"Nobody needs another one: the line was refunded, or an upgrade had retired the key."`
	Keys     []RecalledKey `json:"keys"`
}

// RecalledKey is a sold key that is or was to be replaced, by whose it is.
type RecalledKey struct {
	OrderID       string            `json:"orderId"`
	FulfillmentID string            `json:"fulfillmentId"`
	Unit          int               `json:"unit"`
	Status        ReplacementStatus `json:"status" enum:"LISTED,OWED,DONE,VOID"`
	DoneAt        *time.Time        `json:"doneAt,omitempty"`
}

// KeyView is the life of one key, without the key.
type KeyView struct {
	PoolID    string     `json:"poolId"`
	BatchID   string     `json:"batchId"`
	State     KeyState   `json:"state" enum:"available,claimed,delivered,quarantined,recalled,expired,withdrawn"`
	ExpiresAt *time.Time `json:"expiresAt,omitempty"`
	History   []KeyStep  `json:"history"`
}

// KeyStep is one step of a key, with who made it and why.
type KeyStep struct {
	From          string    `json:"from,omitempty"`
	To            string    `json:"to"`
	By            string    `json:"by"`
	Reason        string    `json:"reason,omitempty"`
	At            time.Time `json:"at"`
	FulfillmentID string    `json:"fulfillmentId,omitempty"`
	OrderID       string    `json:"orderId,omitempty"`
}

// Forecast says how long a pool lasts at the recent pace.
type Forecast struct {
	PerHour   float64  `json:"perHour" doc:"Keys taken in an hour: the faster of the last hour and the last day."`
	HoursLeft *float64 `json:"hoursLeft,omitempty" doc:"Until the available keys, less those that waiting lines need, are gone; absent while none is taken, and in the first hour of a pool."`
}
