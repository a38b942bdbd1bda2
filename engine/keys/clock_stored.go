package keys

import (
	"context"
	"crypto/subtle"
	"encoding/binary"
	"time"
)

// metaClock is the entry of the meta table with the acknowledged time, the doubt, the
// steady time, the boot id, the uptime, and an HMAC of these. Numbers are big-endian
// microseconds. Version 1 held only the acknowledged time and its HMAC.
const metaClock = "clock"

const (
	storedClock   = 3*8 + bootSize + 8 + sealSize
	storedClockV1 = 8 + sealSize
)

// WithStoreClock replaces the clock of a store that has its own, for tests.
func WithStoreClock(now func() time.Time) Option {
	return func(ks *Keystore) { ks.storeNow = now }
}

// WithUptime replaces this machine's boot id and time since boot, for tests.
func WithUptime(up func() (boot string, span time.Duration)) Option {
	return func(ks *Keystore) {
		ks.uptime = func() uptime {
			boot, span := up()
			return uptime{bootID(boot), span}
		}
	}
}

// Clock reads the clocks without comparing them. Errors: ErrTampered.
func (ks *Keystore) Clock(ctx context.Context) (c Clock, err error) {
	err = ks.store.View(ctx, func(tx Tx) error {
		c, err = ks.readClock(tx)
		return err
	})
	return c, err
}

// AcceptClock sets the acknowledged time to the present time, forward or back, and clears
// the doubt: an operator has confirmed the clock. It restores no destroyed keys. It
// returns ErrClock if this machine's clock differs from the database's.
func (ks *Keystore) AcceptClock(ctx context.Context) (now time.Time, err error) {
	err = ks.store.Update(ctx, func(tx Tx) error {
		c, err := ks.readClock(tx)
		if err != nil {
			return err
		}
		c.Acknowledged, c.Doubt = time.Time{}, 0
		if c, err = c.advanced(); err != nil {
			return err
		}
		now = c.Acknowledged
		if err := ks.writeClock(tx, c); err != nil {
			return err
		}
		return tx.RaiseChange()
	})
	return now, err
}

func (ks *Keystore) readClock(tx Tx) (c Clock, err error) {
	store, err := tx.Clock()
	if err != nil {
		return c, err
	}
	stored, err := tx.Meta(metaClock)
	if err != nil {
		return c, err
	}
	return ks.clockOf(store, stored)
}

// clockOf decodes a store's time and its entry metaClock, which may be nil. Errors:
// ErrTampered.
func (ks *Keystore) clockOf(store time.Time, b []byte) (Clock, error) {
	c := Clock{Local: ks.now(), Store: store, uptime: ks.uptime()}
	if ks.storeNow != nil && !store.IsZero() {
		c.Store = ks.storeNow()
	}
	if b == nil {
		return c, nil
	}
	changed := ks.tampered("the time of its last use does not match its seal")
	if len(b) != storedClock && len(b) != storedClockV1 {
		return c, changed
	}
	content, mac := b[:len(b)-sealSize], b[len(b)-sealSize:]
	if subtle.ConstantTimeCompare(mac, ks.clockMAC(content)) != 1 {
		return c, changed
	}
	number := func(at int) int64 { return int64(binary.BigEndian.Uint64(content[at:])) }
	c.Acknowledged = time.UnixMicro(number(0)).UTC()
	c.Steady = c.Acknowledged
	if len(b) == storedClock {
		c.Doubt = time.Duration(number(8)) * time.Microsecond
		c.Steady = time.UnixMicro(number(16)).UTC()
		copy(c.lastUptime.boot[:], content[24:])
		c.lastUptime.span = time.Duration(number(24+bootSize)) * time.Microsecond
	}
	return c, nil
}

func (ks *Keystore) clockMAC(content []byte) []byte {
	label := "clock 2"
	if len(content) == storedClockV1-sealSize {
		label = "clock 1"
	}
	m := newMessage(label)
	m.bytes(content)
	mac := ks.sum(m)
	return mac[:]
}

// writeClock stores an advanced clock.
func (ks *Keystore) writeClock(tx Tx, c Clock) error {
	var b []byte
	for _, n := range []int64{c.Acknowledged.UnixMicro(), c.Doubt.Microseconds(), c.Steady.UnixMicro()} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	b = append(b, c.uptime.boot[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(c.uptime.span.Microseconds()))
	return tx.SetMeta(metaClock, append(b, ks.clockMAC(b)...))
}

// time returns the time that decides about keys. Errors: ErrClock.
func (ks *Keystore) time(tx Tx) (time.Time, error) {
	c, err := ks.readClock(tx)
	if err != nil {
		return time.Time{}, err
	}
	return c.Time()
}

// acknowledge is time within an Update. It also stores the time it returns, at most every
// acknowledgeEvery.
func (ks *Keystore) acknowledge(tx Tx) (time.Time, error) {
	c, err := ks.advance(tx)
	return c.Acknowledged, err
}

// advance returns the advanced clock within an Update and stores it, at most every
// acknowledgeEvery. Errors: ErrClock.
func (ks *Keystore) advance(tx Tx) (Clock, error) {
	before, err := ks.readClock(tx)
	if err != nil {
		return before, err
	}
	c, err := before.advanced()
	if err == nil && c.Acknowledged.Sub(before.Acknowledged) >= acknowledgeEvery {
		err = ks.writeClock(tx, c)
	}
	return c, err
}
