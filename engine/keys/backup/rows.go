package backup

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/spec"
)

// row is one row of a backup. Kind decides which members are set. Times are in
// microseconds since 1970; 0 stands for none.
type row struct {
	Kind string `json:"t"`

	Name  string `json:"name,omitempty"`  // meta; project
	Value []byte `json:"value,omitempty"` // meta; seal list; receipt

	Project    *projectRow    `json:"project,omitempty"`
	Generation *generationRow `json:"generation,omitempty"`
	Bucket     uint16         `json:"bucket,omitempty"`
	Token      *tokenRow      `json:"token,omitempty"`
	Rows       int64          `json:"rows,omitempty"` // end: number of rows before it
}

// Kinds of rows, in the order of the file.
const (
	kindMeta       = "meta"
	kindProject    = "project"
	kindGeneration = "generation"
	kindSealList   = "seals"
	kindReceipt    = "receipt"
	kindRevocation = "revocation"
	kindRule       = "rule"
	kindBudget     = "budget"
	kindIssued     = "issued"
	kindEnd        = "end"
)

type projectRow struct {
	Method      string   `json:"method"`
	Policy      string   `json:"policy"`
	Form        string   `json:"form"`
	Tag         int      `json:"tag,omitempty"`
	Orgs        []string `json:"orgs"`
	Retention   int64    `json:"retention,omitempty"`
	Grace       int64    `json:"grace,omitempty"` // seconds
	Ended       int64    `json:"ended,omitempty"`
	SeverAt     int64    `json:"sever_at,omitempty"`
	RotateEvery int64    `json:"rotate_every,omitempty"` // seconds
	RotateAt    int64    `json:"rotate_at,omitempty"`
	Imported    bool     `json:"imported,omitempty"`
	Severed     bool     `json:"severed,omitempty"`
	SeveredAt   int64    `json:"severed_at,omitempty"`
	Created     int64    `json:"created"`
	Reason      string   `json:"reason,omitempty"`
	KeysMAC     []byte   `json:"keys_mac"`
	Seal        []byte   `json:"seal"`
}

type generationRow struct {
	Org       string `json:"org,omitempty"`
	Gen       int    `json:"gen"`
	State     string `json:"state"`
	Imported  bool   `json:"imported,omitempty"`
	Created   int64  `json:"created"`
	Destroyed int64  `json:"destroyed,omitempty"`
	Wrapped   []byte `json:"wrapped,omitempty"`
}

type tokenRow struct {
	JTI     []byte `json:"jti,omitempty"` // as bytes: another issuer's jti may not be UTF-8
	Issuer  string `json:"iss,omitempty"`
	KeyID   string `json:"kid,omitempty"`
	Op      string `json:"op,omitempty"`
	Project string `json:"prj,omitempty"`
	Org     string `json:"org,omitempty"`
	Source  string `json:"src_prj,omitempty"`
	SrcOrg  string `json:"src_org,omitempty"`
	Issued  int64  `json:"iat,omitempty"`
	Expires int64  `json:"exp,omitempty"`
	Before  int64  `json:"before,omitempty"`
	Spent   int64  `json:"spent,omitempty"`
	Max     int64  `json:"max,omitempty"`
	Seal    []byte `json:"seal,omitempty"`
}

// toMicros returns the microseconds since 1970, 0 for the zero time.
func toMicros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// fromMicros is the inverse of toMicros.
func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// storeOnlyMetas are entries of the meta table about a store's own files.
var storeOnlyMetas = map[string]bool{"scrub": true, "vacuum": true, "wal kept": true}

