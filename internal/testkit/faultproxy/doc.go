// Package faultproxy is a TCP proxy that injects network faults: it refuses, delays, swallows and cuts connections. It
// can also lose an answer after the server has carried out the request, a case that killing processes at random never
// hits. It parses enough of each protocol to know which request an answer belongs to. Tests and the fault laboratory
// put one at each boundary.
package faultproxy
