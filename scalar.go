package keyturn

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration that reads and writes as text such as "5s", "30m" or "72h" in JSON and YAML.
type Duration time.Duration

// MarshalText writes the shortest form: 72h rather than 72h0m0s.
func (d Duration) MarshalText() ([]byte, error) {
	text := time.Duration(d).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return []byte(text), nil
}

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("must be a duration such as 5s, 30m or 72h, not %q", text)
	}
	*d = Duration(v)
	return nil
}

// Rounded is the duration for a sentence: to the second, or to the millisecond below that.
func (d Duration) Rounded() Duration {
	unit := time.Millisecond
	if time.Duration(d) >= time.Second {
		unit = time.Second
	}
	return Duration(time.Duration(d).Round(unit))
}

// String is the text form.
func (d Duration) String() string { text, _ := d.MarshalText(); return string(text) }

// Bytes is a size that reads and writes as text such as "64KiB" or "1MiB", or as a plain number of bytes.
type Bytes int64

var byteUnits = []struct {
	suffix string
	factor int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {"", 1}}

// MarshalText writes the largest unit that divides the size.
func (b Bytes) MarshalText() ([]byte, error) {
	for _, u := range byteUnits[:3] {
		if b != 0 && int64(b)%u.factor == 0 {
			return []byte(strconv.FormatInt(int64(b)/u.factor, 10) + u.suffix), nil
		}
	}
	return []byte(strconv.FormatInt(int64(b), 10)), nil
}

// String is the text form.
func (b Bytes) String() string { text, _ := b.MarshalText(); return string(text) }

// UnmarshalText reads a whole number and a unit: B, KiB, MiB or GiB.
func (b *Bytes) UnmarshalText(text []byte) error {
	for _, u := range byteUnits {
		digits, ok := strings.CutSuffix(string(text), u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err == nil && n >= 0 && n <= math.MaxInt64/u.factor {
			*b = Bytes(n * u.factor)
			return nil
		}
	}
	return fmt.Errorf("must be a size such as 64KiB or 1MiB, not %q", text)
}

// Secret is a value that must not be seen: a password, a signing key, a licence key. It prints, logs and marshals as a
// mark; Reveal gives the value to the one place that needs it.
type Secret string

const redacted = "[redacted]"

// Reveal gives the value itself.
func (s Secret) Reveal() string { return string(s) }

// String, GoString and LogValue keep the value out of every print and log.
func (s Secret) String() string { return redacted }

// GoString keeps the value out of %#v.
func (s Secret) GoString() string { return redacted }

// MarshalJSON keeps the value out of every document that is not written on purpose.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }
