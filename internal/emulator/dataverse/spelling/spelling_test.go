package spelling_test

import (
	"strings"
	"testing"

	"allod/internal/emulator/dataverse/spelling"
)

func TestURL(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"accounts", "accounts"},
		{"accounts?$select=name", "accounts?$select=name"},
		{"accounts?$select=name,&$expand=primarycontactid($select=fullname)", "accounts?$select=name&$expand=primarycontactid($select=fullname)"},
		{"accounts?$select=name,%20", "accounts?$select=name"},
		{"accounts(1)/opportunity_parent_account/?savedQuery=2", "accounts(1)/opportunity_parent_account?savedQuery=2"},
		{"accounts/", "accounts"},
		{"contacts?$filter=contains(fullname,'(sample)')%20&$top=1", "contacts?$filter=contains(fullname,'(sample)')&$top=1"},
		{"contacts?$filter=fullname%20eq%20'a,'", "contacts?$filter=fullname%20eq%20'a,'"},
		{"accounts?$expand=parentaccountid($select%20=%20createdon,%20name),Account_Tasks($top=%201)", "accounts?$expand=parentaccountid($select=createdon,%20name),Account_Tasks($top=1)"},
		{"steps(@id)?$select=name&@id=5", "steps(5)?$select=name&@id=5"},
		{"steps(@id)?$select=name", "steps(@id)?$select=name"},
		{"F(A=@a)?@a='it''s'", "F(A=@a)?@a='it''s'"},
		{"accounts?sql=SELECT+name+FROM+account+WHERE+name='a%2Bb'", "accounts?sql=SELECT%20name%20FROM%20account%20WHERE%20name='a%2Bb'"},
		{"accounts?tag", "accounts?tag"},
	} {
		if got := spelling.URL(tt.in); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.in, got, tt.want)
		}
	}
}

// What is spelt right already stays as it is.
func FuzzURL(f *testing.F) {
	f.Add("accounts(@id)/x/?$select=name,&@id=1&$filter=a%20")
	f.Add("accounts?$expand=a($select%20=%20b)")
	f.Fuzz(func(t *testing.T, in string) {
		once := spelling.URL(in)
		if strings.Contains(in, "(@") || strings.Contains(in, "//") || strings.HasSuffix(strings.SplitN(in, "?", 2)[0], "//") {
			return
		}
		if twice := spelling.URL(once); twice != once {
			t.Errorf("%q: first %q, then %q", in, once, twice)
		}
	})
}
