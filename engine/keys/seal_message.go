package keys

import (
	"encoding/binary"
	"sync"
	"time"
)

// message collects the fields of a row for its HMAC: each is preceded by its length.
type message struct {
	text  []byte
	spans [2]uint32
	mac   [sealSize]byte
}

var messages = sync.Pool{New: func() any { return new(message) }}

// newMessage starts a message with a label that no other kind of row has.
func newMessage(label string) *message {
	m := messages.Get().(*message)
	m.text = m.text[:0]
	m.string(label)
	return m
}

func (m *message) length(n int) { m.text = binary.BigEndian.AppendUint32(m.text, uint32(n)) }

func (m *message) string(s string) {
	m.length(len(s))
	m.text = append(m.text, s...)
}

func (m *message) bytes(b []byte) {
	m.length(len(b))
	m.text = append(m.text, b...)
}

func (m *message) number(n int64) {
	m.length(8)
	m.text = binary.BigEndian.AppendUint64(m.text, uint64(n))
}

func (m *message) flag(set bool) {
	m.length(1)
	if set {
		m.text = append(m.text, 1)
	} else {
		m.text = append(m.text, 0)
	}
}

func (m *message) time(t time.Time) {
	if t.IsZero() {
		m.length(0)
		return
	}
	m.number(t.UnixMicro())
}

// sum returns the HMAC of a message, which is invalid from then on.
func (ks *Keystore) sum(m *message) [sealSize]byte {
	m.spans = [2]uint32{0, uint32(len(m.text))}
	ks.seal.Sum(m.mac[:], m.text, m.spans[:], nil)
	mac := m.mac
	messages.Put(m)
	return mac
}

// keysMAC returns the seal of the states of a project's generations. The wrapping binds
// each secret to its project, organisation and number.
func (ks *Keystore) keysMAC(name string, rows []KeyRow) [sealSize]byte {
	m := newMessage("generations 1")
	m.string(name)
	for i := range rows {
		r := &rows[i]
		m.string(r.Org)
		m.number(int64(r.Gen))
		m.string(string(r.State))
		m.flag(r.Imported)
		m.time(r.Created)
		m.time(r.Destroyed)
	}
	return ks.sum(m)
}

// projectMAC returns the seal of a project's row. The fields of schema 3 and those of
// schema 5 are left out if they have the values that an upgrade sets, so that an upgrade
// need not reseal any row.
func (ks *Keystore) projectMAC(p *ProjectRow) [sealSize]byte {
	rotates := p.RotateEvery != 0 || !p.RotateAt.IsZero()
	ends := p.Grace != DefaultGrace || !p.Ended.IsZero() || !p.SeverAt.IsZero()
	label := "project 1"
	switch {
	case rotates:
		label = "project 3"
	case ends:
		label = "project 2"
	}
	m := newMessage(label)
	m.string(p.Name)
	m.string(string(p.Method))
	m.string(string(p.Policy))
	m.string(string(p.Form))
	m.number(int64(p.Tag))
	m.time(p.Retention)
	m.flag(p.Imported)
	m.time(p.Created)
	m.flag(p.Severed)
	m.time(p.SeveredAt)
	m.string(p.Reason)
	m.bytes(p.KeysMAC)
	for _, org := range p.Orgs {
		m.string(org)
	}
	if rotates || ends {
		m.number(int64(p.Grace / time.Second))
		m.time(p.Ended)
		m.time(p.SeverAt)
	}
	if rotates {
		m.number(int64(p.RotateEvery / time.Second))
		m.time(p.RotateAt)
	}
	return ks.sum(m)
}
