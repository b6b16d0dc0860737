package emulator

import (
	"time"
)

// Config says where the emulator listens and what it keeps. The zero value listens on a free loopback port, speaks
// plain HTTP and keeps everything in memory.
type Config struct {
	Addr           string   // plain HTTP; "127.0.0.1:0" when empty
	TLSAddr        string   // HTTPS with a certificate of the emulator's own CA; not served when empty
	ExpiredTLSAddr string   // the same with a certificate that expired yesterday; not served when empty
	HoneypotAddr   string   // where redirects lead; a free port on the host of Addr when empty
	Hosts          []string // further names and addresses for the certificates, beside localhost

	Dir   string // journal, honeypot log and CA live here and survive a restart; memory only when empty
	Fsync bool   // the journal reaches the disk before a request is answered: for runs that kill the emulator too

	// Cheap is for benchmarks: no file, no body hashes, and only the newest 1,000 entries in memory.
	Cheap      bool
	MaxEntries int           // entries kept in memory; 100,000 when 0
	Latency    time.Duration // added to every answer of partners that set none of their own

	Partners map[string]Settings // by name; any other name works too, without authentication
}

const (
	defaultAddr       = "127.0.0.1:0"
	defaultMaxEntries = 100_000
	cheapMaxEntries   = 1_000
	maxPartners       = 1_000
	maxBody           = 1 << 20
	maxHold           = 10 * time.Minute // the longest that a drill leaves a request without an answer
	shutdownGrace     = 500 * time.Millisecond
)

func (c Config) withDefaults() Config {
	if c.Addr == "" {
		c.Addr = defaultAddr
	}
	if c.MaxEntries <= 0 {
		c.MaxEntries = defaultMaxEntries
	}
	if c.Cheap {
		c.Dir, c.MaxEntries = "", min(c.MaxEntries, cheapMaxEntries)
	}
	return c
}
