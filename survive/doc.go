// Package survive holds the tests that end processes: API, workers, PostgreSQL and Temporal run as they do in
// production, each a process of its own, and are killed and frozen while orders come in. What is checked afterwards is
// seen from outside: mailboxes, the partners' books, the payment provider's ledger, the tables and Temporal's list of
// workflows.
//
// KEYTURN_SURVIVE_SEED repeats a run; KEYTURN_SURVIVE_LONG=1 kills five times as often, freezes a worker for 90 s and
// stops Temporal for a minute.
package survive
