//go:build !purego

package ff1

// words transforms the values of b, whose halves fit words.
func (f *Cipher) words(b *sameLength) (wrong Code) { return f.rounds(b, 0) }
