package postgres

import (
	"errors"
	"strings"
	"testing"
)

// TestAddressParsing checks addresses with unescaped passwords of any characters, as people
// paste them: the parts must be right, and errors must not show the password.
func TestAddressParsing(t *testing.T) {
	for _, c := range []struct{ address, user, password, host, database string }{
		{"postgres://u@h/db", "u", "", "h", "db"},
		{"postgresql://u:p@h:5433/db", "u", "p", "h", "db"},
		{"Postgres://u:p@h/db", "u", "p", "h", "db"},
		{"postgres://u:p%40s@h/db", "u", "p@s", "h", "db"},
		{"postgres://u:p@ss@h/db", "u", "p@ss", "h", "db"},
		{"postgres://u:p#s@h/db", "u", "p#s", "h", "db"},
		{"postgres://u:p/s@h/db", "u", "p/s", "h", "db"},
		{"postgres://u:12/s@h/db", "u", "12/s", "h", "db"},
		{"postgres://u:p@s/s@h/db", "u", "p@s/s", "h", "db"},
		{"postgres://u:p?s@h/db", "u", "p?s", "h", "db"},
		{"postgres://u:1?x=y@h/db", "u", "1?x=y", "h", "db"},
		{"postgres://u:p@s?s@h/db?sslmode=disable", "u", "p@s?s", "h", "db"},
		{"postgres://u:a:b@h/db", "u", "a:b", "h", "db"},
		{"postgres://u:100%x@h/db", "u", "100%x", "h", "db"},
		{"postgres://u:p w\"^é@h/db", "u", "p w\"^é", "h", "db"},
		{"postgres://u:@/#?@h/db", "u", "@/#?", "h", "db"},
		{"postgres://u:p@h/db?application_name=a@b", "u", "p", "h", "db"},
		{"postgres://h/db?user=u&password=p@ss", "u", "p@ss", "h", "db"},
		{"postgres://u:p@%2Frun%2Fpg/db", "u", "p", "/run/pg", "db"},
		{"host=h user=u password=p@s#s/s dbname=db", "u", "p@s#s/s", "h", "db"},
		{"host=h user=u password='p w\\'s' dbname=db", "u", "p w's", "h", "db"},
		{"user=u password=p host=h dbname=db", "u", "p", "h", "db"},
		{" dbname=db host = h user=u password=p", "u", "p", "h", "db"},
	} {
		if !IsAddress(c.address) {
			t.Errorf("%s: not recognised as an address", c.address)
		}
		conf, err := parse(c.address)
		if err != nil {
			t.Errorf("%s: %v", c.address, err)
			continue
		}
		got := conf.ConnConfig
		if got.User != c.user || got.Password != c.password || got.Host != c.host || got.Database != c.database {
			t.Errorf("%s: user %q, password %q, host %q, database %q", c.address, got.User, got.Password, got.Host, got.Database)
		}
	}
	for _, file := range []string{"keystore.db", "/srv/a=b/keystore.db", "./host=x", "C:\\keys\\keystore.db", "mysql://u:p@h/db"} {
		if IsAddress(file) {
			t.Errorf("%s: recognised as an address, although it is a file", file)
		}
	}
}

// TestPasswordIsRedacted checks that a driver's error shows the password in no spelling.
func TestPasswordIsRedacted(t *testing.T) {
	const password = "hunter2@/ #é"
	raw := errors.New("dial hunter2@/ #é, hunter2%40%2F+%23%C3%A9, hunter2@%2F%20%23%C3%A9, hunter2%40%2F%20%23%C3%A9")
	err := oneLine{redacted{raw, password}}
	if strings.Contains(err.Error(), "hunter2") || !errors.Is(err, raw) {
		t.Errorf("%v", err)
	}
}
