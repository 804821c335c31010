package several

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"allod/internal/source"
)

func TestNarrow(t *testing.T) {
	r := &source.Rights{
		Depth:  map[string]source.Depth{"account": source.DepthGlobal, "contact": source.DepthLocal, "lead": source.DepthGlobal},
		Hidden: map[string][]string{"account": {"a"}}, Administrator: true,
	}
	narrow(r, &source.Rights{
		Depth:  map[string]source.Depth{"account": source.DepthBasic, "contact": source.DepthGlobal, "task": source.DepthGlobal},
		Hidden: map[string][]string{"account": {"a", "b"}, "contact": {"c"}},
	})
	want := &source.Rights{
		Depth:  map[string]source.Depth{"account": source.DepthBasic, "contact": source.DepthLocal},
		Hidden: map[string][]string{"account": {"a", "b"}, "contact": {"c"}},
	}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Error(diff)
	}
}
