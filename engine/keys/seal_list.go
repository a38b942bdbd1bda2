package keys

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
)

// bucketOf returns the bucket of a project's name.
func bucketOf(name string) uint16 {
	h := sha256.Sum256([]byte(name))
	return binary.BigEndian.Uint16(h[:]) % sealBuckets
}

// sealList maps the names of a bucket's projects to the seals of their rows.
type sealList map[string][sealSize]byte

func (l sealList) encode() []byte {
	var b []byte
	for _, name := range slices.Sorted(maps.Keys(l)) {
		b = binary.BigEndian.AppendUint16(b, uint16(len(name)))
		b = append(b, name...)
		seal := l[name]
		b = append(b, seal[:]...)
	}
	return b
}

func decodeList(b []byte) (sealList, bool) {
	l := sealList{}
	for len(b) > 0 {
		if len(b) < 2 {
			return nil, false
		}
		n := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; len(b) < n+sealSize {
			return nil, false
		}
		l[string(b[:n])] = [sealSize]byte(b[n:])
		b = b[n+sealSize:]
	}
	return l, true
}

// verifiedList verifies a bucket's list against the root and decodes it.
func (ks *Keystore) verifiedList(s *sealRoot, bucket uint16, doc []byte) (sealList, error) {
	want, there := s.lists[bucket]
	if !there && len(doc) == 0 {
		return sealList{}, nil
	}
	if got := sha256.Sum256(doc); there != (len(doc) > 0) || there && got != want {
		return nil, ks.tampered("a list of projects does not match its seal")
	}
	l, ok := decodeList(doc)
	if !ok {
		return nil, ks.tampered("a list of projects cannot be read")
	}
	return l, nil
}
