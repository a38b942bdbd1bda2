package sqlite

import (
	"database/sql"
	"errors"
	"time"

	"github.com/velonym/velonym/engine/keys"
	sqlite3 "modernc.org/sqlite/lib"
)

func (t *tx) Revoke(jti string, exp time.Time, change uint64) error {
	return t.exec("INSERT INTO revocation (jti, expires, seq) VALUES (?, ?, ?) ON CONFLICT (jti) DO UPDATE SET expires = max(expires, excluded.expires), seq = excluded.seq",
		[]byte(jti), expiry(exp), int64(change))
}

func (t *tx) Revocation(jti string) (keys.Revocation, bool, error) {
	var expires int64
	err := t.t.QueryRowContext(t.ctx, "SELECT expires FROM revocation WHERE jti = ?", []byte(jti)).Scan(&expires)
	if errors.Is(err, sql.ErrNoRows) {
		return keys.Revocation{}, false, nil
	}
	return keys.Revocation{JTI: jti, Expires: fromExpiry(expires)}, err == nil, t.s.wrapErr(err)
}

func (t *tx) RevokedSince(change int64, f func(jti []byte, exp time.Time)) error {
	query, args := "SELECT jti, expires FROM revocation WHERE seq > ?", []any{change}
	if change < 0 { // all rows: read them in table order, not by the index
		query, args = "SELECT jti, expires FROM revocation", nil
	}
	rows, err := t.t.QueryContext(t.ctx, query, args...)
	if err != nil {
		return t.s.wrapErr(err)
	}
	defer rows.Close()
	for rows.Next() {
		var jti sql.RawBytes
		var expires int64
		if err := rows.Scan(&jti, &expires); err != nil {
			return t.s.wrapErr(err)
		}
		f(jti, fromExpiry(expires))
	}
	return t.s.wrapErr(rows.Err())
}

func (t *tx) Rule(issuer, project string) (time.Time, error) {
	var before int64
	err := t.t.QueryRowContext(t.ctx, "SELECT before FROM revocation_rule WHERE issuer = ? AND prj = ?", issuer, project).Scan(&before)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	return time.UnixMicro(before).UTC(), t.s.wrapErr(err)
}

func (t *tx) SetRule(r keys.RevocationRule, change uint64) error {
	return t.exec("INSERT INTO revocation_rule VALUES (?, ?, ?, ?) ON CONFLICT (issuer, prj) DO UPDATE SET before = excluded.before, seq = excluded.seq",
		r.Issuer, r.Project, r.Before.UnixMicro(), int64(change))
}

func (t *tx) Rules(change int64) ([]keys.RevocationRule, error) {
	rows, err := t.t.QueryContext(t.ctx, "SELECT issuer, prj, before FROM revocation_rule WHERE seq > ?", change)
	if err != nil {
		return nil, t.s.wrapErr(err)
	}
	defer rows.Close()
	var out []keys.RevocationRule
	for rows.Next() {
		var r keys.RevocationRule
		var before int64
		if err := rows.Scan(&r.Issuer, &r.Project, &before); err != nil {
			return nil, t.s.wrapErr(err)
		}
		r.Before = time.UnixMicro(before).UTC()
		out = append(out, r)
	}
	return out, t.s.wrapErr(rows.Err())
}

func (t *tx) Spent(jti string) (int64, error) {
	var n int64
	err := t.t.QueryRowContext(t.ctx, "SELECT spent FROM budget WHERE jti = ?", []byte(jti)).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return n, t.s.wrapErr(err)
}

func (t *tx) SetSpent(jti string, spent int64, exp time.Time) error {
	return t.exec("INSERT INTO budget VALUES (?, ?, ?) ON CONFLICT (jti) DO UPDATE SET spent = excluded.spent, expires = max(expires, excluded.expires)", []byte(jti), spent, expiry(exp))
}

const issuedColumns = "i.jti, i.issuer, i.kid, i.op, i.prj, i.org, i.src_prj, i.src_org, i.issued, i.expires, i.most, i.seal"

