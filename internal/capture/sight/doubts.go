package sight

import (
	"slices"

	"allod"
	"allod/internal/source"
)

// maxDoubts is how many rows of a stretch are read a second time for the sake
// of their nulls. Where more are in doubt, so many of them, evenly spread, are.
const maxDoubts = 1000

// Doubts are rows with nulls in secured columns that the reader may read, as far
// as is known, while nothing in the same answer proves it: rights may have been
// taken and given back in between. They are for one goroutine.
type Doubts struct {
	List  []Doubt
	Rows  int // in doubt altogether
	every int // one in so many of them is in List
}

// Doubt is one row with the columns, by index, that its answer showed nothing in.
type Doubt struct {
	Key     allod.GUID
	Version uint64
	Columns []int
}

func (d *Doubts) add(x Doubt) {
	if d.every = max(d.every, 1); d.Rows%d.every == 0 {
		if len(d.List) == maxDoubts { // too many: keep every other one, from here on too
			for i := range maxDoubts / 2 {
				d.List[i] = d.List[2*i]
			}
			d.List, d.every = d.List[:maxDoubts/2], 2*d.every
		}
		d.List = append(d.List, x)
	}
	d.Rows++
}

// Sample reports whether the rows in List stand for others too.
func (d *Doubts) Sample() bool { return d.every > 1 }

// Page puts rows of a page in doubt whose nulls in one of the columns nothing
// in the same answer proves. One value is enough to prove that the nulls beside
// it are what they seem: an answer is made with one set of rights.
func (d *Doubts) Page(page *source.Page, columns []int) {
	size := max(len(page.Rows), 1)
	if page.Mixed {
		size = 1
	}
	for answer := range slices.Chunk(page.Rows, size) {
		var blind []int
		for _, c := range columns {
			if !slices.ContainsFunc(answer, shows(c)) {
				blind = append(blind, c)
			}
		}
		for i := range answer {
			if r := &answer[i]; len(blind) > 0 && !r.Key.IsZero() {
				d.add(Doubt{r.Key, r.Version, blind})
			}
		}
	}
}

// Shows reports whether a row has a value in the column.
func Shows(r *allod.Row, column int) bool {
	v := r.Cell(column)
	return !v.IsNull() && !v.IsAbsent()
}

func shows(column int) func(allod.Row) bool {
	return func(r allod.Row) bool { return Shows(&r, column) }
}
