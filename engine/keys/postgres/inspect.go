package postgres

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/velonym/velonym/engine/keys"
)

// Connection describes a connection to a database.
type Connection struct {
	Version   string        // server version
	Took      time.Duration // time to connect and query
	Local     bool          // through a Unix socket or a loopback address
	TLS       bool
	Verified  bool   // the server's certificate is verified against its name
	Cipher    string // TLS version and cipher suite
	Superuser bool   // the database user is a superuser
}

// Inspect connects to the database at an address and describes the connection. It reads
// no table. Errors: [keys.ErrUnreadable].
func Inspect(ctx context.Context, address string) (about Connection, err error) {
	conf, err := configure(address)
	if err != nil {
		return about, err
	}
	c := conf.ConnConfig
	start := time.Now()
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return about, fmt.Errorf("%w: postgres database %s on %s: %w", keys.ErrUnreadable, c.Database, c.Host, oneLine{redacted{err, c.Password}})
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var super string
	err = conn.QueryRow(ctx, "SELECT current_setting('server_version'), current_setting('is_superuser')").Scan(&about.Version, &super)
	if err != nil {
		return about, fmt.Errorf("%w: postgres database %s on %s: %w", keys.ErrUnreadable, c.Database, c.Host, oneLine{redacted{err, c.Password}})
	}
	about.Took = time.Since(start)
	about.Superuser = super == "on"
	switch n := conn.PgConn().Conn().(type) {
	case *tls.Conn:
		about.TLS = true
		state := n.ConnectionState()
		about.Cipher = tls.VersionName(state.Version) + " " + tls.CipherSuiteName(state.CipherSuite)
		about.Verified = c.TLSConfig != nil && !c.TLSConfig.InsecureSkipVerify
	default:
		switch a := n.RemoteAddr().(type) {
		case *net.UnixAddr:
			about.Local = true
		case *net.TCPAddr:
			about.Local = a.IP.IsLoopback()
		}
	}
	return about, nil
}
