package backup

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/spec"
)

// row is one row of a backup. Kind says which members it has. Times are in
// microseconds since 1970; 0 is none.
type row struct {
	Kind string `json:"t"`

	Name  string `json:"name,omitempty"`  // meta; project
	Value []byte `json:"value,omitempty"` // meta; seal list; receipt

	Project    *projectRow    `json:"project,omitempty"`
	Generation *generationRow `json:"generation,omitempty"`
	Bucket     uint16         `json:"bucket,omitempty"`
	Token      *tokenRow      `json:"token,omitempty"`
	Rows       int64          `json:"rows,omitempty"` // end: how many came before
}

// Kinds of rows, in the order in which they stand.
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
	JTI     []byte `json:"jti,omitempty"` // bytes: a jti of another issuer need not be text
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

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func moment(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// leftOut are entries of the meta table that say what a store's own files need.
var leftOut = map[string]bool{"scrub": true, "vacuum": true, "wal kept": true}

// writeRows writes all rows of a store.
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
		if !leftOut[name] {
			put(row{Kind: kindMeta, Name: name, Value: value})
		}
	}))
	projects, e2 := tx.Projects()
	fail(e2)
	for _, p := range projects {
		put(row{Kind: kindProject, Name: p.Name, Project: &projectRow{
			Method: string(p.Method), Policy: string(p.Policy), Form: string(p.Form), Tag: p.Tag, Orgs: p.Orgs,
			Retention: micros(p.Retention), Grace: int64(p.Grace / time.Second), Ended: micros(p.Ended), SeverAt: micros(p.SeverAt),
			RotateEvery: int64(p.RotateEvery / time.Second), RotateAt: micros(p.RotateAt), Imported: p.Imported,
			Severed: p.Severed, SeveredAt: micros(p.SeveredAt), Created: micros(p.Created), Reason: p.Reason, KeysMAC: p.KeysMAC, Seal: p.Seal}})
		gens, e := tx.Keys(p.Name)
		fail(e)
		for _, k := range gens {
			put(row{Kind: kindGeneration, Name: p.Name, Generation: &generationRow{Org: k.Org, Gen: k.Gen, State: string(k.State),
				Imported: k.Imported, Created: micros(k.Created), Destroyed: micros(k.Destroyed), Wrapped: k.Wrapped}})
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

// writeTokens writes what a store keeps of tokens.
func writeTokens(tx keys.Tx, put func(row), fail func(error)) {
	fail(tx.RevokedSince(-1, func(jti []byte, exp time.Time) {
		put(row{Kind: kindRevocation, Token: &tokenRow{JTI: jti, Expires: micros(exp)}})
	}))
	rules, err := tx.Rules(-1)
	fail(err)
	for _, r := range rules {
		put(row{Kind: kindRule, Token: &tokenRow{Issuer: r.Issuer, Project: r.Project, Before: micros(r.Before)}})
	}
	fail(tx.Budgets(func(jti string, spent int64, exp time.Time) {
		put(row{Kind: kindBudget, Token: &tokenRow{JTI: []byte(jti), Spent: spent, Expires: micros(exp)}})
	}))
	fail(tx.IssuedTokens(keys.TokenFilter{}, func(t keys.IssuedToken, _ int64) {
		put(row{Kind: kindIssued, Token: &tokenRow{JTI: []byte(t.JTI), Issuer: t.Issuer, KeyID: t.KeyID, Op: t.Op, Project: t.Project, Org: t.Org,
			Source: t.Source, SrcOrg: t.SourceOrg, Issued: micros(t.Issued), Expires: micros(t.Expires), Max: t.Max, Seal: t.Seal}})
	}))
}

// readRows calls each for every row, and fails unless all are there.
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

// noSecret stands for the secret of a generation that is destroyed.
var noSecret = make([]byte, 60)

// addRow stores a row. change is the store's, for revocations.
func addRow(path string, tx keys.Tx, x row, change uint64, dead func(keys.KeyRow) bool) error {
	t := x.Token
	switch {
	case x.Kind == kindMeta:
		return tx.SetMeta(x.Name, x.Value)
	case x.Kind == kindProject && x.Project != nil:
		return tx.AddProject(x.Project.of(x.Name))
	case x.Kind == kindGeneration && x.Generation != nil:
		return addGeneration(tx, x.Generation.of(x.Name), dead)
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
		return tx.Revoke(string(t.JTI), moment(t.Expires), change)
	case x.Kind == kindRule:
		return tx.SetRule(keys.RevocationRule{Issuer: t.Issuer, Project: t.Project, Before: moment(t.Before)}, change)
	case x.Kind == kindBudget:
		return tx.SetSpent(string(t.JTI), t.Spent, moment(t.Expires))
	case x.Kind == kindIssued:
		return tx.AddIssued(keys.IssuedToken{JTI: string(t.JTI), Issuer: t.Issuer, KeyID: t.KeyID, Op: t.Op, Project: t.Project, Org: t.Org,
			Source: t.Source, SourceOrg: t.SrcOrg, Issued: moment(t.Issued), Expires: moment(t.Expires), Max: t.Max, Seal: t.Seal})
	}
	return damaged(path, fmt.Sprintf("it holds a row of a kind %q that this version does not know", x.Kind))
}

func (p *projectRow) of(name string) keys.ProjectRow {
	return keys.ProjectRow{
		Project: keys.Project{Name: name, Method: spec.Method(p.Method), Policy: spec.Policy(p.Policy), Form: spec.Form(p.Form), Tag: p.Tag, Orgs: p.Orgs,
			Retention: moment(p.Retention), Grace: time.Duration(p.Grace) * time.Second, Ended: moment(p.Ended), SeverAt: moment(p.SeverAt),
			RotateEvery: time.Duration(p.RotateEvery) * time.Second, RotateAt: moment(p.RotateAt), Imported: p.Imported,
			Severed: p.Severed, SeveredAt: moment(p.SeveredAt), Created: moment(p.Created)},
		Reason: p.Reason, KeysMAC: p.KeysMAC, Seal: p.Seal}
}

func (g *generationRow) of(project string) keys.KeyRow {
	return keys.KeyRow{Domain: keys.Domain{Prj: project, Org: g.Org}, Gen: g.Gen, State: keys.State(g.State), Imported: g.Imported,
		Created: moment(g.Created), Destroyed: moment(g.Destroyed), Wrapped: g.Wrapped}
}

// addGeneration stores a generation, without the secret of one that is destroyed.
func addGeneration(tx keys.Tx, k keys.KeyRow, dead func(keys.KeyRow) bool) error {
	defer clear(k.Wrapped)
	at := k.Destroyed
	destroyed := k.State == keys.Destroyed
	if destroyed {
		k.State, k.Destroyed = keys.Deactivated, time.Time{}
	}
	if destroyed || dead(k) {
		k.Wrapped = noSecret
	}
	if err := tx.AddKey(k); err != nil || !destroyed {
		return err
	}
	return tx.EraseKey(k.Domain, k.Gen, at)
}
