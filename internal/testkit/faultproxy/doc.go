// Package faultproxy stands between a program and a server and misbehaves like a network: it refuses, delays, swallows
// and cuts, and it loses an answer after the server has carried out what it was asked, which no killing at random
// finds. It understands enough of a protocol to know whose answer it loses. Tests and the fault laboratory put one at
// each boundary.
package faultproxy