func (t *tx) AddIssued(k keys.IssuedToken) error {
	_, err := t.t.ExecContext(t.ctx, "INSERT INTO issued VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		[]byte(k.JTI), k.Issuer, k.KeyID, k.Op, k.Project, k.Org, k.Source, k.SourceOrg, k.Issued.UnixMicro(), k.Expires.UnixMicro(), k.Max, k.Seal)
	if code(err) == sqlite3.SQLITE_CONSTRAINT {
		return keys.ErrExists
	}
	return t.s.wrapErr(err)
}

func scanIssued(row interface{ Scan(...any) error }, more ...any) (keys.IssuedToken, error) {
	var k keys.IssuedToken
	var jti []byte
	var issued, expires int64
	err := row.Scan(append([]any{&jti, &k.Issuer, &k.KeyID, &k.Op, &k.Project, &k.Org, &k.Source, &k.SourceOrg, &issued, &expires, &k.Max, &k.Seal}, more...)...)
	k.JTI = string(jti)
	k.Issued, k.Expires = time.UnixMicro(issued).UTC(), time.UnixMicro(expires).UTC()
	return k, err
}

func (t *tx) Issued(jti string) (keys.IssuedToken, error) {
	k, err := scanIssued(t.t.QueryRowContext(t.ctx, "SELECT "+issuedColumns+" FROM issued AS i WHERE jti = ?", []byte(jti)))
	if errors.Is(err, sql.ErrNoRows) {
		return keys.IssuedToken{}, keys.ErrNotFound
	}
	return k, t.s.wrapErr(err)
}

func (t *tx) IssuedTokens(f keys.TokenFilter, each func(keys.IssuedToken, int64)) error {
	where := "i.expires > ?1 AND i.expires <= ?2 AND (?3 = '' OR i.op = ?3) AND (?4 = '' OR i.issuer = ?4)"
	if f.Project != "" {
		where += " AND (i.prj = ?5 OR i.src_prj = ?5)"
	}
	limit := int64(-1)
	if f.Limit > 0 {
		limit = int64(f.Limit)
	}
	after := int64(-1) << 62
	if !f.After.IsZero() {
		after = f.After.UnixMicro()
	}
	rows, err := t.t.QueryContext(t.ctx, "SELECT "+issuedColumns+", coalesce(b.spent, 0) FROM issued AS i LEFT JOIN budget AS b ON b.jti = i.jti WHERE "+where+" ORDER BY i.expires, i.jti LIMIT ?6",
		after, expiry(f.Before), f.Op, f.Issuer, f.Project, limit)
	if err != nil {
		return t.s.wrapErr(err)
	}
	defer rows.Close()
	for rows.Next() {
		var spent int64
		k, err := scanIssued(rows, &spent)
		if err != nil {
			return t.s.wrapErr(err)
		}
		each(k, spent)
	}
	return t.s.wrapErr(rows.Err())
}

func (t *tx) Expired(end time.Time) (some bool, err error) {
	err = t.t.QueryRowContext(t.ctx, "SELECT EXISTS (SELECT 1 FROM budget WHERE expires < ?1) OR EXISTS (SELECT 1 FROM issued WHERE expires < ?1) OR EXISTS (SELECT 1 FROM revocation WHERE expires < ?1)", end.UnixMicro()).Scan(&some)
	return some, t.s.wrapErr(err)
}

func (t *tx) DropExpired(end time.Time, most int) (out []keys.Revocation, until time.Time, more bool, err error) {
	for _, table := range []string{"budget", "issued"} {
		n, err := t.execCount("DELETE FROM "+table+" WHERE jti IN (SELECT jti FROM "+table+" WHERE expires < ? ORDER BY expires LIMIT ?)", end.UnixMicro(), most)
		if err != nil {
			return nil, end, false, err
		}
		more = more || n == int64(most)
	}
	var last int64
	switch err := t.t.QueryRowContext(t.ctx, "SELECT expires FROM revocation WHERE expires < ? ORDER BY expires LIMIT 1 OFFSET ?", end.UnixMicro(), most-1).Scan(&last); {
	case err == nil:
		end, more = time.UnixMicro(last+1), true
	case !errors.Is(err, sql.ErrNoRows):
		return nil, end, false, t.s.wrapErr(err)
	}
	rows, err := t.t.QueryContext(t.ctx, "DELETE FROM revocation WHERE expires < ? RETURNING jti, expires", end.UnixMicro())
	if err != nil {
		return nil, end, false, t.s.wrapErr(err)
	}
	defer rows.Close()
	for rows.Next() {
		var jti []byte
		var expires int64
		if err := rows.Scan(&jti, &expires); err != nil {
			return nil, end, false, t.s.wrapErr(err)
		}
		out = append(out, keys.Revocation{JTI: string(jti), Expires: fromExpiry(expires)})
	}
	return out, end, more, t.s.wrapErr(rows.Err())
}
