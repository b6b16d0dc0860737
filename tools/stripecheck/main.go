// Stripecheck compares what Keyturn and Stripe's emulator say to each other with what Stripe publishes of its API.
//
//	stripecheck check FILE…   exchanges that the emulator has written (Config.Exchanges, JSON lines)
//	stripecheck live          the same purchases at Stripe, with a test key, a network and a person who pays
//
// check sends each request to stripe-mock, which has to take it; walks it through the OpenAPI document with every object
// closed that has properties, since stripe-mock takes unknown names inside of them; compares each answer and each event
// with the document, closed in the same way, with what is required, null and listed; and has Stripe's library read them.
// This proves names and shapes. It does not prove that Stripe does what the emulator does: that is what live is for.
package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "stripecheck: "+err.Error())
		os.Exit(1)
	}
}

const usage = "usage: stripecheck check FILE…, or stripecheck live"

func run(args []string) error {
	switch {
	case len(args) > 1 && args[0] == "check":
		return check(args[1:])
	case len(args) == 1 && args[0] == "live":
		out, err := quiet()
		if err != nil {
			return err
		}
		return live(out)
	}
	return fmt.Errorf("%s", usage)
}

func check(files []string) error {
	out, err := quiet()
	if err != nil {
		return err
	}
	began := time.Now()
	c, err := newChecker()
	if err != nil {
		return err
	}
	defer c.close()
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		err = c.read(f)
		_ = f.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, about := range slices.Sorted(maps.Keys(c.faults)) {
		for _, fault := range c.faults[about] {
			fmt.Fprintf(out, "%s: %s\n", about, fault)
		}
	}
	fmt.Fprintf(out, "%d requests, %d answers and %d events compared with Stripe's document of %s in %s: %d faults\n",
		c.requests, c.answers, c.events, c.Info.Version, time.Since(began).Round(100*time.Millisecond), c.count)
	switch {
	case c.count > 0:
		return fmt.Errorf("%d faults", c.count)
	case c.requests == 0:
		return fmt.Errorf("there is no exchange to check")
	}
	return nil
}
