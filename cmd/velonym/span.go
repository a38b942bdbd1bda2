package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // for systems without time zones, such as containers
)

// spanHelp shows the units, for the errors of flags that take a span.
const spanHelp = "use for example 5y, 6mo, 90d, 24h, 30min or a day such as 2031-01-31"

// parseSpan parses a span of time, counted from now, or a day: 5y, 6mo, 90d, 24h, 30min,
// 45s or 2031-01-31. It counts years, months and days by the calendar of now's time
// zone, where a day ends with its last second. It refuses "m" because some read it as
// months and others as minutes, and the life of keys depends on it.
func parseSpan(s string, now time.Time) (time.Time, error) {
	if day, err := time.Parse(time.DateOnly, s); err == nil {
		if err := knownZone(os.Getenv("TZ")); err != nil {
			return time.Time{}, err
		}
		return endOfDay(day, now.Location()), nil
	}
	digits := 0
	for digits < len(s) && s[digits] >= '0' && s[digits] <= '9' {
		digits++
	}
	unit := s[digits:]
	if digits > 0 && (unit == "m" || unit == "M") {
		return time.Time{}, errors.New("m can mean months or minutes: write mo for months, as in 6mo, or min for minutes, as in 30min")
	}
	n, err := strconv.Atoi(s[:digits])
	if err == nil && n > 0 && n <= 1_000_000_000 {
		switch unit {
		case "y":
			if n <= 1000 {
				return now.AddDate(n, 0, 0), nil
			}
		case "mo":
			if n <= 12000 {
				return now.AddDate(0, n, 0), nil
			}
		case "d":
			if n <= 365_000 {
				return now.AddDate(0, 0, n), nil
			}
		case "h":
			if n <= 2_500_000 { // what a time.Duration can hold; the same for minutes
				return now.Add(time.Duration(n) * time.Hour), nil
			}
		case "min":
			if n <= 150_000_000 {
				return now.Add(time.Duration(n) * time.Minute), nil
			}
		case "s":
			return now.Add(time.Duration(n) * time.Second), nil
		}
	}
	return time.Time{}, fmt.Errorf("not a span of time: %s", spanHelp)
}

// knownZone refuses a TZ that package time would silently treat as UTC.
func knownZone(tz string) error {
	tz = strings.TrimPrefix(tz, ":")
	if tz == "" || filepath.IsAbs(tz) {
		return nil
	}
	if _, err := time.LoadLocation(tz); err != nil {
		return errors.New("a day ends where TZ says, and TZ names no time zone that is known here: set it to one such as Europe/Luxembourg or UTC, or write a span such as 90d")
	}
	return nil
}

// endOfDay returns the last second of a calendar day in a time zone. It searches for the
// end instead of computing it from midnight: where the clocks change, a day may have no
// midnight, or two.
func endOfDay(day time.Time, zone *time.Location) time.Time {
	year, month, date := day.Date()
	first := day.Add(-26 * time.Hour) // before the day begins anywhere
	n := sort.Search(80*60*60, func(i int) bool {
		y, m, d := first.Add(time.Duration(i) * time.Second).In(zone).Date()
		return time.Date(y, m, d, 0, 0, 0, 0, time.UTC).After(time.Date(year, month, date, 0, 0, 0, 0, time.UTC))
	})
	return first.Add(time.Duration(n-1) * time.Second).In(zone)
}

// parseGrace parses 0 or a span of time, counted in days of 24 hours by no calendar.
func parseGrace(s string) (time.Duration, error) {
	if s == "0" {
		return 0, nil
	}
	if _, err := time.Parse(time.DateOnly, s); err == nil {
		return 0, errors.New("a grace is a span and no day: use for example 7d, 24h or 0")
	}
	from := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
	until, err := parseSpan(s, from)
	if err != nil {
		return 0, err
	}
	const most = 3650 * 24 * time.Hour
	if until.After(from.Add(most)) {
		return 0, errors.New("a grace is ten years at most")
	}
	return until.Sub(from), nil
}

// localTime formats a time for people: in the local time zone, with its offset.
func localTime(t time.Time) string { return t.Local().Format(time.RFC3339) }

// roughly formats a duration in a single unit, rounded down.
func roughly(d time.Duration) string {
	for _, u := range []struct {
		name string
		unit time.Duration
	}{{"days", 24 * time.Hour}, {"hours", time.Hour}, {"minutes", time.Minute}} {
		if d >= 2*u.unit {
			return fmt.Sprintf("%d %s", d/u.unit, u.name)
		}
	}
	return fmt.Sprintf("%d seconds", max(0, d)/time.Second)
}
