// Package oracle names the bugs that a build with the tag `oracle` can be given, to see that the audit catches them. In
// every other build Is is false and Statement the identity, and the compiler leaves both out.
package oracle

// The planted bugs that the code asks for (docs/run/audit.md). Those that are in an SQL statement are listed with the test:
// the build changes the statement on its way to PostgreSQL.
const (
	AutocommitClaim    = "autocommit claim"
	NewIDPerAttempt    = "new fulfillmentId per attempt"
	RenderedAgain      = "re-rendered body"
	RefundWithoutKey   = "refund without key" // each try has a key of its own
	MailBeforeCommit   = "mail before commit"
	RedirectsFollowed  = "redirects followed"
	KeyInErrorText     = "key in error text"
	AlertPerRetry      = "alert per retry"
	StartWithoutOutbox = "workflow start without outbox" // nobody starts what a process that died did not
	WorkflowStaysOpen  = "workflow without an end"
	BoundToNothing     = "a secret that is not bound to its row"
	BlindCopy          = "a blind copy of every e-mail"
	HistoryGrows       = "a history without bounds"
	OtherwiseOnReplay  = "a workflow that goes another way when it is replayed"
	ErrorsAreAnswers   = "a key is taken from the answer of an error"
)
