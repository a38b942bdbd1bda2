package main

import (
	"testing"
	"time"
)

func TestParseSpan(t *testing.T) {
	now := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	for in, want := range map[string]string{
		"5y":          "2029-03-01T12:00:00Z", // there is no 29th of February in 2029
		"6mo":         "2024-08-29T12:00:00Z",
		"90d":         "2024-05-29T12:00:00Z",
		"24h":         "2024-03-01T12:00:00Z",
		"30m":         "2024-02-29T12:30:00Z",
		"45s":         "2024-02-29T12:00:45Z",
		"2031-01-31":  "2031-01-31T00:00:00Z",
		"2500000h":    "2309-05-13T04:00:00Z",
		"150000000m":  "2309-05-13T04:00:00Z",
		"1000000000s": "2055-11-07T13:46:40Z",
	} {
		got, err := parseSpan(in, now)
		if err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("%s: %s, %v; want %s", in, got.Format(time.RFC3339), err, want)
		}
	}
	for _, in := range []string{"", "5", "y", "0d", "-1d", "1.5h", "5 y", "5Y", "99999999999999999999d", "2031-13-01", "10000y", "2500001h", "150000001m", "1000000001s"} {
		if got, err := parseSpan(in, now); err == nil {
			t.Errorf("%q is read as %s", in, got)
		}
	}
}
