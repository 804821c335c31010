package aggregate_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"allod"
	"allod/internal/emulator/dataverse/aggregate"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata/query"
)

// pair is a row: what it is grouped by, and an amount, -1 for null.
type pair struct{ by, amount int }

// source reads the columns by and amount of pairs.
func source(rows []pair) aggregate.Source[pair] {
	return aggregate.Source[pair]{
		Rows: func(keep func(pair) (bool, error)) ([]pair, error) {
			var out []pair
			for _, r := range rows {
				if ok, err := keep(r); err != nil || ok {
					out = append(out, r)
				}
			}
			return out, nil
		},
		Filter: func(query.Expr) (func(pair) (bool, error), error) {
			return func(r pair) (bool, error) { return r.by > 0, nil }, nil
		},
		Field: func(p *query.Path) (aggregate.Field[pair], error) {
			name := p.Steps[0].Name
			f := aggregate.Field[pair]{Name: name, Column: &entity.Column{LogicalName: name, EdmType: "Edm.Int32"}}
			f.Get = func(r pair) (allod.Value, error) {
				n := r.by
				if name == "amount" {
					n = r.amount
				}
				if n < 0 {
					return allod.NullValue(), nil
				}
				return allod.IntegerValue(int64(n)), nil
			}
			return f, nil
		},
	}
}

func steps(t interface{ Fatal(...any) }, apply string) []query.Transform {
	r, err := query.Dialect{}.ParseURL("x?$apply=" + apply)
	if err != nil {
		t.Fatal(err)
	}
	return r.Options.Apply
}

// Every line equals what is reckoned here row by row.
func TestRunAgainstRows(t *testing.T) {
	apply := steps(t, "filter(by%20gt%200)/groupby((by),aggregate($count%20as%20n,amount%20with%20sum%20as%20s,amount%20with%20min%20as%20lo,amount%20with%20max%20as%20hi,amount%20with%20average%20as%20mean,amount%20with%20countdistinct%20as%20d))")
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOf(rapid.Custom(func(t *rapid.T) pair {
			return pair{rapid.IntRange(0, 4).Draw(t, "by"), rapid.IntRange(-1, 9).Draw(t, "amount")}
		})).Draw(t, "rows")
		res, err := aggregate.Run(source(rows), apply)
		if err != nil {
			t.Fatal(err)
		}
		var got, want []string
		for _, l := range res.Lines {
			got = append(got, fmt.Sprint(l))
		}
		for by := 1; by <= 4; by++ {
			n, sum, known, seen := 0, 0, []int{}, map[int]bool{}
			for _, r := range rows {
				if r.by != by {
					continue
				}
				n++
				if r.amount >= 0 {
					sum, known, seen[r.amount] = sum+r.amount, append(known, r.amount), true
				}
			}
			if n == 0 {
				continue
			}
			line := []allod.Value{allod.IntegerValue(int64(by)), allod.IntegerValue(int64(n)), allod.NullValue(), allod.NullValue(), allod.NullValue(), allod.NullValue(), allod.IntegerValue(int64(len(seen)))}
			if len(known) > 0 {
				for i, v := range []int{sum, slices.Min(known), slices.Max(known), sum / len(known)} {
					line[2+i] = allod.IntegerValue(int64(v))
				}
			}
			want = append(want, fmt.Sprint(line))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%v: got %v, want %v", rows, got, want)
		}
	})
}

// Over 50,000 rows an aggregate is refused (protocols/dataverse.md §4.5).
func TestLimit(t *testing.T) {
	for n, code := range map[int]string{aggregate.MaxRows: "", aggregate.MaxRows + 1: "0x8004E023"} {
		_, err := aggregate.Run(source(make([]pair, n)), steps(t, "aggregate($count%20as%20n)"))
		if got := ""; err != nil {
			if got = wire.AsError(err).Code; got != code {
				t.Errorf("%d rows: got %s, want %s", n, got, code)
			}
		} else if code != "" {
			t.Errorf("%d rows: not refused", n)
		}
	}
}
