package dataverse_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	dvemu "allod/internal/emulator/dataverse"
)

// A list of keys finds the same rows as any other filter, whatever stands
// beside it.
func TestFilterByListOfKeys(t *testing.T) {
	c := start(t, dvemu.Options{})
	var ids []string
	for i := range 6 {
		ids = append(ids, c.want(204, "POST", "accounts", `{"name":"n`+strconv.Itoa(i)+`"}`).id())
	}
	in := func(keys ...string) string {
		return `Microsoft.Dynamics.CRM.In(PropertyName='accountid',PropertyValues=["` + strings.Join(keys, `","`) + `"])`
	}
	missing := "00000000-0000-4000-8000-00000000ffff"
	for _, tt := range []struct {
		filter string
		want   []string
	}{
		{in(ids[1], ids[3]), []string{"n1", "n3"}},
		{in(ids[4], missing, strings.ToUpper(ids[4])), []string{"n4"}},
		{in(missing), nil},
		{in(ids...) + " and name eq 'n2'", []string{"n2"}},
		{"name ne 'n2' and " + in(ids[1:4]...), []string{"n1", "n3"}},
		{in(ids[1]) + " or name eq 'n5'", []string{"n1", "n5"}},
		{"not " + in(ids[:5]...), []string{"n5"}},
		{"Microsoft.Dynamics.CRM.NotIn(PropertyName='accountid',PropertyValues=[\"" + ids[0] + "\"])", []string{"n1", "n2", "n3", "n4", "n5"}},
		{"Microsoft.Dynamics.CRM.In(PropertyName='name',PropertyValues=['n0'])", []string{"n0"}},
		{in(ids[2]) + " and " + in(ids[2], ids[3]), []string{"n2"}},
	} {
		var got []string
		for _, r := range c.want(200, "GET", "accounts?$select=name&$filter="+tt.filter, "").rows() {
			got = append(got, r["name"].(string))
		}
		if slices.Sort(got); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.filter, got, tt.want)
		}
	}
}
