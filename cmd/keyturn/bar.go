package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// bar shows how far a file was read, on a terminal, a few times a second.
type bar struct {
	out   io.Writer
	total int64
	shown time.Time
	used  bool
}

func newBar(out io.Writer, total int64) *bar {
	if f, ok := out.(*os.File); ok {
		if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
			out = io.Discard
		}
	}
	return &bar{out: out, total: total}
}

func (b *bar) set(read int64) {
	if b.total > 0 && read >= b.total { // what is sent is not yet stored
		b.used = true
		fmt.Fprintf(b.out, "\r100 %% of %.1f MB sent, being stored", float64(b.total)/1e6)
		return
	}
	if time.Since(b.shown) < 200*time.Millisecond {
		return
	}
	b.shown, b.used = time.Now(), true
	if b.total > 0 {
		fmt.Fprintf(b.out, "\r%3d %% of %.1f MB", read*100/b.total, float64(b.total)/1e6)
		return
	}
	fmt.Fprintf(b.out, "\r%.1f MB", float64(read)/1e6)
}

// count shows how many of something are done.
func (b *bar) count(n int) {
	if time.Since(b.shown) < 200*time.Millisecond {
		return
	}
	b.shown, b.used = time.Now(), true
	fmt.Fprintf(b.out, "\r%d done", n)
}

func (b *bar) end() {
	if b.used {
		fmt.Fprint(b.out, "\r\033[K")
	}
}
