package dataverse

import (
	"testing"

	"allod/internal/source"
)

func TestTokenVersion(t *testing.T) {
	link := "https://x.crm.dynamics.com/api/data/v9.2/accounts?$select=name&$deltatoken="
	for _, tt := range []struct {
		name string
		c    source.Cursor
		want uint64
	}{
		{"of a delta", cursor(source.CursorDelta, token{Link: link + "919042%2108%2f22%2f2017%2008%3a10%3a44"}), 919042},
		{"of a page", cursor(source.CursorNext, token{Link: link + "919042%2108%2f22%2f2017%2008%3a10%3a44"}), 0},
		{"another form", cursor(source.CursorDelta, token{Link: link + "abc"}), 0},
		{"no cursor", source.Cursor{}, 0},
		{"another's", source.Cursor{Kind: source.CursorDelta, Token: "x"}, 0},
	} {
		if got := (&Source{}).TokenVersion(tt.c); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
}
