package approve

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"allod"
)

// Needed is how many people every Act needs.
const Needed = 2

// ahead is how far in the future a request may lie: clocks of machines differ.
const ahead = 5 * time.Minute

// Outcome is the answer to a request. Granted says whether the act may be done
// now; Reasons say why, one sentence each, in an order that is always the same;
// Missing says what would grant it, and is empty when nothing can (a new request
// is needed then) or when nothing has to.
type Outcome struct {
	Granted bool `json:"granted"`
	// OnePerson says that fewer than two people are registered, so that two
	// cannot be asked for: whatever is done under the request has to say so.
	OnePerson bool     `json:"one_person"`
	People    []Person `json:"people"` // whose signatures count, by name
	Missing   []string `json:"missing,omitempty"`
	Reasons   []string `json:"reasons"`
}

// Person is somebody whose signature counts.
type Person struct {
	User allod.GUID `json:"user"`
	Name string     `json:"name"`
	Key  string     `json:"key"` // fingerprint
	At   time.Time  `json:"at"`  // UTC, when it was handed in
}

// Decide says whether the act may be done with this plan: a pure function. The
// request must be for the plan and the vault, not spent, not expired; and where
// two or more people are registered, two of them must have signed it, each with a
// key of their own. Who asks may be one of the two. Signatures of people who were
// removed, of keys that two people registered, and of other texts do not count.
// Order and repetition of approvals and users do not matter.
func Decide(vault allod.GUID, r Request, plan Digest, approvals []Approval, users []User, now time.Time) Outcome {
	var o Outcome
	o.Reasons = unfit(r, plan, now)
	active := activeUsers(users)
	people, ignored := whoSigned(vault, r, approvals, active)
	o.People = people
	fit := len(o.Reasons) == 0
	o.Reasons = append(o.Reasons, ignored...)
	switch {
	case len(active) < Needed:
		o.OnePerson = true
		o.Reasons = append(o.Reasons, fmt.Sprintf("one person: %d of the two or more people that two-person acts need are registered", len(active)))
		o.Granted = fit
	case len(people) >= Needed:
		o.Reasons = append(o.Reasons, fmt.Sprintf("%d of the %d people needed have signed", len(people), Needed))
		o.Granted = fit
	default:
		o.Reasons = append(o.Reasons, fmt.Sprintf("%d of the %d people needed have signed", len(people), Needed))
		if fit {
			o.Missing = missing(people, active)
		}
	}
	return o
}

// unfit says why nothing can be done under the request, whoever signed it.
func unfit(r Request, plan Digest, now time.Time) []string {
	var why []string
	if r.Check() != nil {
		why = append(why, "the request is not one that can be signed")
	}
	if plan != r.Plan {
		why = append(why, "the plan is not the one that was asked for: it has changed since")
	}
	if !r.Spent.IsZero() {
		why = append(why, "it was done already under this request, on "+r.Spent.UTC().Format(time.RFC3339))
	}
	if !now.Before(r.Expires) {
		why = append(why, "the request expired on "+r.Expires.UTC().Format(time.RFC3339))
	}
	if r.At.After(now.Add(ahead)) {
		why = append(why, "the request was made later than now: a clock is wrong")
	}
	return why
}

// activeUsers returns each user who may approve once, by id.
func activeUsers(users []User) []User {
	var out []User
	for _, u := range users {
		if u.Active() && !slices.ContainsFunc(out, func(o User) bool { return o.ID == u.ID }) {
			out = append(out, u)
		}
	}
	slices.SortFunc(out, func(a, b User) int { return slices.Compare(a.ID[:], b.ID[:]) })
	return out
}

// whoSigned returns the people whose signatures count, each once, and why others
// do not.
func whoSigned(vault allod.GUID, r Request, approvals []Approval, active []User) (people []Person, ignored []string) {
	statement := r.Statement(vault)
	for _, a := range approvals {
		if a.Request != r.ID {
			continue
		}
		i := slices.IndexFunc(active, func(u User) bool { return u.ID == a.User })
		if i < 0 {
			ignored = append(ignored, "a signature does not count: who gave it is not registered")
			continue
		}
		u := active[i]
		k, err := countingKey(statement, a, u, active)
		if err != nil {
			ignored = append(ignored, fmt.Sprintf("a signature of %s does not count: %v", u.Name, err))
			continue
		}
		if at := slices.IndexFunc(people, func(p Person) bool { return p.User == u.ID }); at < 0 {
			people = append(people, Person{User: u.ID, Name: u.Name, Key: k.Fingerprint(), At: a.At.UTC()})
		} else if p := &people[at]; a.At.Before(p.At) || a.At.Equal(p.At) && k.Fingerprint() < p.Key {
			p.At, p.Key = a.At.UTC(), k.Fingerprint()
		}
	}
	slices.SortFunc(people, func(a, b Person) int {
		return slices.Compare([]string{a.Name, a.User.String()}, []string{b.Name, b.User.String()})
	})
	slices.Sort(ignored)
	return people, slices.Compact(ignored)
}

// countingKey returns the key of the user that signed, if its signature counts.
func countingKey(statement []byte, a Approval, u User, active []User) (Key, error) {
	k, err := ParseSignature(a.Signature)
	if err != nil {
		return "", err
	}
	if !slices.Contains(u.Keys, k) {
		return "", allod.Errorf(allod.Denied, "the key is not theirs")
	}
	for _, other := range active {
		if other.ID != u.ID && slices.Contains(other.Keys, k) {
			return "", allod.Errorf(allod.Denied, "the key is registered for two people")
		}
	}
	return k, Verify(statement, a.Signature, k)
}

// missing says whose signatures would grant the request.
func missing(people []Person, active []User) []string {
	var names []string
	for _, u := range active {
		if !slices.ContainsFunc(people, func(p Person) bool { return p.User == u.ID }) {
			names = append(names, u.Name)
		}
	}
	slices.Sort(names)
	n := Needed - len(people)
	what := "the signature of one of: "
	if n > 1 {
		what = fmt.Sprintf("the signatures of %d of: ", n)
	}
	return []string{what + strings.Join(names, ", ")}
}
