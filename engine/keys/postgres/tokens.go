package postgres

import (
	"errors"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/velonym/velonym/engine/keys"
)

func (t *tx) Revoke(jti string, exp time.Time, change uint64) error {
	return t.exec("INSERT INTO velonym.revocation AS r (jti, expires, seq) VALUES ($1, $2, $3) ON CONFLICT (jti) DO UPDATE SET expires = greatest(r.expires, excluded.expires), seq = excluded.seq",
		[]byte(jti), expiry(exp), int64(change))
}

func (t *tx) Revocation(jti string) (keys.Revocation, bool, error) {
	rows, err := list(t, scanRevocation, "SELECT jti, expires FROM velonym.revocation WHERE jti = $1", []byte(jti))
	if err != nil || len(rows) == 0 {
		return keys.Revocation{}, false, err
	}
	return rows[0], true, nil
}

func scanRevocation(row pgx.CollectableRow) (keys.Revocation, error) {
	var jti []byte
	var expires int64
	err := row.Scan(&jti, &expires)
	return keys.Revocation{JTI: string(jti), Expires: fromExpiry(expires)}, err
}

func fromExpiry(us int64) time.Time {
	if us == never {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

func (t *tx) RevokedSince(change int64, f func(jti []byte, exp time.Time)) error {
	rows, err := t.t.Query(t.ctx, "SELECT jti, expires FROM velonym.revocation WHERE seq > $1", change)
	if err != nil {
		return t.s.wrapErr(err)
	}
	var jti pgtype.DriverBytes
	var expires int64
	_, err = pgx.ForEachRow(rows, []any{&jti, &expires}, func() error {
		f(jti, fromExpiry(expires))
		return nil
	})
	return t.s.wrapErr(err)
}

func (t *tx) Rule(issuer, project string) (time.Time, error) {
	var before int64
	err := t.t.QueryRow(t.ctx, "SELECT before FROM velonym.revocation_rule WHERE issuer = $1 AND prj = $2", issuer, project).Scan(&before)
	if errors.Is(err, pgx.ErrNoRows) {
		return time.Time{}, nil
	}
	return time.UnixMicro(before).UTC(), t.s.wrapErr(err)
}

func (t *tx) SetRule(r keys.RevocationRule, change uint64) error {
	return t.exec("INSERT INTO velonym.revocation_rule VALUES ($1, $2, $3, $4) ON CONFLICT (issuer, prj) DO UPDATE SET before = excluded.before, seq = excluded.seq",
		r.Issuer, r.Project, r.Before.UnixMicro(), int64(change))
}

func (t *tx) Rules(change int64) ([]keys.RevocationRule, error) {
	return list(t, func(row pgx.CollectableRow) (r keys.RevocationRule, err error) {
		var before int64
		err = row.Scan(&r.Issuer, &r.Project, &before)
		r.Before = time.UnixMicro(before).UTC()
		return r, err
	}, "SELECT issuer, prj, before FROM velonym.revocation_rule WHERE seq > $1", change)
}

func (t *tx) Spent(jti string) (int64, error) {
	var n int64
	err := t.t.QueryRow(t.ctx, "SELECT spent FROM velonym.budget WHERE jti = $1", []byte(jti)).Scan(&n)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	return n, t.s.wrapErr(err)
}

func (t *tx) SetSpent(jti string, spent int64, exp time.Time) error {
	return t.exec("INSERT INTO velonym.budget AS b VALUES ($1, $2, $3) ON CONFLICT (jti) DO UPDATE SET spent = excluded.spent, expires = greatest(b.expires, excluded.expires)", []byte(jti), spent, expiry(exp))
}

const issuedColumns = "i.jti, i.issuer, i.kid, i.op, i.prj, i.org, i.src_prj, i.src_org, i.issued, i.expires, i.most, i.seal"

func (t *tx) AddIssued(k keys.IssuedToken) error {
	r, err := t.t.Exec(t.ctx, "INSERT INTO velonym.issued VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING",
		[]byte(k.JTI), k.Issuer, k.KeyID, k.Op, k.Project, k.Org, k.Source, k.SourceOrg, k.Issued.UnixMicro(), k.Expires.UnixMicro(), k.Max, k.Seal)
	if err == nil && r.RowsAffected() == 0 {
		return keys.ErrExists
	}
	return t.s.wrapErr(err)
}

// issuedRow is an issued token and what is spent of its budget.
type issuedRow struct {
	keys.IssuedToken
	spent int64
}

func scanIssued(row pgx.CollectableRow) (k issuedRow, err error) {
	var jti []byte
	var issued, expires int64
	err = row.Scan(&jti, &k.Issuer, &k.KeyID, &k.Op, &k.Project, &k.Org, &k.Source, &k.SourceOrg, &issued, &expires, &k.Max, &k.Seal, &k.spent)
	k.JTI = string(jti)
	k.Issued, k.Expires = time.UnixMicro(issued).UTC(), time.UnixMicro(expires).UTC()
	return k, err
}

func (t *tx) Issued(jti string) (keys.IssuedToken, error) {
	rows, err := list(t, scanIssued, "SELECT "+issuedColumns+", 0::bigint FROM velonym.issued AS i WHERE jti = $1", []byte(jti))
	if err != nil {
		return keys.IssuedToken{}, err
	}
	if len(rows) == 0 {
		return keys.IssuedToken{}, keys.ErrNotFound
	}
	return rows[0].IssuedToken, nil
}

func (t *tx) IssuedTokens(f keys.TokenFilter, each func(keys.IssuedToken, int64)) error {
	after := int64(-1) << 62
	if !f.After.IsZero() {
		after = f.After.UnixMicro()
	}
	limit := int64(math.MaxInt64)
	if f.Limit > 0 {
		limit = int64(f.Limit)
	}
	where := "i.expires > $1 AND i.expires <= $2 AND ($3 = '' OR i.op = $3) AND ($4 = '' OR i.issuer = $4) AND $5::text IS NOT NULL"
	if f.Project != "" {
		where += " AND (i.prj = $5 OR i.src_prj = $5)"
	}
	rows, err := list(t, scanIssued, "SELECT "+issuedColumns+", coalesce(b.spent, 0) FROM velonym.issued AS i LEFT JOIN velonym.budget AS b ON b.jti = i.jti WHERE "+where+" ORDER BY i.expires, i.jti LIMIT $6",
		after, expiry(f.Before), f.Op, f.Issuer, f.Project, limit)
	for _, k := range rows {
		each(k.IssuedToken, k.spent)
	}
	return err
}

func (t *tx) Expired(end time.Time) (some bool, err error) {
	err = t.t.QueryRow(t.ctx, "SELECT EXISTS (SELECT FROM velonym.budget WHERE expires < $1) OR EXISTS (SELECT FROM velonym.issued WHERE expires < $1) OR EXISTS (SELECT FROM velonym.revocation WHERE expires < $1)", end.UnixMicro()).Scan(&some)
	return some, t.s.wrapErr(err)
}

func (t *tx) DropExpired(end time.Time, most int) (dropped []keys.Revocation, until time.Time, more bool, err error) {
	for _, table := range []string{"velonym.budget", "velonym.issued"} {
		c, err := t.t.Exec(t.ctx, "DELETE FROM "+table+" WHERE jti IN (SELECT jti FROM "+table+" WHERE expires < $1 ORDER BY expires LIMIT $2)", end.UnixMicro(), most)
		if err != nil {
			return nil, end, false, t.s.wrapErr(err)
		}
		more = more || c.RowsAffected() == int64(most)
	}
	var last int64
	switch err := t.t.QueryRow(t.ctx, "SELECT expires FROM velonym.revocation WHERE expires < $1 ORDER BY expires LIMIT 1 OFFSET $2", end.UnixMicro(), most-1).Scan(&last); {
	case err == nil:
		end, more = time.UnixMicro(last+1), true
	case !errors.Is(err, pgx.ErrNoRows):
		return nil, end, false, t.s.wrapErr(err)
	}
	dropped, err = list(t, scanRevocation, "DELETE FROM velonym.revocation WHERE expires < $1 RETURNING jti, expires", end.UnixMicro())
	return dropped, end, more, err
}
