package metadata

import (
	_ "embed" // the list of classes
	"strings"
	"sync"

	"allod"
)

//go:embed classes.tsv
var classList string

type classRow struct {
	name   string // table, or a pattern with a * at either end
	class  allod.Class
	reason string
}

// classes reads the reviewed list once.
var classes = sync.OnceValues(func() (map[string]classRow, []classRow) {
	exact := map[string]classRow{}
	var rules []classRow
	for line := range strings.Lines(classList) {
		cells := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(cells) != 4 || strings.HasPrefix(line, "#") {
			continue
		}
		r := classRow{cells[0], allod.Class(cells[1]), cells[2]}
		if strings.Contains(r.name, "*") {
			rules = append(rules, r)
		} else {
			exact[r.name] = r
		}
	}
	return exact, rules
})

// Classify returns the class of a table and why (design/architecture.md, table
// classes): the reviewed list first, then what its metadata say, then rules
// for names. A platform table that nothing is known of is captured and never
// written.
func Classify(e *Entity) (class allod.Class, reason string) {
	exact, rules := classes()
	if r, ok := exact[e.LogicalName]; ok {
		return r.class, r.reason
	}
	switch {
	case e.IsIntersect:
		return allod.ClassLink, "pairs of a many-to-many relationship"
	case e.IsBPFEntity:
		return allod.ClassData, "instance of a business process flow"
	case e.IsActivity:
		return allod.ClassData, "activity"
	}
	for _, r := range rules {
		if matches(r.name, e.LogicalName) {
			return r.class, r.reason
		}
	}
	if e.IsCustomEntity {
		return allod.ClassData, "custom table"
	}
	return allod.ClassPlatform, "not in the reviewed list and not custom: captured, never written"
}

// matches tries a pattern whose stars stand at its end or around one infix.
func matches(pattern, name string) bool {
	head, tail, _ := strings.Cut(pattern, "*")
	rest, ok := strings.CutPrefix(name, head)
	if !ok {
		return false
	}
	if infix, inner := strings.CutSuffix(tail, "*"); inner {
		return strings.Contains(rest, infix)
	}
	return strings.HasSuffix(rest, tail)
}
