package main

import "testing"

// TestSize parses sizes and checks how they are printed.
func TestSize(t *testing.T) {
	for in, want := range map[string]struct {
		bytes int64
		shown string
	}{
		"0":                   {0, "0"},
		"1":                   {1, "1"},
		"1023":                {1023, "1023"},
		"1048576":             {1 << 20, "1MiB"},
		"1536KiB":             {1536 << 10, "1536KiB"},
		"256MiB":              {256 << 20, "256MiB"},
		"2GiB":                {2 << 30, "2GiB"},
		"8589934591GiB":       {8589934591 << 30, "8589934591GiB"},
		"9223372036854775807": {1<<63 - 1, "9223372036854775807"},
	} {
		var n int64 = -7
		z := &sizeFlag{&n}
		if err := z.Set(in); err != nil || n != want.bytes || z.String() != want.shown {
			t.Errorf("%q: %d, shown as %q, %v; want %d, %q", in, n, z, err, want.bytes, want.shown)
		}
	}
	for _, in := range []string{"", "-1", "MiB", "1MB", "1.5GiB", "1 MiB", "1mib", "0x10", "8589934592GiB", "9223372036854775808"} {
		n := int64(-7)
		if err := (&sizeFlag{&n}).Set(in); err == nil || n != -7 {
			t.Errorf("%q sets %d, want an error and no change", in, n)
		}
	}
}
