package judge

import (
	"allod"
	"allod/internal/source"
)

// Lasting tells gaps that say what stored rows lack from those that say what
// happened in one capture.
func Lasting(k allod.GapKind) bool {
	switch k {
	case allod.GapColumnSecured, allod.GapDeletionsUnproven, allod.GapFileUnread, allod.GapReadDepth, allod.GapConcurrentlyChanged:
		return true
	default:
		return false
	}
}

// DepthName says in words which rows of a table a reader sees.
func DepthName(d source.Depth) string {
	switch d {
	case source.DepthBasic:
		return "its own"
	case source.DepthLocal:
		return "its business unit's"
	case source.DepthDeep:
		return "its business unit's and those below"
	case source.DepthGlobal:
		return "all"
	default:
		return "none"
	}
}
