package bulk

import (
	"io"
	"strings"
)

// A path that no row of an input has is usually a typing error, and the intended values
// would be copied unchanged. A run therefore records the paths that it has seen and fails
// if an input lacks one.

// pathSet is a set of the at most 256 paths of a run, by number.
type pathSet [4]uint64

func (s *pathSet) add(i int) { s[i>>6] |= 1 << (i & 63) }

func (s *pathSet) has(i int) bool { return s[i>>6]>>(i&63)&1 == 1 }

func (s *pathSet) addAll(t pathSet) {
	for i := range s {
		s[i] |= t[i]
	}
}

// full reports whether the set has all of the first n paths.
func (s *pathSet) full(n int) bool {
	for i := range n {
		if !s.has(i) {
			return false
		}
	}
	return true
}

// missing returns an error that names the paths which are not in the set, or nil.
func (s *pathSet) missing(file string, paths []string) error {
	var none []string
	for i, p := range paths {
		if !s.has(i) {
			none = append(none, p)
		}
	}
	if len(none) == 0 {
		return nil
	}
	return &Error{File: file, Err: &MissingPathError{none}}
}

// refuseOverlap refuses two paths that are equal or of which one is a prefix of the other,
// because their values would be replaced twice. A path has one spelling, so comparing text
// is enough.
func refuseOverlap(paths []string) error {
	for i, long := range paths {
		for k, short := range paths {
			switch {
			case k < i && short == long:
				return usagef("columns %s and %s are the same path: give it once", quoteName(short), quoteName(long))
			case strings.HasPrefix(long, short+"."):
				return usagef("columns %s and %s overlap: what stands at the first would hold the second; give one of them", quoteName(short), quoteName(long))
			}
		}
	}
	return nil
}

// delayedOutput buffers the start of standard output until every path has been seen, since
// output written there cannot be removed.
type delayedOutput struct {
	w    io.Writer
	buf  []byte
	n    int // paths
	seen pathSet
	open bool
}

// delayLimit is the largest size of the buffer, in bytes.
const delayLimit = 1 << 20

// met records the paths of the bytes that are written next.
func (h *delayedOutput) met(s pathSet) error {
	h.seen.addAll(s)
	if h.seen.full(h.n) {
		return h.release()
	}
	return nil
}

func (h *delayedOutput) Write(b []byte) (int, error) {
	if h.open {
		return h.w.Write(b)
	}
	h.buf = append(h.buf, b...)
	if len(h.buf) > delayLimit {
		return len(b), h.release()
	}
	return len(b), nil
}

// release writes the buffer and ends buffering.
func (h *delayedOutput) release() error {
	if h.open {
		return nil
	}
	h.open = true
	_, err := h.w.Write(h.buf)
	h.buf = nil
	return err
}
