package db

import (
	"context"
	"sync"

	"keyturn.dev/keyturn"
)

// doors lets few calls of each partner begin at the same time in this process. The database has them begin one after
// the other anyway (lockAdmission), and whoever waits there holds one of the few connections meanwhile: the lines of
// one partner that come all at once would keep those of all others from the database.
type doors struct {
	mu   sync.Mutex
	open map[string]chan struct{}
}

// throughDoor is how many may be in the database for the same partner: one that holds its lock, and one that prepares.
const throughDoor = 2

// AtDoor waits until a call of this source may be begun, and gives what ends that. Sources that are no partner's have
// no door. The error is KindUnavailable, because ctx ended.
func (d *DB) AtDoor(ctx context.Context, source string) (leave func(), err error) {
	if partnerOf(source) == "" {
		return func() {}, nil
	}
	door := d.doors.of(source)
	select {
	case door <- struct{}{}:
		return func() { <-door }, nil
	case <-ctx.Done():
		return nil, keyturn.Errorf(keyturn.KindUnavailable, "too many lines of %s come at the same time: %w", source,
			ctx.Err())
	}
}

func (d *doors) of(source string) chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open == nil {
		d.open = map[string]chan struct{}{}
	}
	if d.open[source] == nil {
		d.open[source] = make(chan struct{}, throughDoor)
	}
	return d.open[source]
}
