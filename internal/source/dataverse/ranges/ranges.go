// Package ranges divides a table into parts that can be read at once: by the
// time its rows were made, since comparing times in $filter is documented and
// comparing keys is not (protocols/dataverse.md §4.3; FetchXML operators ge and
// lt are for numbers, times and texts). It does no I/O of
// its own.
package ranges

import (
	"slices"
	"time"

	"allod"
)

// Column is the column that tells the parts of a table apart.
const Column = "createdon"

// By returns Column where the table has it and it can be read, "" otherwise.
func By(t *allod.Table) string {
	c := t.Column(Column)
	if t.Key == "" || t.Intersect || c == nil || c.Type != allod.DateTime || c.Derived != "" || c.Unreadable != "" || c.Secured {
		return ""
	}
	return Column
}

// Cut returns the $filter of each of at most n parts of about the same number of
// rows, by a sample of the rows' values. Whatever the values of a row are, and
// also if it has none, exactly one of the filters holds for it. nil when the
// sample tells nothing apart.
func Cut(sample []allod.Value, n int) []string {
	const layout = "2006-01-02T15:04:05Z"
	var times []string
	for _, v := range sample {
		if at, err := time.Parse(time.RFC3339, v.Text()); err == nil && v.Type() == allod.DateTime {
			times = append(times, at.UTC().Format(layout))
		}
	}
	slices.Sort(times)
	var bounds []string
	for i := 1; i < n && len(times) > 0; i++ {
		if b := times[i*len(times)/n]; b != times[0] && (len(bounds) == 0 || bounds[len(bounds)-1] != b) {
			bounds = append(bounds, b)
		}
	}
	if len(bounds) == 0 {
		return nil
	}
	parts := []string{"(" + Column + " lt " + bounds[0] + " or " + Column + " eq null)"}
	for i, b := range bounds {
		part := Column + " ge " + b
		if i+1 < len(bounds) {
			part += " and " + Column + " lt " + bounds[i+1]
		}
		parts = append(parts, part)
	}
	return parts
}
