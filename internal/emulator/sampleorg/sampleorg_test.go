package sampleorg

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestSameSeedSamePeople(t *testing.T) {
	a, b, other := New(7), New(7), New(8)
	same := true
	for i := range 200 {
		if a.Person(i) != b.Person(i) || a.Company(i) != b.Company(i) || a.Product(i) != b.Product(i) {
			t.Fatalf("number %d differs between two companies of one seed", i)
		}
		same = same && a.Person(i) == other.Person(i)
	}
	if same {
		t.Error("another seed gives the same people")
	}
}

func TestInventedAddresses(t *testing.T) {
	o := New(1)
	mails := map[string]bool{}
	for i := range 2000 {
		p := o.Person(i)
		if !strings.HasSuffix(p.Email, ".example") || p.First == "" || p.Last == "" || p.Phone == "" || !utf8.ValidString(p.Full) {
			t.Fatalf("person %d: %+v", i, p)
		}
		if mails[p.Email] {
			t.Fatalf("person %d has the mail address of another: %s", i, p.Email)
		}
		mails[p.Email] = true
	}
	names := map[string]bool{}
	for i := range 1000 {
		c := o.Company(i)
		if names[c.Name] || !strings.HasSuffix(c.Domain, ".example") {
			t.Fatalf("company %d: %+v", i, c)
		}
		names[c.Name] = true
	}
}

func TestLong(t *testing.T) {
	o := New(1)
	if got := len(o.Long(o.Rand("x", 0), 4000)); got != 4000 {
		t.Errorf("length: got %d, want 4000", got)
	}
}