// writeRows writes all rows of a store and returns their number.
func writeRows(w io.Writer, tx keys.Tx) (n int64, err error) {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	put := func(r row) {
		if err == nil {
			n++
			err = e.Encode(r)
		}
	}
	fail := func(e error) {
		if err == nil {
			err = e
		}
	}
	fail(tx.Metas(func(name string, value []byte) {
		if !storeOnlyMetas[name] {
			put(row{Kind: kindMeta, Name: name, Value: value})
		}
	}))
	projects, e2 := tx.Projects()
	fail(e2)
	for _, p := range projects {
		put(row{Kind: kindProject, Name: p.Name, Project: &projectRow{
			Method: string(p.Method), Policy: string(p.Policy), Form: string(p.Form), Tag: p.Tag, Orgs: p.Orgs,
			Retention: toMicros(p.Retention), Grace: int64(p.Grace / time.Second), Ended: toMicros(p.Ended), SeverAt: toMicros(p.SeverAt),
			RotateEvery: int64(p.RotateEvery / time.Second), RotateAt: toMicros(p.RotateAt), Imported: p.Imported,
			Severed: p.Severed, SeveredAt: toMicros(p.SeveredAt), Created: toMicros(p.Created), Reason: p.Reason, KeysMAC: p.KeysMAC, Seal: p.Seal}})
		gens, e := tx.Keys(p.Name)
		fail(e)
		for _, k := range gens {
			put(row{Kind: kindGeneration, Name: p.Name, Generation: &generationRow{Org: k.Org, Gen: k.Gen, State: string(k.State),
				Imported: k.Imported, Created: toMicros(k.Created), Destroyed: toMicros(k.Destroyed), Wrapped: k.Wrapped}})
			clear(k.Wrapped)
		}
		if err != nil {
			return n, err
		}
	}
	lists, e3 := tx.SealLists()
	fail(e3)
	for bucket, doc := range lists {
		put(row{Kind: kindSealList, Bucket: bucket, Value: doc})
	}
	docs, e4 := tx.Receipts("")
	fail(e4)
	for _, doc := range docs {
		put(row{Kind: kindReceipt, Value: doc})
	}
	writeTokens(tx, put, fail)
	if err != nil {
		return n, err
	}
	return n, e.Encode(row{Kind: kindEnd, Rows: n})
}

// writeTokens writes revocations, budgets and issued tokens.
func writeTokens(tx keys.Tx, put func(row), fail func(error)) {
	fail(tx.RevokedSince(-1, func(jti []byte, exp time.Time) {
		put(row{Kind: kindRevocation, Token: &tokenRow{JTI: jti, Expires: toMicros(exp)}})
	}))
	rules, err := tx.Rules(-1)
	fail(err)
	for _, r := range rules {
		put(row{Kind: kindRule, Token: &tokenRow{Issuer: r.Issuer, Project: r.Project, Before: toMicros(r.Before)}})
	}
	fail(tx.Budgets(func(jti string, spent int64, exp time.Time) {
		put(row{Kind: kindBudget, Token: &tokenRow{JTI: []byte(jti), Spent: spent, Expires: toMicros(exp)}})
	}))
	fail(tx.IssuedTokens(keys.TokenFilter{}, func(t keys.IssuedToken, _ int64) {
		put(row{Kind: kindIssued, Token: &tokenRow{JTI: []byte(t.JTI), Issuer: t.Issuer, KeyID: t.KeyID, Op: t.Op, Project: t.Project, Org: t.Org,
			Source: t.Source, SrcOrg: t.SourceOrg, Issued: toMicros(t.Issued), Expires: toMicros(t.Expires), Max: t.Max, Seal: t.Seal}})
	}))
}

// readRows calls each for every row, and fails if rows are missing.
func readRows(path string, r io.Reader, each func(row) error) error {
	d := json.NewDecoder(r)
	for n := int64(0); ; n++ {
		var x row
		if err := d.Decode(&x); err != nil {
			return damaged(path, fmt.Sprintf("row %d cannot be read", n+1))
		}
		if x.Kind == kindEnd {
			if x.Rows != n {
				return damaged(path, fmt.Sprintf("it has %d rows where its end says %d", n, x.Rows))
			}
			return nil
		}
		if err := each(x); err != nil {
			return err
		}
	}
}

