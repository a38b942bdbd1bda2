package arrow

import "github.com/velonym/velonym/engine/bulk/internal/typed"

// Change and Effect say what becomes of a column and its type.
type (
	Change = typed.Change
	Effect = typed.Effect
)

// The changes.
const (
	Pseudonymise = typed.Pseudonymise
	Translate    = typed.Translate
	Restore      = typed.Restore
	Reverse      = typed.Reverse
)
