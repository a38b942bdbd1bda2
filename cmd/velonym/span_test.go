package main

import (
	"strings"
	"testing"
	"time"
)

// TestParseSpan parses spans of every unit and days, and malformed ones.
func TestParseSpan(t *testing.T) {
	now := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	for in, want := range map[string]string{
		"5y":           "2029-03-01T12:00:00Z", // there is no 29th of February in 2029
		"6mo":          "2024-08-29T12:00:00Z",
		"90d":          "2024-05-29T12:00:00Z",
		"24h":          "2024-03-01T12:00:00Z",
		"30min":        "2024-02-29T12:30:00Z",
		"45s":          "2024-02-29T12:00:45Z",
		"2031-01-31":   "2031-01-31T23:59:59Z",
		"2500000h":     "2309-05-13T04:00:00Z",
		"150000000min": "2309-05-13T04:00:00Z",
		"1000000000s":  "2055-11-07T13:46:40Z",
	} {
		got, err := parseSpan(in, now)
		if err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("%s: %s, %v; want %s", in, got.Format(time.RFC3339), err, want)
		}
	}
	for _, in := range []string{"", "5", "y", "0d", "-1d", "1.5h", "5 y", "5Y", "99999999999999999999d", "2031-13-01", "10000y", "2500001h", "150000001min", "6m", "30M", "m", "6mon", "6mins", "6 mo", "1w", "1000000001s"} {
		if got, err := parseSpan(in, now); err == nil {
			t.Errorf("%q is parsed as %s, want an error", in, got)
		}
	}
}

// TestParseSpanEndOfDay checks that a day includes its last second in the time zone, also
// where the clocks change: Beirut had no midnight on 27 March 2022, in Havana the day
// before 2 November 2025 ends as usual, in São Paulo 17 February 2018 had its last hour
// twice, and Samoa had no 30 December 2011.
func TestParseSpanEndOfDay(t *testing.T) {
	for _, c := range []struct{ zone, day, want string }{
		{"UTC", "2027-01-31", "2027-01-31T23:59:59Z"},
		{"Europe/Luxembourg", "2027-01-31", "2027-01-31T23:59:59+01:00"},
		{"Europe/Luxembourg", "2027-07-31", "2027-07-31T23:59:59+02:00"},
		{"Europe/Luxembourg", "2027-03-28", "2027-03-28T23:59:59+02:00"},
		{"Europe/Luxembourg", "2027-10-31", "2027-10-31T23:59:59+01:00"},
		{"America/New_York", "2027-01-31", "2027-01-31T23:59:59-05:00"},
		{"Pacific/Kiritimati", "2027-01-31", "2027-01-31T23:59:59+14:00"},
		{"Pacific/Pago_Pago", "2027-01-31", "2027-01-31T23:59:59-11:00"},
		{"Asia/Kathmandu", "2028-02-29", "2028-02-29T23:59:59+05:45"},
		{"Asia/Beirut", "2022-03-26", "2022-03-26T23:59:59+02:00"},
		{"Asia/Beirut", "2022-03-27", "2022-03-27T23:59:59+03:00"},
		{"America/Havana", "2025-11-01", "2025-11-01T23:59:59-04:00"},
		{"America/Sao_Paulo", "2018-02-17", "2018-02-17T23:59:59-03:00"},
		{"Pacific/Apia", "2011-12-30", "2011-12-29T23:59:59-10:00"},
	} {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseSpan(c.day, time.Date(2005, 1, 1, 0, 0, 0, 0, zone))
		if err != nil || got.Format(time.RFC3339) != c.want {
			t.Errorf("%s in %s: %s, %v; want %s", c.day, c.zone, got.Format(time.RFC3339), err, c.want)
		}
	}
}

// TestParseSpanRefusesM checks that the error for m names both possible units.
func TestParseSpanRefusesM(t *testing.T) {
	for _, in := range []string{"6m", "30M", "150000000m"} {
		_, err := parseSpan(in, time.Now())
		if err == nil || !strings.Contains(err.Error(), "mo for months") || !strings.Contains(err.Error(), "min for minutes") {
			t.Errorf("%s: %v, want an error that names mo and min", in, err)
		}
	}
}

// TestParseSpanUnknownZone checks that an unknown TZ is not silently UTC.
func TestParseSpanUnknownZone(t *testing.T) {
	for tz, ok := range map[string]bool{"": true, "UTC": true, "Europe/Luxembourg": true, ":Europe/Luxembourg": true, "Europe/Atlantis": false, "CET-1CEST,M3.5.0,M10.5.0/3": false} {
		t.Setenv("TZ", tz)
		if _, err := parseSpan("2031-01-31", time.Now()); (err == nil) != ok {
			t.Errorf("TZ=%q: %v", tz, err)
		}
		if _, err := parseSpan("90d", time.Now()); err != nil {
			t.Errorf("TZ=%q: a span without a day: %v", tz, err)
		}
	}
}
