// Package keyturn is the domain of Keyturn: orders, line items and their statuses, products and their sources, retry
// policy, money and error kinds. It knows no SQL, no HTTP client and no Temporal; every other package imports it and it
// imports none of them.
package keyturn
