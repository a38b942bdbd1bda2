package ff1

import (
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
	"testing"

	"github.com/velonym/velonym/internal/simd/simdtest"
)

// TestFF1Oracle compares the oracle with sample 8 of SP 800-38G.
func TestFF1Oracle(t *testing.T) {
	key, _ := hex.DecodeString("2B7E151628AED2A6ABF7158809CF4F3CEF4359D8D580AA4F7F036D6F04FC6A94")
	tweak, _ := hex.DecodeString("39383736353433323130")
	if got := string(oracle(t, key, "0123456789", tweak, []byte("0123456789"), false)); got != "1001623463" {
		t.Fatal(got)
	}
	if got := string(oracle(t, key, "0123456789", tweak, []byte("1001623463"), true)); got != "0123456789" {
		t.Fatal(got)
	}
}

// TestFF1NIST runs samples 1 to 9 of SP 800-38G.
func TestFF1NIST(t *testing.T) {
	raw, err := os.ReadFile("testdata/nist_ff1.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Samples []struct {
			Sample, Radix      int
			Key, Tweak, Pt, Ct string
		}
	}
	if err := json.Unmarshal(raw, &file); err != nil || len(file.Samples) != 9 {
		t.Fatal(len(file.Samples), err)
	}
	simdtest.EachKernel(t, func(t *testing.T) {
		for _, c := range file.Samples {
			key, _ := hex.DecodeString(c.Key)
			tweak, _ := hex.DecodeString(c.Tweak)
			f, err := newCipher(key, base36[:c.Radix], tweak)
			if err != nil {
				t.Fatal(err)
			}
			if got, code := runOne(t, f, []byte(c.Pt), false); string(got) != c.Ct {
				t.Errorf("sample %d: %s (%d), want %s", c.Sample, got, code, c.Ct)
			}
			if got, code := runOne(t, f, []byte(c.Ct), true); string(got) != c.Pt {
				t.Errorf("sample %d back: %s (%d), want %s", c.Sample, got, code, c.Pt)
			}
			f.Release()
		}
	})
}

// TestFF1Wycheproof runs the Wycheproof vectors, with keys of all three lengths. Values outside of
// our limits must be refused, even if the file calls them valid.
func TestFF1Wycheproof(t *testing.T) {
	simdtest.Alone(t)
	for _, name := range []string{"base10", "base36", "base62"} {
		t.Run(name, func(t *testing.T) {
			raw, err := os.Open("testdata/wycheproof_ff1_" + name + ".json.gz")
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			z, err := gzip.NewReader(raw)
			if err != nil {
				t.Fatal(err)
			}
			var file struct {
				TestGroups []struct {
					Alphabet string
					Tests    []struct {
						TcID                        int
						Key, Tweak, Msg, Ct, Result string
					}
				}
			}
			if err := json.NewDecoder(z).Decode(&file); err != nil {
				t.Fatal(err)
			}
			simdtest.EachKernel(t, func(t *testing.T) {
				run, refused := 0, 0
				for _, g := range file.TestGroups {
					for _, c := range g.Tests {
						key, _ := hex.DecodeString(c.Key)
						tweak, _ := hex.DecodeString(c.Tweak)
						f, err := newCipher(key, g.Alphabet, tweak)
						if err != nil {
							if c.Result == "valid" {
								t.Fatalf("vector %d: %v", c.TcID, err)
							}
							refused++
							continue
						}
						ct, code := runOne(t, f, []byte(c.Msg), false)
						size := new(big.Int).Exp(big.NewInt(int64(len(g.Alphabet))), big.NewInt(int64(len(c.Msg))), nil)
						switch {
						case c.Msg == "":
							refused++
						case len(c.Msg) > 256 || size.Cmp(big.NewInt(1000000)) < 0:
							if code == 0 {
								t.Errorf("vector %d: %d characters were accepted", c.TcID, len(c.Msg))
							}
							refused++
						case c.Result == "invalid":
							if code != Character {
								t.Errorf("vector %d is invalid and gave %d", c.TcID, code)
							}
							refused++
						default:
							run++
							if string(ct) != c.Ct {
								t.Errorf("vector %d: another ciphertext (%d)", c.TcID, code)
							}
							if back, _ := runOne(t, f, []byte(c.Ct), true); string(back) != c.Msg {
								t.Errorf("vector %d: another plaintext", c.TcID)
							}
						}
						f.Release()
					}
				}
				if run < 1000 || refused < 20 {
					t.Fatalf("only %d vectors run, %d refused", run, refused)
				}
			})
		})
	}
}
