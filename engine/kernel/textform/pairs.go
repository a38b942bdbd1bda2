package textform

import "encoding/binary"

// PairTables is what kernels with registers of 16 and 32 bytes read to write and read
// texts of pair62 and hex. Generators take the offsets from here.
type PairTables struct {
	mark   [32]byte // added to the digits of a block
	digit  [32]byte // hex digits
	c1058  [32]byte // words of 1058: the high half of a product is the quotient by 62
	c62    [32]byte // words of 1 - 62·256
	c25    [32]byte
	c51    [32]byte
	ca     [32]byte    // 'a'
	m58    [32]byte    // -58
	m43    [32]byte    // -43
	low    [32]byte    // 0x0F
	class  [32]byte    // classes of characters by high half of a byte
	member [32]byte    // classes that a low half belongs to
	offset [32]byte    // from character to digit, by high half
	weight [32]byte    // of the two digits of a byte
	nib    [32]byte    // words of 0x0F00
	edges  [5][16]byte // 62, 124, 186, 248, 'a': arm64
	letter [64]byte    // the alphabet: arm64
	digits [128]byte   // digit by character, 0xFF: none: arm64
	shift  [32]byte    // from digit to character, by where the digit is
	one    uint64      // off 0, len 1
}

var pairTables [Hex + 1][Generations]PairTables

func init() {
	for _, f := range []Form{Pair62, Hex} {
		for g := range pairTables[f] {
			t := &pairTables[f][g]
			for i := range 32 {
				t.digit[i] = alphabet16[i%16]
				t.c25[i], t.c51[i], t.ca[i] = 25, 51, 'a'
				t.m58[i], t.m43[i] = 256-58, 256-43
				t.low[i] = 15
				t.shift[i] = [16]byte{'a', 'A' - 26, 2: 256 + '0' - 52}[min(i%16, 2)]
				t.nib[i] = byte(i % 2 * 15)
				hi := i % 16
				if f == Pair62 {
					t.class[i] = [16]byte{3: 1, 4: 2, 5: 4, 6: 2, 7: 4}[hi]
					t.offset[i] = [16]byte{3: 52 - '0', 4: 256 - 'A' + 26, 5: 256 - 'A' + 26, 6: 256 - 'a', 7: 256 - 'a'}[hi]
					t.weight[i] = [2]byte{62, 1}[i%2]
					switch lo := i % 16; {
					case lo == 0:
						t.member[i] = 1 | 4
					case lo < 10:
						t.member[i] = 1 | 2 | 4
					case lo == 10:
						t.member[i] = 2 | 4
					default:
						t.member[i] = 2
					}
				} else {
					t.class[i] = [16]byte{3: 1, 4: 2, 6: 2}[hi]
					t.offset[i] = [16]byte{3: 256 - '0', 4: 256 - 'A' + 10, 6: 256 - 'a' + 10}[hi]
					t.weight[i] = [2]byte{16, 1}[i%2]
					lo := i % 16
					if lo < 10 {
						t.member[i] |= 1
					}
					if lo >= 1 && lo <= 6 {
						t.member[i] |= 2
					}
				}
			}
			t.one = 1 << 32
			for i := range 16 {
				binary.LittleEndian.PutUint16(t.c1058[2*i:], 1058)
				binary.LittleEndian.PutUint16(t.c62[2*i:], 65536-62*256+1)
				t.edges[0][i], t.edges[1][i], t.edges[2][i], t.edges[3][i], t.edges[4][i] = 62, 124, 186, 248, 'a'
			}
			if f == Pair62 {
				t.mark[0] = byte(5 * g)
			}
			copy(t.letter[:], alphabet62)
			d := &hexs
			if f == Pair62 {
				d = &digits62
			}
			copy(t.digits[:], d[:128])
		}
	}
}

func pairTablesOf(f Form, gen int) *PairTables {
	if f == Hex {
		gen = 0
	}
	return &pairTables[f][gen]
}
