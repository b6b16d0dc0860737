// Package emulator plays partners: a real HTTP and HTTPS server that issues licence keys in the shapes partners use,
// and that misbehaves on demand. `keyturn dev`, tests and chaos runs call it instead of a publisher.
//
// # Routes
//
// Any path may be preceded by /p/<partner>, which chooses the partner whose settings apply (otherwise "default"), and
// by any base path after that.
//
//	POST …/licenses/{new|cancel|renew|upgrade|pause|resume|suspend|reactivate}   Nexway's default contract
//	GET  …/licenses/{fulfillmentId}                                             was it issued?
//	POST …/custom[/{shape}]/…/{operation}                                       other reply shapes
//	POST …/dynamic?id=<productId>                                               a dynamic URL
//	POST …/oauth/token                                                          OAuth2 client credentials
//	/_emulator/                                                                 control page, log and settings
//
// # Order of events
//
// What a request changes is written to the journal first, applied second and answered last, all under one lock, so the
// journal is evidence: a key that is not in it was never sent, and replaying it gives the state back after a restart.
//
// # Drills
//
// A drill is one way of misbehaving (see Drills). It is chosen by the request header X-Drill, else by a product ID,
// publisher product ID or dynamic URL id that contains drill:<name> (also with . _ or - for the colon, and an argument
// after one more of them, as in acme-drill:slow:2s), else by the partner's settings. A drill chosen by product spares
// cancel, pause and resume, so that a line can still be wound up; the header hits whatever it is sent with.
package emulator
