package postgres

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/velonym/velonym/engine/keys"
)

// keyValue matches the beginning of an address in libpq's other form:
// host=db.example user=velonym password='…'.
var keyValue = regexp.MustCompile(`(?i)^\s*(host|hostaddr|port|dbname|database|user|password|passfile|service|servicefile|sslmode|sslrootcert|sslcert|sslkey|sslpassword|sslsni|sslnegotiation|target_session_attrs|min_protocol_version|max_protocol_version|channel_binding|require_auth|connect_timeout|application_name|options|krbsrvname|krbspn|search_path|pool_[a-z_]+)\s*=`)

// IsAddress tells the address of a database from the name of a file: a URL that
// begins with postgres:// or postgresql://, or the form host=… user=….
func IsAddress(place string) bool {
	_, isURL := cutScheme(place)
	return isURL || keyValue.MatchString(place)
}

func cutScheme(address string) (rest string, ok bool) {
	scheme, rest, ok := strings.Cut(address, "://")
	return rest, ok && (strings.EqualFold(scheme, "postgres") || strings.EqualFold(scheme, "postgresql"))
}

// parse reads an address. Its error holds no part of it.
func parse(address string) (*pgxpool.Config, error) {
	if rest, ok := cutScheme(address); ok {
		address = "postgres://" + escape(rest)
	}
	conf, err := pgxpool.ParseConfig(address)
	var file *fs.PathError
	if errors.As(err, &file) {
		return nil, fmt.Errorf("%w: the file %s, which the address or the environment names, cannot be read: %w: sslrootcert, sslcert and sslkey (PGSSLROOTCERT, …) name PEM files of this machine", keys.ErrUnreadable, file.Path, file.Err)
	}
	if err != nil {
		// The error quotes the address, which may hold a password.
		return nil, fmt.Errorf("%w: the address is neither of the form postgres://user:password@host/database nor of the form host=… dbname=… user=… password='…': in a URL, write what is special in a password as %%XX (%%40 is @)", keys.ErrUnreadable)
	}
	return conf, nil
}

// WithTLSRoot returns the address with the file of authorities (PEM) that must have
// signed the server's certificate, which is checked against its name from then on
// (sslmode=verify-full), whatever the address said of both.
func WithTLSRoot(address, file string) (string, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return "", fmt.Errorf("%s holds no certificate in PEM form", file)
	}
	rest, isURL := cutScheme(address)
	if !isURL {
		return address + " sslmode=verify-full sslrootcert='" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(file) + "'", nil
	}
	u, err := url.Parse("postgres://" + escape(rest))
	if err != nil {
		return address, nil // what is wrong with it is said by who opens it
	}
	var items []string
	for item := range strings.SplitSeq(u.RawQuery, "&") {
		if name, _, _ := strings.Cut(item, "="); item != "" && name != "sslmode" && name != "sslrootcert" {
			items = append(items, item)
		}
	}
	u.RawQuery = strings.Join(append(items, "sslmode=verify-full", "sslrootcert="+strings.ReplaceAll(url.QueryEscape(file), "+", "%20")), "&")
	return u.String(), nil
}

// escape brings what stands behind postgres:// to the form of RFC 3986: passwords
// are pasted as they are, with @, #, /, ?, % and spaces in them.
func escape(rest string) string {
	at := userinfoEnd(rest)
	if at < 0 {
		return rest
	}
	user, password, has := strings.Cut(rest[:at], ":")
	info := url.User(unescape(user))
	if has {
		info = url.UserPassword(unescape(user), unescape(password))
	}
	return info.String() + rest[at:]
}

// unescape resolves %XX, unless some % is none: then all stand for themselves.
func unescape(s string) string {
	if t, err := url.PathUnescape(s); err == nil {
		return t
	}
	return s
}

// queryItem is a parameter as libpq knows them, or a setting of the server's.
var queryItem = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*=[^&]*$`)

// userinfoEnd finds the @ behind user and password, -1 for none. That is the one
// of the grammar where the rest can be what follows it; otherwise the password
// holds special characters, and it is the last one.
func userinfoEnd(rest string) int {
	last := strings.LastIndexByte(rest, '@')
	if last < 0 {
		return -1
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		return last
	}
	authority, tail := rest[:end], rest[end:]
	path, query, _ := strings.Cut(tail, "?")
	if strings.ContainsAny(path, "@#") || strings.Contains(query, "#") {
		return last
	}
	at := strings.LastIndexByte(authority, '@')
	if query == "" {
		return at
	}
	for item := range strings.SplitSeq(query, "&") {
		// Without user and password before the host, an @ is expected
		// only in parameters that can hold one.
		if !queryItem.MatchString(item) || at < 0 && strings.Contains(item, "@") && !keyValue.MatchString(item) {
			return last
		}
	}
	return at
}

// without takes a password out of an error's text. None should be there: this is
// the second line, against texts of a driver or a server that we do not know.
type without struct {
	err      error
	password string
}

// shortest is the length of the passwords that are looked for: fewer letters
// stand in any text.
const shortest = 4

func (w without) Error() string {
	text := w.err.Error()
	for _, p := range []string{w.password, url.QueryEscape(w.password), url.PathEscape(w.password), strings.TrimPrefix(url.UserPassword("", w.password).String(), ":")} {
		if len(w.password) >= shortest {
			text = strings.ReplaceAll(text, p, "***")
		}
	}
	return text
}

func (w without) Unwrap() error { return w.err }
