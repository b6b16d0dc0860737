// Package e2e holds the tests of the whole: a real PostgreSQL, a real Temporal, a real mail server, real partners over
// HTTP, and orders that go through all of them.
package e2e
