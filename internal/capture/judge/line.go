package judge

import (
	"cmp"
	"math"
	"slices"

	"allod"
)

// Witness is a row that was among the newest of an environment, or of its
// table, when it was captured. If it is older later, time went back.
type Witness struct {
	Table   string     `json:"table"`
	Key     allod.GUID `json:"key"`
	Version uint64     `json:"version"`
	// Gone is set for a row that was deleted; Version is then one that the
	// service had given out before it was. If the row is there later with no
	// higher one, time went back too.
	Gone bool `json:"gone,omitempty"`
}

// Ref names the witness's record.
func (w Witness) Ref() allod.RecordRef { return allod.RecordRef{Table: w.Table, Key: w.Key} }

const (
	// MaxWitnesses is how many rows are kept from one capture to the next.
	MaxWitnesses = 32
	// MinWitnesses is how many are kept of each table during a capture; fewer
	// that are all gone prove nothing.
	MinWitnesses = 8
)

// LineBreak decides whether the environment is no longer a continuation of
// what was captured before: another organisation, or the same one put back to
// an earlier moment (design/capture.md, the line of an environment). now maps
// the witnesses that still exist to their present version. An empty reason
// means that the line goes on.
func LineBreak(before, present allod.Identity, witnesses []Witness, now map[allod.RecordRef]uint64) string {
	if before.Organization != present.Organization {
		return "the organisation behind the address is another one"
	}
	if before.HighestVersion != 0 && present.HighestVersion != 0 && present.HighestVersion < before.HighestVersion {
		return "the environment's row versions went back: it was restored to an earlier moment"
	}
	alive, gone := 0, 0
	for _, w := range witnesses {
		v, ok := now[w.Ref()]
		switch {
		case w.Gone && ok && v <= w.Version:
			return "rows that were deleted are back as they were: the environment was restored to an earlier moment"
		case w.Gone:
			continue
		case !ok:
			gone++
		case v < w.Version:
			return "rows have older versions than when they were captured: the environment was restored to an earlier moment"
		}
		alive++
	}
	if alive >= MinWitnesses && gone == alive {
		return "every row that was newest at the last capture is gone: the environment was restored to an earlier moment, or emptied"
	}
	return ""
}

// TookBack is the reason for a new line when rows that were captured are gone,
// changed or back, and the service, asked twice, does not say so.
const TookBack = "rows that were captured are gone or changed, and the service does not say so: the environment was restored to an earlier moment"

// Unknown stands for the version of a row that is there, where the source does
// not tell versions.
const Unknown = math.MaxUint64

// Changed reports whether a witness is no longer as it was: gone, changed or,
// where it had gone, back.
func Changed(w Witness, now map[allod.RecordRef]uint64) bool {
	v, here := now[w.Ref()]
	return here == w.Gone || here && v > w.Version && v != Unknown
}

// Add adds a row to the newest of a table, oldest first.
func Add(list []Witness, w Witness) []Witness {
	if len(list) >= MinWitnesses && w.Version <= list[0].Version {
		return list
	}
	list = append(list, w)
	slices.SortFunc(list, func(a, b Witness) int { return cmp.Compare(a.Version, b.Version) })
	return list[max(0, len(list)-MinWitnesses):]
}

// Newest returns old and fresh together, one per record, the newest first. Of
// two of one version the later one counts.
func Newest(old, fresh []Witness) []Witness {
	newest := map[allod.RecordRef]Witness{}
	for _, w := range slices.Concat(old, fresh) {
		if w.Version >= newest[w.Ref()].Version {
			newest[w.Ref()] = w
		}
	}
	all := make([]Witness, 0, len(newest))
	for _, w := range newest {
		all = append(all, w)
	}
	slices.SortFunc(all, func(a, b Witness) int {
		return cmp.Or(cmp.Compare(b.Version, a.Version), cmp.Compare(a.Table, b.Table), cmp.Compare(a.Key.String(), b.Key.String()))
	})
	return all
}

// Keep returns what of old and fresh the next capture shall look at: the newest
// rows, and a few that were deleted.
func Keep(old, fresh []Witness) []Witness {
	var rows, gone []Witness
	for _, w := range Newest(old, fresh) {
		switch {
		case w.Gone && len(gone) < MinWitnesses:
			gone = append(gone, w)
		case !w.Gone && len(rows) < MaxWitnesses:
			rows = append(rows, w)
		}
	}
	return append(rows, gone...)
}
