package gate

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"allod"
	"allod/internal/ledger"
)

func testNow() time.Time { return time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC) }

func newGate(t testing.TB, d Decider) (*Gate, *ledger.Ledger, *memory) {
	t.Helper()
	m := &memory{objects: map[string][]byte{}}
	l, err := ledger.Open(context.Background(), ledger.Config{
		Store: m, Vault: allod.GUID{1}, Key: ed25519.NewKeyFromSeed(make([]byte, 32)), Now: testNow, Pseudonyms: [32]byte{1},
	})
	if err != nil {
		t.Fatal(err)
	}
	return New(d, l, testNow), l, m
}

func request(purpose allod.Purpose, class allod.DataClass) Request {
	return Request{Actor: "os:alice", Action: ActionRead, Purpose: purpose, Resource: Resource{Environment: "contoso", Class: class}}
}

// TestMatrix is mission §1 cell by cell, then the customer's own instructions.
func TestMatrix(t *testing.T) {
	yes, no := Allow, Deny
	tests := []struct {
		purpose               allod.Purpose
		use                   string
		customerData, content Effect
	}{
		{"operate", "Operating and troubleshooting the service", yes, yes},
		{"security", "Security, spam and malware prevention", yes, yes},
		{"service-communications", "Service communications (to administrators)", yes, no},
		{"improve", "Improving the purchased services", no, no},
		{"advertise", "Advertising", no, no},
		{"voluntary-disclosure", "Voluntary disclosure to law enforcement", no, no},
		{"direct-marketing", "Direct marketing", no, no},
		{"restore", "Restoring the customer's own data", yes, yes},
		{"troubleshoot", "Looking into the customer's own data", yes, yes},
		{"answer-request", "Answering a request of a data subject", yes, yes},
		{"litigation", "Litigation and legal hold", yes, yes},
	}
	if got, want := len(ShippedRules()), 2*len(tests); got != want {
		t.Errorf("%d rules, want %d", got, want)
	}
	g, l, _ := newGate(t, ShippedMatrix())
	for _, test := range tests {
		for class, want := range map[allod.DataClass]Effect{allod.ClassCustomerData: test.customerData, allod.ClassContent: test.content} {
			t.Run(fmt.Sprintf("%s, %s", test.purpose, class), func(t *testing.T) {
				r := request(test.purpose, class)
				d := ShippedMatrix().Decide(r)
				if d.Effect != want {
					t.Errorf("effect %v, want %v", d.Effect, want)
				}
				if len(d.Reasons) != 1 || !strings.Contains(d.Reasons[0], test.use) || !strings.Contains(d.Reasons[0], className(class)) {
					t.Errorf("reasons %q name not the use %q and the class", d.Reasons, test.use)
				}
				s, err := g.Open(t.Context(), r)
				if (err == nil) != (want == Allow) || (s.Allows("contoso", "account") == nil) != (want == Allow) {
					t.Errorf("open: %v", err)
				}
				if err != nil && (allod.KindOf(err) != allod.Denied || !strings.Contains(err.Error(), test.use)) {
					t.Errorf("open: %v", err)
				}
				n, _ := l.Root()
				e, err := l.Get(t.Context(), n-1)
				if err != nil || e.Effect != want.String() || e.Purpose != string(test.purpose) || e.Class != string(class) || e.Action != "read" {
					t.Errorf("recorded %+v, %v", e, err)
				}
			})
		}
	}
}

func TestGaps(t *testing.T) {
	good := request(allod.PurposeRestore, allod.ClassContent)
	tests := map[string]func(r *Request){
		"no policy knows this purpose":                 func(r *Request) { r.Purpose = "curiosity of Alice" },
		"no purpose":                                   func(r *Request) { r.Purpose = "" },
		"the class of the data is not described":       func(r *Request) { r.Resource.Class = "" },
		"nobody is named as the actor":                 func(r *Request) { r.Actor = " " },
		"the action is not one that Allod knows":       func(r *Request) { r.Action = "sell" },
		"the environment is not named":                 func(r *Request) { r.Resource.Environment = "" },
		"a forbidden purpose and an undescribed class": func(r *Request) { r.Purpose, r.Resource.Class = allod.PurposeAdvertise, "x" },
	}
	g, l, m := newGate(t, ShippedMatrix())
	for name, harm := range tests {
		t.Run(name, func(t *testing.T) {
			r := good
			harm(&r)
			d := ShippedMatrix().Decide(r)
			if d.Effect != Gap || len(d.Reasons) == 0 || !slices.IsSorted(d.Reasons) {
				t.Errorf("decision %+v, want a gap with sorted reasons", d)
			}
			s, err := g.Open(t.Context(), r)
			if allod.KindOf(err) != allod.Denied || s.Allows("contoso", "") == nil || allod.HintOf(err) == "" {
				t.Errorf("open: %v", err)
			}
			n, _ := l.Root()
			if e, err := l.Get(t.Context(), n-1); err != nil || e.Effect != "gap" {
				t.Errorf("recorded %+v, %v", e, err)
			}
		})
	}
	for name, b := range m.objects {
		if bytes.Contains(bytes.ToLower(b), []byte("alice")) || bytes.Contains(b, []byte("contoso")) || bytes.Contains(b, []byte("sell")) {
			t.Errorf("%s names what it must not: %s", name, b)
		}
	}
	everything := Request{Purpose: "a", Action: "b"}
	if d := ShippedMatrix().Decide(everything); len(d.Reasons) != 5 {
		t.Errorf("reasons %q, want all five", d.Reasons)
	}
}

