package dataverse

import (
	"allod/internal/source"
	"allod/internal/source/dataverse/changes"
)

var _ source.Dater = (*Source)(nil)

// TokenVersion implements source.Dater (protocols/dataverse.md §5.2).
func (s *Source) TokenVersion(c source.Cursor) uint64 {
	var at token
	if c.Kind != source.CursorDelta || !at.open(c) {
		return 0
	}
	return changes.TokenVersion(at.Link)
}
