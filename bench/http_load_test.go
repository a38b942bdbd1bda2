package bench

import (
	"context"
	"strings"
	"testing"
	"time"
)

// TestSoak runs a short soak, which fails unless every kind of call gets its expected
// status.
func TestSoak(t *testing.T) {
	s, err := HTTPSoak(context.Background(), Options{Quick: true}, 2*time.Second, 200)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Rows) != 2 || !(s.Rows[0].Median > 1) || !(s.Rows[0].Ratio > 0) {
		t.Errorf("%+v, want two rows, the first with a positive median and ratio", s.Rows)
	}
}

// TestLoadTellsNoToken makes a load fail in every way, and expects errors without the
// token.
func TestLoadTellsNoToken(t *testing.T) {
	const secret = "SECRETTOKEN"
	for _, l := range []Load{
		{URL: "http://127.0.0.1:1"},
		{URL: "http://" + secret + "@127.0.0.1:1"},
		{URL: "ftp://127.0.0.1"},
		{URL: "unix:/nowhere"},
		{URL: "http://127.0.0.1:1", Values: -1},
		{URL: "http://127.0.0.1:1", Conns: maxLoadConns + 1},
		{URL: "http://127.0.0.1:1", Duration: 2 * maxLoadTime},
		{URL: "https://127.0.0.1:1", CA: "nowhere.pem"},
	} {
		l.Token = []byte(secret)
		res, err := l.Run(context.Background())
		if err == nil || res.Calls != 0 {
			t.Errorf("%+v: error %v and %d calls, want an error and none", l, err, res.Calls)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("the token is in %q", err)
		}
	}
}
