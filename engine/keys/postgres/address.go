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
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/velonym/velonym/engine/keys"
)

// keyValue matches the start of an address in libpq's keyword form:
// host=db.example user=velonym password='…'. Expressions are compiled when they are first
// needed, since most commands never need them.
var keyValue = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)^\s*(host|hostaddr|port|dbname|database|user|password|passfile|service|servicefile|sslmode|sslrootcert|sslcert|sslkey|sslpassword|sslsni|sslnegotiation|target_session_attrs|min_protocol_version|max_protocol_version|channel_binding|require_auth|connect_timeout|application_name|options|krbsrvname|krbspn|search_path|pool_[a-z_]+)\s*=`)
})

// IsAddress reports whether place is the address of a database rather than a file name:
// a URL that begins with postgres:// or postgresql://, or the form host=… user=….
func IsAddress(place string) bool {
	_, isURL := cutScheme(place)
	return isURL || strings.Contains(place, "=") && keyValue().MatchString(place)
}

// cutScheme returns what follows postgres:// or postgresql://.
func cutScheme(address string) (rest string, ok bool) {
	scheme, rest, ok := strings.Cut(address, "://")
	return rest, ok && (strings.EqualFold(scheme, "postgres") || strings.EqualFold(scheme, "postgresql"))
}

// parse parses an address. Its error contains no part of the address.
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
		// The driver's error quotes the address, which may contain a password.
		return nil, fmt.Errorf("%w: the address is neither of the form postgres://user:password@host/database nor of the form host=… dbname=… user=… password='…': in a URL, write what is special in a password as %%XX (%%40 is @)", keys.ErrUnreadable)
	}
	return conf, nil
}

// WithTLSRoot returns the address with file, in PEM form, as the authorities that may
// sign the server's certificate, and with sslmode=verify-full. It replaces both settings
// if the address has them.
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
		return address, nil // opening it reports what is wrong
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

// escape escapes the user and password of an address, given without its scheme, as RFC
// 3986 requires: people paste passwords that contain @, #, /, ?, % and spaces.
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

// unescape decodes %XX. If a % does not begin such a sequence, it leaves all of them.
func unescape(s string) string {
	if t, err := url.PathUnescape(s); err == nil {
		return t
	}
	return s
}

// queryItem matches a parameter of libpq or a setting of the server.
var queryItem = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*=[^&]*$`) })

// userinfoEnd returns the index of the @ after user and password, -1 if there is none.
// It is the @ of the URL grammar if a valid address follows it. Otherwise the password
// contains special characters, and it is the last @.
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
		// Without user and password before the host, an @ occurs only in
		// parameters whose values may contain one.
		if !queryItem().MatchString(item) || at < 0 && strings.Contains(item, "@") && !keyValue().MatchString(item) {
			return last
		}
	}
	return at
}

// redacted is an error without a password in its text. The text should contain none: this
// is a second defence, against unknown texts of the driver or the server.
type redacted struct {
	err      error
	password string
}

// minRedacted is the length from which passwords are redacted: shorter ones occur in any
// text by chance.
const minRedacted = 4

func (w redacted) Error() string {
	text := w.err.Error()
	for _, p := range []string{w.password, url.QueryEscape(w.password), url.PathEscape(w.password), strings.TrimPrefix(url.UserPassword("", w.password).String(), ":")} {
		if len(w.password) >= minRedacted {
			text = strings.ReplaceAll(text, p, "***")
		}
	}
	return text
}

func (w redacted) Unwrap() error { return w.err }
