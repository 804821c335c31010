package ledger

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"strings"
	"time"

	"allod"
)

// Kind says what an entry records.
type Kind string

// The kinds of entries.
const (
	KindDecision Kind = "decision" // the gate was asked and answered
	KindAct      Kind = "act"      // something was done under a decision
)

// Entry is one record of the ledger. It is kept for ever and can be read by
// anyone who can read the store: it names nobody. Text for people is only
// committed to (see Seal).
type Entry struct {
	Time        time.Time        // UTC, whole milliseconds; zero = the time of Append
	Kind        Kind             // required
	Session     string           // opaque: ties acts to their decision; "" or lower-case hexadecimal
	Actor       string           // opaque: Ledger.Opaque("actor", …)
	Environment string           // opaque: Ledger.Opaque("environment", …); "" = none or all
	Action      string           // a word such as "read"
	Purpose     string           // a word such as "restore"; "" = not one that Allod ships
	Class       string           // "customer-data", "content" or ""
	Effect      string           // of a decision: "allow", "deny" or "gap"; of an act ""
	Counts      map[string]int64 // word → number, e.g. "rows": 40; at most 32
	Commitment  [32]byte         // SHA-256(salt ‖ text); zero = no text
}

// Opening is what lies behind a commitment. Whoever holds it can show that the
// text belongs to the entry; without it the commitment says nothing.
type Opening struct {
	Salt [16]byte `json:"salt"`
	Text []byte   `json:"text"`
}

// Seal commits to text: it returns the commitment for an Entry and what opens
// it. The ledger keeps only the commitment; who wants to show the text later
// has to keep the Opening.
func Seal(text []byte) (commitment [32]byte, o Opening, err error) {
	o.Text = bytes.Clone(text)
	if _, err := io.ReadFull(rand.Reader, o.Salt[:]); err != nil {
		return commitment, Opening{}, allod.Errorf(allod.Internal, "draw a salt: %w", err)
	}
	return o.Commitment(), o, nil
}

// Commitment returns SHA-256(salt ‖ text).
func (o Opening) Commitment() [32]byte {
	h := sha256.New()
	h.Write(o.Salt[:])
	h.Write(o.Text)
	return [32]byte(h.Sum(nil))
}

// Limits of an entry, checked before anything is stored or believed.
const (
	maxEntry  = 16 << 10
	maxCounts = 32
	maxWord   = 40
	maxOpaque = 64
	timeForm  = "2006-01-02T15:04:05.000Z"
)

// formatEntry is the first field of every entry; a reader refuses another.
const formatEntry = "allod ledger entry v1"

// wireEntry is the JSON of an entry; the order of the fields is the order of
// the bytes (FORMAT.md, Ledger).
type wireEntry struct {
	Format      string           `json:"format"`
	Vault       string           `json:"vault"`
	N           int64            `json:"n"`
	ID          string           `json:"id"`
	Before      string           `json:"before"`
	Time        string           `json:"time"`
	Kind        Kind             `json:"kind"`
	Session     string           `json:"session,omitempty"`
	Actor       string           `json:"actor,omitempty"`
	Environment string           `json:"environment,omitempty"`
	Action      string           `json:"action"`
	Purpose     string           `json:"purpose,omitempty"`
	Class       string           `json:"class,omitempty"`
	Effect      string           `json:"effect,omitempty"`
	Counts      map[string]int64 `json:"counts,omitempty"`
	Commitment  string           `json:"commitment,omitempty"`
}

// Check refuses, as Invalid, what could carry names or content into the ledger.
func (e Entry) Check() error {
	bad := func(what string) error {
		return allod.Errorf(allod.Invalid, "make a ledger entry: %s", what)
	}
	switch e.Kind {
	case KindDecision:
		if e.Effect != "allow" && e.Effect != "deny" && e.Effect != "gap" {
			return bad("a decision has the effect allow, deny or gap")
		}
	case KindAct:
		if e.Effect != "" {
			return bad("an act has no effect")
		}
	default:
		return bad("unknown kind of entry")
	}
	if !word(e.Action) {
		return bad("the action is not a word of a-z, 0-9, - and _")
	}
	for _, w := range []string{e.Purpose, e.Class} {
		if w != "" && !word(w) {
			return bad("purpose and class are words of a-z, 0-9, - and _")
		}
	}
	for _, s := range []string{e.Session, e.Actor, e.Environment} {
		if !opaque(s) {
			return bad("session, actor and environment are opaque: lower-case hexadecimal")
		}
	}
	if len(e.Counts) > maxCounts {
		return bad("too many counts")
	}
	for k := range e.Counts {
		if !word(k) {
			return bad("the name of a count is not a word of a-z, 0-9, - and _")
		}
	}
	if y := e.Time.UTC().Year(); y < 1970 || y > 9999 {
		return bad("the time lies outside the years 1970 to 9999")
	}
	return nil
}