// placeholderSecret is stored for a destroyed generation until EraseKey removes it.
var placeholderSecret = make([]byte, 60)

// addRow stores a row. change is the store's change counter, for revocations; dead
// reports whether a generation was destroyed since the backup.
func addRow(path string, tx keys.Tx, x row, change uint64, dead func(keys.KeyRow) bool) error {
	t := x.Token
	switch {
	case x.Kind == kindMeta:
		return tx.SetMeta(x.Name, x.Value)
	case x.Kind == kindProject && x.Project != nil:
		return tx.AddProject(x.Project.toKeys(x.Name))
	case x.Kind == kindGeneration && x.Generation != nil:
		return addGeneration(tx, x.Generation.toKeys(x.Name), dead)
	case x.Kind == kindSealList:
		return tx.SetSealList(x.Bucket, x.Value)
	case x.Kind == kindReceipt:
		r, err := keys.ParseReceipt(x.Value)
		if err != nil {
			return err
		}
		return tx.AddReceipt(r.Project, x.Value)
	case t == nil:
	case x.Kind == kindRevocation:
		return tx.Revoke(string(t.JTI), fromMicros(t.Expires), change)
	case x.Kind == kindRule:
		return tx.SetRule(keys.RevocationRule{Issuer: t.Issuer, Project: t.Project, Before: fromMicros(t.Before)}, change)
	case x.Kind == kindBudget:
		return tx.SetSpent(string(t.JTI), t.Spent, fromMicros(t.Expires))
	case x.Kind == kindIssued:
		return tx.AddIssued(keys.IssuedToken{JTI: string(t.JTI), Issuer: t.Issuer, KeyID: t.KeyID, Op: t.Op, Project: t.Project, Org: t.Org,
			Source: t.Source, SourceOrg: t.SrcOrg, Issued: fromMicros(t.Issued), Expires: fromMicros(t.Expires), Max: t.Max, Seal: t.Seal})
	}
	return damaged(path, fmt.Sprintf("it holds a row of a kind %q that this version does not know", x.Kind))
}

func (p *projectRow) toKeys(name string) keys.ProjectRow {
	return keys.ProjectRow{
		Project: keys.Project{Name: name, Method: spec.Method(p.Method), Policy: spec.Policy(p.Policy), Form: spec.Form(p.Form), Tag: p.Tag, Orgs: p.Orgs,
			Retention: fromMicros(p.Retention), Grace: time.Duration(p.Grace) * time.Second, Ended: fromMicros(p.Ended), SeverAt: fromMicros(p.SeverAt),
			RotateEvery: time.Duration(p.RotateEvery) * time.Second, RotateAt: fromMicros(p.RotateAt), Imported: p.Imported,
			Severed: p.Severed, SeveredAt: fromMicros(p.SeveredAt), Created: fromMicros(p.Created)},
		Reason: p.Reason, KeysMAC: p.KeysMAC, Seal: p.Seal}
}

func (g *generationRow) toKeys(project string) keys.KeyRow {
	return keys.KeyRow{Domain: keys.Domain{Prj: project, Org: g.Org}, Gen: g.Gen, State: keys.State(g.State), Imported: g.Imported,
		Created: fromMicros(g.Created), Destroyed: fromMicros(g.Destroyed), Wrapped: g.Wrapped}
}

// addGeneration stores a generation, without its secret if it is destroyed.
func addGeneration(tx keys.Tx, k keys.KeyRow, dead func(keys.KeyRow) bool) error {
	defer clear(k.Wrapped)
	at := k.Destroyed
	destroyed := k.State == keys.Destroyed
	if destroyed {
		k.State, k.Destroyed = keys.Deactivated, time.Time{}
	}
	if destroyed || dead(k) {
		k.Wrapped = placeholderSecret
	}
	if err := tx.AddKey(k); err != nil || !destroyed {
		return err
	}
	return tx.EraseKey(k.Domain, k.Gen, at)
}
