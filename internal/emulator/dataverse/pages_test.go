package dataverse_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"allod/internal/emulator"
	dvemu "allod/internal/emulator/dataverse"
)

// Pages come twice, in the wrong order or with their rows turned round, and a
// client that follows the links still sees every row and gets the delta link.
func TestPagesOutOfOrder(t *testing.T) {
	c := start(t, dvemu.Options{PageSize: 2})
	var plain []string
	for i := range 5 {
		plain = append(plain, fmt.Sprintf("A&<%d>", i))
		c.want(204, "POST", "accounts", fmt.Sprintf(`{"accountid":"11111111-1111-1111-1111-%012d","name":%q}`, i, plain[i]))
	}
	for _, tc := range []struct {
		fault emulator.Fault
		want  []int
	}{
		{emulator.Fault{Kind: "repeat-page", Nth: 2}, []int{0, 1, 2, 3, 2, 3, 4}},
		{emulator.Fault{Kind: "repeat-page", Nth: 3}, []int{0, 1, 2, 3, 4, 4}},
		{emulator.Fault{Kind: "swap-pages"}, []int{2, 3, 0, 1, 4}},
		{emulator.Fault{Kind: "swap-pages", Nth: 2}, []int{0, 1, 4, 2, 3}},
		{emulator.Fault{Kind: "swap-pages", Nth: 3}, []int{0, 1, 2, 3, 4}}, // there is none behind the last
		{emulator.Fault{Kind: "reverse-rows", Count: -1}, []int{1, 0, 3, 2, 4}},
		{emulator.Fault{Kind: "drip", DelayMS: 4}, []int{0, 1, 2, 3, 4}},
	} {
		for _, prefer := range []string{"odata.maxpagesize=2", "odata.maxpagesize=2,odata.track-changes"} {
			if err := c.srv.SetFaults([]emulator.Fault{tc.fault}); err != nil {
				t.Fatal(err)
			}
			var got, want []string
			for _, i := range tc.want {
				want = append(want, plain[i])
			}
			next, delta, pages := "accounts?$select=name", "", 0
			for next != "" {
				if pages++; pages > 10 {
					t.Fatalf("%s: the links lead in circles", tc.fault.Kind)
				}
				a := c.want(200, "GET", next, "", "Prefer", prefer)
				for _, row := range a.rows() {
					got = append(got, row["name"].(string))
				}
				delta, _ = a.json()["@odata.deltaLink"].(string)
				next, _ = a.json()["@odata.nextLink"].(string)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s at page %d, %s: got %q, want %q", tc.fault.Kind, tc.fault.Nth, prefer, got, want)
			}
			if strings.Contains(prefer, "track") != (delta != "") {
				t.Errorf("%s at page %d, %s: delta link %q", tc.fault.Kind, tc.fault.Nth, prefer, delta)
			}
		}
	}
	for _, kind := range []string{"repeat-page", "swap-pages", "reverse-rows"} { // what is no page goes out as it is
		if err := c.srv.SetFaults([]emulator.Fault{{Kind: kind, Count: -1}}); err != nil {
			t.Fatal(err)
		}
		c.want(200, "GET", "WhoAmI", "")
		c.want(404, "GET", "accounts(99999999-1111-1111-1111-000000000000)", "")
	}
}
