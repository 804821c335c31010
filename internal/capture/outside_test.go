package capture

import (
	"context"
	"slices"
	"testing"

	"allod"
	"allod/internal/govern/gate"
	"allod/internal/source"
)

// pointing is a source whose environment points to what lies elsewhere.
type pointing struct {
	*fakeSource
	err error
}

func (p pointing) Outside(context.Context, *allod.Schema) ([]source.Outside, error) {
	return []source.Outside{
		{What: "documents", Table: "account", Of: "places", Count: 3},
		{What: "retained rows", Table: "contact", Of: "rows", Count: 5000, More: true},
		{What: "mail", Table: "contact", Count: -1},
	}, p.err
}

// Every snapshot says what lies outside, and is complete nevertheless, also
// when the source would not say.
func TestOutsideIsSaidInTheSnapshot(t *testing.T) {
	for _, c := range []struct {
		err  error
		want []string
	}{
		{nil, []string{"documents: 3 places", "mail", "retained rows: more than 5000 rows"}},
		{unavailable(), []string{"what lies outside could not be asked for: " + unavailable().Error()}},
	} {
		r := newRig(t)
		r.fill("account", 0, 3)
		res, err := Run(t.Context(), r.session(gate.ActionCapture), r.v, pointing{r.fakeSource, c.err}, "contoso", Options{Now: r.now})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, g := range res.Gaps {
			if g.Kind == allod.GapOutside {
				got = append(got, g.Reason)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, c.want) || res.Partial() || !res.Complete {
			t.Errorf("got %q, partial %v; want %q", got, res.Partial(), c.want)
		}
	}
}
