package engine

import (
	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/token"
)

// Record returns the audit record of a use of a grant with claims c: the token's identifier,
// the operation and the domains. The caller adds the kind, the request, the counts and the
// outcome. The claims must be verified.
func Record(c *token.Claims) audit.Record {
	psn := &c.PSN
	r := audit.Record{JTI: c.ID, Op: string(psn.Op), Project: psn.Dom.Prj, Org: psn.Dom.Org}
	if psn.Src != nil {
		r.Source, r.SrcOrg = psn.Src.Prj, psn.Src.Org
	}
	return r
}
