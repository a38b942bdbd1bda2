package server

import (
	"strconv"

	"github.com/velonym/velonym/csvfast/jsonfast"
	"github.com/velonym/velonym/engine/suite"
	"github.com/velonym/velonym/engine/token"
)

// endpointValidate reports whether values are well-formed pseudonyms of the token's domain,
// and reverses none. It takes any token of the domain, with the token's limits and budget.
var endpointValidate = endpoint{path: "/api/validate", op: "validate", ops: token.OpsAny, route: routeValidate}

// writeFindings writes the answer of endpointValidate to c.out: one object per value, in
// order, and null for a missing value.
func (c *call) writeFindings(grant *token.Grant, spans []uint32) (p *problem, fault error) {
	in, err := grant.Plan.Inspector()
	if err != nil {
		return newProblem(codeInternal, ""), err
	}
	defer in.Close()
	if p := c.reserve(64); p != nil {
		return p, nil
	}
	c.ctx.Response.Header.SetContentTypeBytes(mimeJSON)
	c.out = append(c.out, `{"data":[`...)
	notString := c.json.NotString
	for i := 0; i < len(spans); i += 2 {
		// A finding takes a few hundred bytes at most, with the alphabet of its form.
		if p := c.reserve(512); p != nil {
			return p, nil
		}
		if i > 0 {
			c.out = append(c.out, ',')
		}
		switch {
		case len(notString) > 0 && int(notString[0]) == i/2:
			notString = notString[1:]
			c.out = appendFinding(c.out, suite.Finding{})
		case spans[i+1] == 0:
			c.out = append(c.out, `null`...)
		default:
			c.out = appendFinding(c.out, in.Inspect(c.in[spans[i]:][:spans[i+1]]))
		}
	}
	c.out = append(c.out, `]}`...)
	return nil, nil
}

// appendFinding writes a finding as a JSON object.
func appendFinding(b []byte, f suite.Finding) []byte {
	if !f.WellFormed {
		return append(b, `{"well_formed":false}`...)
	}
	b = append(b, `{"well_formed":true,"form":`...)
	b = append(jsonfast.AppendEscaped(append(b, '"'), []byte(f.Form)), '"')
	b = append(b, `,"generation":`...)
	if f.Generation < 0 {
		b = append(b, `null,"state":null`...)
	} else {
		b = strconv.AppendInt(b, int64(f.Generation), 10)
		b = append(append(append(b, `,"state":"`...), f.State...), '"')
	}
	return append(append(append(b, `,"tag":"`...), f.Tag...), `"}`...)
}
