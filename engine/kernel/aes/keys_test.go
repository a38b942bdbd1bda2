package aes

import (
	"encoding/hex"
	"testing"
)

// TestKeyExpansion compares the last round keys and a whole encryption with FIPS 197.
func TestKeyExpansion(t *testing.T) {
	raw, err := hex.DecodeString("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
	if err != nil {
		t.Fatal(err)
	}
	key := (*[32]byte)(raw)
	want := "fe4890d1e6188d0b046df344706c631e" // FIPS 197 appendix A.3, w56 to w59
	var enc, inv, enc2, inv2 Schedule
	expandKeyGeneric(&enc, &inv, key)
	if got := hex.EncodeToString(enc[14][:]); got != want {
		t.Fatalf("last round key %s, want %s", got, want)
	}
	for i := range 100 {
		key[i%32] += byte(i)
		expandKeyGeneric(&enc, &inv, key)
		ExpandKey(&enc2, &inv2, key)
		if enc != enc2 || inv != inv2 {
			t.Fatal("the expansion of this CPU differs from the portable one")
		}
	}
}

// TestRoundKeys compares the last round keys with the examples of FIPS 197.
func TestRoundKeys(t *testing.T) {
	// FIPS 197, appendix A: the last round keys of the three examples.
	for key, want := range map[string]string{
		"2b7e151628aed2a6abf7158809cf4f3c":                                 "d014f9a8c9ee2589e13f0cc8b6630ca6",
		"8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b":                 "e98ba06f448c773c8ecc720401002202",
		"603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4": "fe4890d1e6188d0b046df344706c631e",
	} {
		k, _ := hex.DecodeString(key)
		out := make([]byte, 16*(len(k)/4+7))
		RoundKeys(out, k)
		if got := hex.EncodeToString(out[len(out)-16:]); got != want {
			t.Errorf("key of %d bytes: last round key %s, want %s", len(k), got, want)
		}
	}
}
