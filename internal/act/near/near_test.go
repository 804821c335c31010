package near

import "testing"

func TestOf(t *testing.T) {
	tables := []string{"account", "contact", "incident", "task"}
	for name, want := range map[string]string{
		"acount": "account", "Account": "account", "contatc": "contact", "tsk": "task", "": "", "opportunity": "", "incidents": "incident", "accccount": "account", "acccccount": "",
	} {
		if got := Of(name, tables); got != want {
			t.Errorf("Of(%q): got %q, want %q", name, got, want)
		}
	}
}
