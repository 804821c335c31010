package cascade

import "testing"

func TestGuess(t *testing.T) {
	for _, x := range []struct{ one, many, column, delete, merge string }{
		{"account", "contact", "parentcustomerid", "Cascade", "Cascade"},
		{"account", "account", "parentaccountid", "RemoveLink", "Cascade"},
		{"account", "account", "masterid", "RemoveLink", "NoCascade"},
		{"contact", "activityparty", "partyid", "RemoveLink", "NoCascade"},
		{"incident", "annotation", "objectid", "Cascade", "Cascade"},
		{"systemuser", "account", "createdby", "NoCascade", "NoCascade"},
		{"owner", "account", "ownerid", "NoCascade", "NoCascade"},
		{"product", "quotedetail", "productid", "Restrict", "NoCascade"},
		{"quote", "quotedetail", "quoteid", "Cascade", "NoCascade"},
	} {
		if got := Guess(x.one, x.many, x.column); got.Delete != x.delete || got.Merge != x.merge {
			t.Errorf("%s.%s to %s: got delete %s, merge %s; want %s, %s", x.many, x.column, x.one, got.Delete, got.Merge, x.delete, x.merge)
		}
	}
}
