package main

import (
	"fmt"
	"strconv"
	"time"
)

// parseSpan reads a span of time from now on, or a day: 5y, 6mo, 90d, 24h, 30m,
// 45s or 2031-01-31. Years and months follow the calendar.
func parseSpan(s string, now time.Time) (time.Time, error) {
	if day, err := time.Parse(time.DateOnly, s); err == nil {
		return day, nil
	}
	digits := 0
	for digits < len(s) && s[digits] >= '0' && s[digits] <= '9' {
		digits++
	}
	n, err := strconv.Atoi(s[:digits])
	if err == nil && n > 0 && n <= 1_000_000_000 {
		switch s[digits:] {
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
			if n <= 2_500_000 { // what a time.Duration holds, as below
				return now.Add(time.Duration(n) * time.Hour), nil
			}
		case "m":
			if n <= 150_000_000 {
				return now.Add(time.Duration(n) * time.Minute), nil
			}
		case "s":
			return now.Add(time.Duration(n) * time.Second), nil
		}
	}
	return time.Time{}, fmt.Errorf("not a span of time: use for example 5y, 6mo, 90d, 24h, 30m or a day such as 2031-01-31")
}
