// Package seed counts autonumber columns (Create autonumber columns;
// SetAutoNumberSeed, GetAutoNumberSeed and GetNextAutoNumberValue messages): a
// value that a client sets does not move the seed.
package seed

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/store"
)

const (
	seeds = "autonumber@seeds" // no model has a name with an @
	first = 1000               // the seed of a new column
)

func key(table, column string) allod.GUID { return access.NamedID("seed " + table + "." + column) }

// Of returns the value the next row gets.
func Of(tx *store.Tx, table, column string) int64 {
	if r := tx.Get(seeds, key(table, column)); r != nil {
		return tx.Value(seeds, r, "next").Int()
	}
	return first
}

// Set makes n the value the next row gets.
func Set(tx *store.Tx, table, column string, n int64) {
	tx.Ensure(seeds, []string{"next"})
	tx.Put(seeds, key(table, column), []store.Cell{{Column: tx.Column(seeds, "next"), Value: allod.IntegerValue(n)}})
}

// Take returns the next value in the format and moves the seed.
func Take(tx *store.Tx, table, column, format string, now time.Time, random allod.GUID) string {
	n := Of(tx, table, column)
	Set(tx, table, column, n+1)
	return Format(format, n, now, random)
}

// Format fills {SEQNUM:n}, {RANDSTRING:n} and {DATETIMEUTC:format} of an
// AutoNumberFormat; other parts stay. A format without {SEQNUM} has no number.
func Format(format string, n int64, now time.Time, random allod.GUID) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(format, '{')
		j := strings.IndexByte(format, '}')
		if i < 0 || j < i {
			return b.String() + format
		}
		b.WriteString(format[:i])
		name, arg, _ := strings.Cut(format[i+1:j], ":")
		b.WriteString(part(format[i:j+1], name, arg, n, now, random))
		format = format[j+1:]
	}
}

func part(whole, name, arg string, n int64, now time.Time, random allod.GUID) string {
	width, err := strconv.Atoi(arg)
	switch {
	case name == "SEQNUM" && err == nil && width >= 0 && width < 40:
		return fmt.Sprintf("%0*d", width, n)
	case name == "RANDSTRING" && err == nil && width >= 0 && width <= 6:
		return letters(random, width)
	case name == "DATETIMEUTC":
		return now.UTC().Format(strings.NewReplacer("yyyy", "2006", "MM", "01", "dd", "02", "HH", "15", "hh", "03", "mm", "04", "ss", "05").Replace(arg))
	}
	return whole
}

// letters are n letters and digits that follow from the id.
func letters(random allod.GUID, n int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[int(random[i])%len(alphabet)]
	}
	return string(b)
}
