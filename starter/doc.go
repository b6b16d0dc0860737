// Package starter is the way in: the HTTP API and its Go client, catalogs in YAML, and what starts the workflows of
// accepted orders and relays what is due. It accepts an order without Temporal; everything it promises is in the
// database before it answers.
package starter
