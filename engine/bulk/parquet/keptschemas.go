package parquet

import (
	"slices"

	"github.com/velonym/velonym/engine/bulk/internal/typed"
)

// arrowSchemaKey is the key of the metadata in which Arrow's writers keep their schema.
const arrowSchemaKey = "ARROW:schema"

// editSchemas edits the schemas of other systems in the metadata. With text set they state
// that a column holds strings, and was records what they stated before; else they state
// again what was records.
func (f *File) editSchemas(column int, was *typed.Original, text bool, effect *Effect) error {
	l := &f.leaves[column]
	if raw := f.keyValue(arrowSchemaKey); raw != nil {
		edited, err := f.editArrow(raw, column, was, text)
		if err != nil {
			return f.refuse(l, "%w", err)
		}
		if edited == nil {
			effect.Dropped = append(effect.Dropped, arrowSchemaKey)
		}
		f.setKeyValue(arrowSchemaKey, edited)
	}
	place := typed.Place{Path: l.path, Leaf: column, Leaves: len(f.leaves)}
	effect.Dropped = append(effect.Dropped, typed.EditForeign(place, was, text, f.keyValue, f.setKeyValue)...)
	f.editArrowMetadata(func(get func(key string) []byte, set func(key string, value []byte)) {
		for _, key := range typed.EditForeign(place, was, text, get, set) {
			if !slices.Contains(effect.Dropped, key) {
				effect.Dropped = append(effect.Dropped, key)
			}
		}
	})
	return nil
}