func word(s string) bool {
	if s == "" || len(s) > maxWord || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func opaque(s string) bool {
	if len(s) > maxOpaque {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// text returns the canonical JSON line of the entry as number n after the tree
// with the given root; id makes it unlike every other attempt.
func (e Entry) text(vault allod.GUID, n int64, before [32]byte, id [16]byte) ([]byte, error) {
	if err := e.Check(); err != nil {
		return nil, err
	}
	w := wireEntry{
		Format: formatEntry, Vault: vault.String(), N: n, ID: hex.EncodeToString(id[:]),
		Before: hex.EncodeToString(before[:]), Time: e.Time.UTC().Format(timeForm), Kind: e.Kind,
		Session: e.Session, Actor: e.Actor, Environment: e.Environment, Action: e.Action,
		Purpose: e.Purpose, Class: e.Class, Effect: e.Effect, Counts: e.Counts,
	}
	if e.Commitment != [32]byte{} {
		w.Commitment = hex.EncodeToString(e.Commitment[:])
	}
	b, err := json.Marshal(w)
	if err != nil {
		return nil, allod.Errorf(allod.Internal, "make a ledger entry: %w", err)
	}
	return append(b, '\n'), nil
}

// parsed is an entry together with what places it in the ledger.
type parsed struct {
	Entry
	vault  allod.GUID
	n      int64
	id     [16]byte
	before [32]byte
}

// parseText reads what text wrote and nothing else: any other spelling of the
// same entry is Corrupt, a newer format Invalid.
func parseText(b []byte) (parsed, error) {
	bad := func(what string) (parsed, error) {
		return parsed{}, allod.Errorf(allod.Corrupt, "read a ledger entry: %s", what)
	}
	if len(b) > maxEntry {
		return bad("too long")
	}
	var head struct {
		Format string `json:"format"`
	}
	if json.Unmarshal(b, &head) == nil && head.Format != formatEntry && strings.HasPrefix(head.Format, "allod ledger entry v") {
		return parsed{}, allod.WithHint(allod.Errorf(allod.Invalid, "read a ledger entry: it has another format, and this program reads %q", formatEntry), "Use a newer version of Allod for this vault.")
	}
	var w wireEntry
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&w); err != nil {
		return bad("not the JSON of an entry")
	}
	if w.Format != formatEntry {
		return bad("another format")
	}
	var p parsed
	var err error
	if p.vault, err = allod.ParseGUID(w.Vault); err != nil {
		return bad("vault id")
	}
	if w.N < 0 {
		return bad("number")
	}
	p.n = w.N
	if !unhex(p.id[:], w.ID) || !unhex(p.before[:], w.Before) {
		return bad("id or tree hash")
	}
	if w.Commitment != "" && !unhex(p.Commitment[:], w.Commitment) {
		return bad("commitment")
	}
	if p.Time, err = time.Parse(timeForm, w.Time); err != nil {
		return bad("time")
	}
	p.Kind, p.Session, p.Actor, p.Environment = w.Kind, w.Session, w.Actor, w.Environment
	p.Action, p.Purpose, p.Class, p.Effect, p.Counts = w.Action, w.Purpose, w.Class, w.Effect, w.Counts
	again, err := p.text(p.vault, p.n, p.before, p.id)
	if err != nil {
		return bad("not what an entry may say")
	}
	if !bytes.Equal(again, b) {
		return bad("not in canonical form")
	}
	return p, nil
}

func unhex(dst []byte, s string) bool {
	if len(s) != 2*len(dst) {
		return false
	}
	_, err := hex.Decode(dst, []byte(s))
	return err == nil
}