func TestZeroSessionDenies(t *testing.T) {
	var s Session
	g, l, _ := newGate(t, ShippedMatrix())
	for name, err := range map[string]error{
		"allows": s.Allows("contoso", "account"), "content": s.AllowsContent("contoso", "account"), "all": s.Allows(AllEnvironments, ""),
		"action": s.AllowsAction(ActionRead), "act": g.Act(t.Context(), s, "read", nil),
	} {
		if allod.KindOf(err) != allod.Denied {
			t.Errorf("%s: %v, want Denied", name, err)
		}
	}
	if s.Actor() != "" || s.Purpose() != "" || s.ID() != "" || s.Action() != "" || s.Ledger() != (ledger.Head{}) || !s.Vault().IsZero() || s.Reasons() != nil {
		t.Error("the zero session says something")
	}
	if n, _ := l.Root(); n != 0 {
		t.Errorf("%d entries", n)
	}
}

func TestScope(t *testing.T) {
	g, _, _ := newGate(t, ShippedMatrix())
	open := func(env, table string, class allod.DataClass) Session {
		r := request(allod.PurposeRestore, class)
		r.Resource.Environment, r.Resource.Table = env, table
		s, err := g.Open(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	content, data := allod.ClassContent, allod.ClassCustomerData
	tests := []struct {
		name              string
		s                 Session
		env, table        string
		allowed, contents bool
	}{
		{"table of environment", open("contoso", "", content), "contoso", "account", true, true},
		{"all tables", open("contoso", "", content), "contoso", "", true, true},
		{"other environment", open("contoso", "", content), "fabrikam", "account", false, false},
		{"all of one", open("contoso", "", content), AllEnvironments, "account", false, false},
		{"one table", open("contoso", "account", content), "contoso", "account", true, true},
		{"another table", open("contoso", "account", content), "contoso", "contact", false, false},
		{"all tables of one", open("contoso", "account", content), "contoso", "", false, false},
		{"every environment", open(AllEnvironments, "", content), "fabrikam", "account", true, true},
		{"customer data only", open("contoso", "", data), "contoso", "account", true, false},
	}
	for _, test := range tests {
		if got := test.s.Allows(test.env, test.table) == nil; got != test.allowed {
			t.Errorf("%s: allows %v, want %v", test.name, got, test.allowed)
		}
		if got := test.s.AllowsContent(test.env, test.table) == nil; got != test.contents {
			t.Errorf("%s: allows content %v, want %v", test.name, got, test.contents)
		}
	}
	s := tests[0].s
	if s.AllowsAction(ActionExport, ActionRead) != nil || allod.KindOf(s.AllowsAction(ActionErase)) != allod.Denied {
		t.Error("actions are confused")
	}
	if s.Actor() != "os:alice" || s.Purpose() != allod.PurposeRestore || len(s.ID()) != 32 || s.Vault() != (allod.GUID{1}) || len(s.Reasons()) != 1 {
		t.Error("the session does not say what it is")
	}
}

func TestRecordedBeforeAllowed(t *testing.T) {
	g, l, m := newGate(t, ShippedMatrix())
	r := request(allod.PurposeRestore, allod.ClassContent)

	m.down = true
	s, err := g.Open(t.Context(), r)
	if allod.KindOf(err) != allod.Unavailable || allod.HintOf(err) == "" || s.Allows("contoso", "") == nil {
		t.Errorf("open without a ledger: %v", err)
	}
	m.down = false

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s, err = g.Open(ctx, r)
	if err != nil {
		t.Fatalf("open when cancelled: %v", err)
	}
	if err := g.Act(ctx, s, "rows-shown", map[string]int64{"rows": 40}); err != nil {
		t.Errorf("act when cancelled: %v", err)
	}
	if n, _ := l.Root(); n != 2 {
		t.Fatalf("%d entries, want 2", n)
	}
	decision, err := l.Get(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	act, err := l.Get(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if decision.Session != s.ID() || act.Session != s.ID() || act.Kind != ledger.KindAct || act.Action != "rows-shown" || act.Counts["rows"] != 40 || act.Actor != decision.Actor {
		t.Errorf("recorded %+v and %+v", decision, act)
	}
	if s.Opening().Commitment() != decision.Commitment || !json.Valid(s.Opening().Text) || !bytes.Contains(s.Opening().Text, []byte("os:alice")) {
		t.Error("the opening does not open the decision's commitment")
	}
	if err := g.Act(t.Context(), s, "showed rows of Alice", nil); allod.KindOf(err) != allod.Invalid {
		t.Errorf("act with free text: %v", err)
	}
	m.down = true
	if err := g.Act(t.Context(), s, "rows-shown", nil); allod.KindOf(err) != allod.Unavailable {
		t.Errorf("act without a ledger: %v", err)
	}
}

func TestSessionKnowsTheLedger(t *testing.T) {
	g, l, _ := newGate(t, ShippedMatrix())
	for n := int64(1); n <= 2; n++ {
		s, err := g.Open(t.Context(), request(allod.PurposeRestore, allod.ClassContent))
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Ledger(); got.Size != n || got != l.Head() {
			t.Errorf("head of the ledger after decision %d: got %+v, want %+v", n, got, l.Head())
		}
	}
}

func TestSessionOfAnotherVault(t *testing.T) {
	g, _, _ := newGate(t, ShippedMatrix())
	s, err := g.Open(t.Context(), request(allod.PurposeRestore, allod.ClassContent))
	if err != nil {
		t.Fatal(err)
	}
	s.grant.vault = allod.GUID{2}
	if err := g.Act(t.Context(), s, "rows-shown", nil); allod.KindOf(err) != allod.Denied {
		t.Errorf("act: %v, want Denied", err)
	}
}

type fixed Decision

func (f fixed) Decide(Request) Decision { return Decision(f) }

func TestOddDeciders(t *testing.T) {
	r := request(allod.PurposeRestore, allod.ClassContent)
	tests := map[string]*Gate{}
	for name, d := range map[string]fixed{
		"says nothing":         {},
		"an unknown effect":    {Effect: 9},
		"allows with an error": {Effect: Allow, Errors: []string{"rule 7 could not be evaluated"}},
	} {
		tests[name], _, _ = newGate(t, d)
	}
	tests["none"], _, _ = newGate(t, nil)
	tests["no ledger"] = New(ShippedMatrix(), nil, testNow)
	tests["nil"] = nil
	for name, g := range tests {
		if s, err := g.Open(t.Context(), r); allod.KindOf(err) != allod.Denied || s.Allows("contoso", "") == nil {
			t.Errorf("%s: %v, want Denied", name, err)
		}
	}
}

func TestConcurrentSessions(t *testing.T) {
	g, l, _ := newGate(t, ShippedMatrix())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := g.Open(context.Background(), request(allod.PurposeOperate, allod.ClassContent))
			if err == nil {
				err = g.Act(context.Background(), s, "rows-stored", nil)
			}
			if err != nil {
				t.Errorf("open and act: %v", err)
			}
		})
	}
	wg.Wait()
	if n, _ := l.Root(); n != 16 {
		t.Errorf("%d entries, want 16", n)
	}
}

// TestNothingIsAllowedOutsideTheMatrix asks at random: an answer is yes only
// where a rule of the data says so.
func TestNothingIsAllowedOutsideTheMatrix(t *testing.T) {
	var purposes []string
	allowed := map[string]bool{}
	for _, r := range ShippedRules() {
		purposes = append(purposes, string(r.Purpose))
		allowed[string(r.Purpose)+"/"+string(r.Class)] = r.Allow
	}
	rapid.Check(t, func(t *rapid.T) {
		r := request(
			allod.Purpose(rapid.OneOf(rapid.SampledFrom(purposes), rapid.String()).Draw(t, "purpose")),
			allod.DataClass(rapid.OneOf(rapid.SampledFrom([]string{"content", "customer-data", ""}), rapid.String()).Draw(t, "class")))
		got := ShippedMatrix().Decide(r).Effect == Allow
		if want := allowed[string(r.Purpose)+"/"+string(r.Resource.Class)]; got != want {
			t.Fatalf("allowed %v, want %v", got, want)
		}
	})
}
