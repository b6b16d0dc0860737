// Package starter starts the workflows of accepted orders and relays what is due. An order system imports it to start
// orders from its own process; the HTTP API uses it in the same way. It needs Temporal only to start: an order is in
// the database before anything is started, and what is not started now the relay starts later.
package starter
