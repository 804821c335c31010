// Package sampleorg is one fictional company, product-neutral: its people,
// customers, products and plausible texts, the same for every emulator that
// starts from the same seed. Every name is invented; mail addresses end in
// .example (RFC 2606) and phone numbers use exchanges reserved for fiction.
package sampleorg

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Name of the company itself.
const Name = "Alpenrand Outdoor"

// Org makes things by number: the same seed and number give the same thing,
// nothing is kept. It may be used concurrently.
type Org struct{ seed uint64 }

// New returns the company of a seed.
func New(seed uint64) *Org { return &Org{seed: seed} }

// Rand returns the source of randomness of the i-th thing of a kind.
func (o *Org) Rand(kind string, i int) *rand.Rand {
	h := o.seed ^ 0x9e3779b97f4a7c15
	for _, c := range []byte(kind) {
		h = (h ^ uint64(c)) * 0x100000001b3
	}
	return rand.New(rand.NewPCG(h, uint64(i)))
}

// Person is somebody who appears in the data: a customer, a prospect or an
// employee.
type Person struct {
	First, Last, Full string
	Female            bool
	Email             string
	Phone, Mobile     string
	Title             string // job title
	Born              string // yyyy-mm-dd
	Address           Address
}

// Address is a postal address.
type Address struct{ Line1, Line2, City, State, PostalCode, Country string }

// Company is a customer or a supplier.
type Company struct {
	Name, Domain, Website, Email, Phone, Fax string
	Industry                                 int // 1..20
	Employees                                int
	Address                                  Address
}

// Product is something the company sells; Price in hundredths of its currency.
type Product struct {
	Number, Name, Description string
	Price                     int
}

// Person returns the i-th person. Neighbouring numbers never share a name.
func (o *Org) Person(i int) Person {
	r := o.Rand("person", i)
	l := &lists[(i+i/7)%len(lists)]
	if r.IntN(4) > 0 {
		l = &lists[0]
	}
	p := Person{Female: i%2 == 0}
	firsts := l.men
	if p.Female {
		firsts = l.women
	}
	p.First, p.Last = firsts[r.IntN(len(firsts))], l.lasts[(r.IntN(len(l.lasts))+i)%len(l.lasts)]
	p.Full = p.First + " " + p.Last
	p.Email = fmt.Sprintf("%s.%s%d@%s.example", ascii(p.First), ascii(p.Last), i, l.mail)
	p.Phone, p.Mobile = phone(r, l, i), phone(r, l, i+5000)
	p.Title = titles[r.IntN(len(titles))]
	p.Born = fmt.Sprintf("%04d-%02d-%02d", 1945+r.IntN(60), 1+r.IntN(12), 1+r.IntN(28))
	p.Address = o.address(r, l)
	return p
}

// Company returns the i-th company.
func (o *Org) Company(i int) Company {
	r := o.Rand("company", i)
	l := &lists[r.IntN(3)]
	a, b := companyA[i%len(companyA)], companyB[(i/len(companyA)+r.IntN(3)*7)%len(companyB)]
	c := Company{Name: a + " " + b + " " + l.form, Industry: 1 + r.IntN(20), Employees: 3 + r.IntN(900)}
	if i >= len(companyA) {
		c.Name = fmt.Sprintf("%s %s %d %s", a, b, i/len(companyA)+1, l.form)
	}
	c.Domain = fmt.Sprintf("%s-%s%d.example", ascii(a), ascii(b), i)
	c.Website, c.Email = "https://www."+c.Domain, "office@"+c.Domain
	c.Phone, c.Fax = phone(r, l, i+100), phone(r, l, i+200)
	c.Address = o.address(r, l)
	return c
}

// Product returns the i-th product.
func (o *Org) Product(i int) Product {
	r := o.Rand("product", i)
	what, kind := productA[i%len(productA)], productB[(i/len(productA)+r.IntN(4))%len(productB)]
	return Product{
		Number:      fmt.Sprintf("AL-%04d", 1000+i),
		Name:        what + " " + kind,
		Description: "The " + strings.ToLower(what) + " of the series " + kind + ". " + o.Text(r, 2),
		Price:       995 + 100*r.IntN(2400),
	}
}

func (o *Org) address(r *rand.Rand, l *locale) Address {
	c := l.cities[r.IntN(len(l.cities))]
	a := Address{Line1: fmt.Sprintf("%s %d", l.streets[r.IntN(len(l.streets))], 1+r.IntN(140)), City: c.name, State: c.state, PostalCode: c.code, Country: l.country}
	if r.IntN(5) == 0 {
		a.Line2 = fmt.Sprintf("Top %d", 1+r.IntN(30))
	}
	return a
}

// phone makes a number in a range kept free for fiction.
func phone(r *rand.Rand, l *locale, i int) string {
	return fmt.Sprintf(l.phone, r.IntN(90)+10, i%100)
}

// Text makes n plausible sentences.
func (o *Org) Text(r *rand.Rand, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(sentences[r.IntN(len(sentences))])
	}
	return b.String()
}

// Long makes text of exactly n characters.
func (o *Org) Long(r *rand.Rand, n int) string {
	var b strings.Builder
	for b.Len() < n {
		b.WriteString(sentences[r.IntN(len(sentences))])
		b.WriteByte(' ')
	}
	return b.String()[:n] // the sentences are ASCII
}

// Foreign makes a short text that is not written in Latin letters, or has
// characters outside the basic plane, combining marks or both directions.
func (o *Org) Foreign(r *rand.Rand) string { return foreign[r.IntN(len(foreign))] }

// Subject makes a subject line for a case, a mail or a task.
func (o *Org) Subject(r *rand.Rand) string {
	return subjectA[r.IntN(len(subjectA))] + " " + strings.ToLower(productA[r.IntN(len(productA))])
}

// ascii makes the local part of an address of a name.
func ascii(s string) string {
	var b strings.Builder
	for _, c := range strings.ToLower(s) {
		switch {
		case c >= 'a' && c <= 'z':
			b.WriteRune(c)
		case c == 'ä':
			b.WriteString("ae")
		case c == 'ö':
			b.WriteString("oe")
		case c == 'ü':
			b.WriteString("ue")
		case c == 'ß':
			b.WriteString("ss")
		case c == 'é' || c == 'è' || c == 'ě':
			b.WriteByte('e')
		case c == 'š':
			b.WriteByte('s')
		case c == 'á':
			b.WriteByte('a')
		}
	}
	if b.Len() == 0 {
		return "post"
	}
	return b.String()
}
