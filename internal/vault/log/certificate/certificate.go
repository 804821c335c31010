// Package certificate is what somebody gets who asked for an erasure, or for a
// rectification: a signed statement of what was destroyed where and when, what is still pending, and what
// is left. Whoever has the vault object can check it, without a network, a key or
// the rest of Allod; a stranger's verifier is built from it. The bytes are
// described in FORMAT.md, "Certificate".
//
// It is evidence under stated assumptions, not a proof that no copy exists: it
// names the places that were counted.
package certificate

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"allod"
	"allod/internal/ledger"
	vlog "allod/internal/vault/log"
)

// The first field of every certificate, by what it is of; a reader refuses
// others.
const (
	Format          = "allod certificate of erasure v1"
	FormatRectified = "allod certificate of rectification v1"
)

const (
	signed  = "allod certificate v1\n" // goes before the signed bytes
	maxFile = 16 << 20                 // bytes
	maxTags = 100_000
	maxList = 1000 // of places, pending items, lines of residue
	maxText = 500  // characters of a text
)

// The forms of what is certified (design/rights.md).
const (
	Forget     = "forget"      // the key is gone, whatever comes
	ForgetPast = "forget-past" // what was stored until then is gone; what comes is admitted
	Rectify    = "rectify"     // what was stored until then was stored anew, corrected, and what it was before is gone
)

// The actions of the ledger that a certificate's proof may show.
const (
	ActErased    = "erased"        // the keys were destroyed in the log
	ActRectified = "rectified"     // so were those of versions that were stored anew
	ActFinal     = "erasure-final" // of either: no counted place has an older key any more
)

// Records is the count of the ledger's act that says how many records it was.
const Records = "records"

// Certificate says what became of one erasure or rectification. Times are UTC with whole seconds;
// zero = not yet, or not known. Texts are single lines.
type Certificate struct {
	Format  string     `json:"format"`
	Vault   allod.GUID `json:"vault"`
	Erasure allod.GUID `json:"erasure"` // id of the request
	Issued  time.Time  `json:"issued"`
	Asked   time.Time  `json:"asked"`
	Form    string     `json:"form"` // Forget, ForgetPast or Rectify
	Urgent  bool       `json:"urgent"`

	Tags     []Tag    `json:"tags"` // ascending, each once
	Approval Approval `json:"approval"`
	Puncture Puncture `json:"puncture"`

	Rectified *Rectified `json:"rectified,omitempty"` // with the form Rectify, and with no other

	Places  []Place  `json:"places"`  // where keys lay, in the order of the configuration
	Pending []Item   `json:"pending"` // what has to happen until it is final; empty = it is
	Kept    []Kept   `json:"kept"`    // where the person is still named, and why
	Residue []string `json:"residue"` // what is left of the records themselves
	// SlotHistory names the places that keep what is deleted from them and were
	// accepted all the same: whoever reads their history opens what was erased.
	SlotHistory []string `json:"slot_history"`

	Ledger ledger.Proof `json:"ledger"` // of the act ActErased or ActRectified, or ActFinal
	Signer vlog.Key     `json:"signer"` // of use erase, pinned
}

// Rectified says what was corrected in the record, and never the values. Where a
// process died between destroying the keys and noting what it had done, the
// numbers are zero: not known.
type Rectified struct {
	Columns    []string `json:"columns"`    // ascending, each once
	Values     string   `json:"values"`     // SHA-256 of the values with a salt, as approved: 64 hexadecimal digits
	Generation int      `json:"generation"` // of the record's keys, under which its versions stand from then on
	Versions   int64    `json:"versions"`   // stored anew, deletions included
	Corrected  int64    `json:"corrected"`  // of these, those that held another value
}

// Tag names a record for those who hold the index key and know its id, and for
// nobody else (FORMAT.md §4).
type Tag struct {
	Environment uint32 `json:"environment"`
	Table       uint32 `json:"table"`
	Tag         string `json:"tag"` // 32 hexadecimal digits
}

func (t Tag) compare(u Tag) int {
	return slices.Compare([]string{fmt.Sprintf("%010d%010d", t.Environment, t.Table), t.Tag}, []string{fmt.Sprintf("%010d%010d", u.Environment, u.Table), u.Tag})
}

// Approval says who agreed. Approvers are opaque: hexadecimal digits, the same
// for one person in every certificate of the vault.
type Approval struct {
	Request   allod.GUID `json:"request"`
	Plan      string     `json:"plan"` // SHA-256 that was signed, 64 hexadecimal digits
	OnePerson bool       `json:"one_person"`
	Approvers []string   `json:"approvers"` // ascending
}

// Puncture says how the keys were destroyed in the log: the entry is the commit
// point. Object is the entry itself, and holds no personal data.
type Puncture struct {
	Entry        uint64      `json:"entry"` // log number
	Digest       vlog.Digest `json:"digest"`
	Time         time.Time   `json:"time"` // of the entry
	Root         uint64      `json:"root"`
	EpochBefore  uint64      `json:"epoch_before"`
	Epoch        uint64      `json:"epoch"`
	AbsentBefore vlog.Digest `json:"absent_before"`
	AbsentAfter  vlog.Digest `json:"absent_after"`
	// Roots are the earlier roots of the key tree that it moved too, with the
	// digests of theirs; the keys were taken out of each.
	Roots  []vlog.Moved `json:"roots,omitempty"`
	Object []byte       `json:"object"`
}

// roots names the roots that moved, in words.
func (p *Puncture) roots() string {
	if len(p.Roots) == 0 {
		return fmt.Sprintf("root %d", p.Root)
	}
	var earlier []string
	for _, r := range p.Roots {
		earlier = append(earlier, strconv.FormatUint(r.Root, 10))
	}
	return fmt.Sprintf("roots %s and %d", strings.Join(earlier, ", "), p.Root)
}

// plural is the s of more than one thing beside another.
func plural(others int) string {
	if others > 0 {
		return "s"
	}
	return ""
}

// Place is a counted place of keys and what became of those from before the
// erasure.
type Place struct {
	Name        string    `json:"name"`
	Kind        string    `json:"kind"`  // e.g. folder, s3, exported
	Means       string    `json:"means"` // how they were destroyed, e.g. "deleted by version id"; "" = not yet
	Destroyed   time.Time `json:"destroyed,omitzero"`
	LatencyDays int       `json:"latency_days"` // until what was deleted is gone; -1 = nobody knows
	By          string    `json:"by,omitempty"` // opaque: who declared it destroyed; "" = Allod did it
}

// Item is something that is pending.
type Item struct {
	What  string    `json:"what"`
	Until time.Time `json:"until,omitzero"` // when it ends by itself; zero = somebody has to do something
	Next  string    `json:"next"`
}

// Kept is where the person is named in what stays.
type Kept struct {
	Table   string `json:"table"`
	Column  string `json:"column"`
	Records int64  `json:"records"`
	Ground  string `json:"ground"`
}

// Final reports whether nothing is pending but time, and when it is final: the
// latest of the puncture and of the days at which deleted keys are gone, which may
// still be to come.
func (c *Certificate) Final() (time.Time, bool) {
	at := c.Puncture.Time.Truncate(time.Second) // like all other times
	for _, p := range c.Places {
		if p.Destroyed.IsZero() || p.LatencyDays < 0 {
			return time.Time{}, false
		}
		if gone := p.Destroyed.AddDate(0, 0, p.LatencyDays); gone.After(at) {
			at = gone
		}
	}
	return at, len(c.Pending) == 0 && len(c.SlotHistory) == 0
}

// check refuses what no writer may write.
func (c *Certificate) check() error {
	bad := func(what string) error { return allod.Errorf(allod.Invalid, "certificate: %s", what) }
	switch {
	case c.Format != formatOf(c.Form) || c.Vault.IsZero() || c.Erasure.IsZero():
		return bad("format, vault or request is not named")
	case c.Form != Forget && c.Form != ForgetPast && c.Form != Rectify:
		return bad("unknown form of erasure")
	case (c.Form == Rectify) != (c.Rectified != nil) || !c.Rectified.fits():
		return bad("what was corrected is not described")
	case len(c.Tags) == 0 || len(c.Tags) > maxTags:
		return bad("no tags, or too many")
	case !slices.IsSortedFunc(c.Tags, Tag.compare) || len(slices.Compact(slices.Clone(c.Tags))) != len(c.Tags):
		return bad("tags are not in order, each once")
	case !isHex(c.Approval.Plan, 64) || !slices.IsSorted(c.Approval.Approvers):
		return bad("the approval is not described")
	case c.Approval.OnePerson == (len(c.Approval.Approvers) >= 2):
		return bad("two approvers, or one person: one of both")
	case len(slices.Compact(slices.Clone(c.Approval.Approvers))) != len(c.Approval.Approvers):
		return bad("an approver is named twice")
	case c.Puncture.Epoch <= c.Puncture.EpochBefore || c.Puncture.AbsentBefore == c.Puncture.AbsentAfter:
		return bad("the key tree has not moved")
	case len(c.Places) == 0:
		return bad("no place of keys is counted")
	case len(c.Places) > maxList || len(c.Pending) > maxList || len(c.Kept) > maxList || len(c.Residue) > maxList || len(c.SlotHistory) > maxList || len(c.Approval.Approvers) > maxList || len(c.Puncture.Roots) > maxList:
		return bad("a list is too long")
	case len(c.Residue) == 0:
		return bad("it does not say what is left")
	case !c.times():
		return bad("a time is not one of whole seconds in UTC")
	}
	for _, t := range c.Tags {
		if !isHex(t.Tag, 32) {
			return bad("a tag is not 32 hexadecimal digits")
		}
	}
	for _, a := range c.Approval.Approvers {
		if !isHex(a, len(a)) || len(a) < 16 || len(a) > 64 {
			return bad("an approver is not opaque")
		}
	}
	return c.checkTexts(bad)
}

// formatOf returns the first field of a certificate of that form.
func formatOf(form string) string {
	if form == Rectify {
		return FormatRectified
	}
	return Format
}

// fits reports whether it describes a correction; nil does, of nothing.
func (r *Rectified) fits() bool {
	return r == nil || len(r.Columns) > 0 && len(r.Columns) <= maxList && slices.IsSorted(r.Columns) && len(slices.Compact(slices.Clone(r.Columns))) == len(r.Columns) &&
		isHex(r.Values, 64) && r.Generation >= 0 && r.Generation < 256 && r.Corrected >= 0 && r.Corrected <= r.Versions
}

func (c *Certificate) checkTexts(bad func(string) error) error {
	texts := append(slices.Clone(c.Residue), c.SlotHistory...)
	if c.Rectified != nil {
		texts = append(texts, c.Rectified.Columns...)
	}
	for _, p := range c.Places {
		if !isHex(p.By, len(p.By)) || p.LatencyDays < -1 || p.LatencyDays > 36500 || (p.Means == "") != p.Destroyed.IsZero() {
			return bad("a place is not described")
		}
		texts = append(texts, p.Name, p.Kind)
		if p.Means != "" {
			texts = append(texts, p.Means)
		}
	}
	for _, p := range c.Pending {
		texts = append(texts, p.What, p.Next)
	}
	for _, k := range c.Kept {
		if k.Records < 0 {
			return bad("a negative number")
		}
		texts = append(texts, k.Table, k.Column, k.Ground)
	}
	for _, s := range texts {
		if s == "" || utf8.RuneCountInString(s) > maxText || !utf8.ValidString(s) || strings.ContainsFunc(s, hidden) {
			return bad(fmt.Sprintf("a text is not one line of at most %d characters that can all be seen", maxText))
		}
	}
	return nil
}

// times reports whether all times are whole seconds in UTC, and can be written.
func (c *Certificate) times() bool {
	all := []time.Time{c.Issued, c.Asked}
	for _, p := range c.Places {
		all = append(all, p.Destroyed)
	}
	for _, p := range c.Pending {
		all = append(all, p.Until)
	}
	for _, t := range all {
		if !t.Equal(t.Truncate(time.Second)) || t.Location() != time.UTC || t.Year() > 9999 {
			return false
		}
	}
	return !c.Issued.IsZero() && !c.Asked.IsZero() && !c.Puncture.Time.IsZero()
}

// hidden reports whether a reader would not see the character, or see others in
// its place.
func hidden(r rune) bool {
	return r != ' ' && !unicode.IsGraphic(r) || unicode.Is(unicode.Cf, r) || unicode.IsSpace(r) && r != ' '
}

func isHex(s string, n int) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(s) == n && hex.EncodeToString(b) == s
}

// Sign completes Format and Signer and returns the certificate as it is handed
// out: one line of JSON, one line with the signature by the key, which the vault
// pins for use erase. Invalid for a certificate that says what does not fit
// together.
func (c *Certificate) Sign(key ed25519.PrivateKey) ([]byte, error) {
	c.Format = formatOf(c.Form)
	c.Places, c.Pending, c.Kept = some(c.Places), some(c.Pending), some(c.Kept)
	c.Residue, c.SlotHistory, c.Approval.Approvers = some(c.Residue), some(c.SlotHistory), some(c.Approval.Approvers)
	copy(c.Signer[:], key.Public().(ed25519.PublicKey))
	if err := c.check(); err != nil {
		return nil, err
	}
	line, err := c.line()
	if err != nil {
		return nil, err
	}
	sig := ed25519.Sign(key, append([]byte(signed), line...))
	b := fmt.Appendf(line, "\n%s\n", base64.StdEncoding.EncodeToString(sig))
	if len(b) > maxFile {
		return nil, allod.Errorf(allod.Invalid, "certificate: more than %d bytes", maxFile)
	}
	return b, nil
}

// some is the list, never nil: it stands as [] in the JSON.
func some[T any](list []T) []T { return append([]T{}, list...) }

func (c *Certificate) line() ([]byte, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return nil, allod.Errorf(allod.Internal, "write a certificate: %w", err)
	}
	return b, nil
}

// Parse reads a certificate and checks its form and its own signature; whether
// that key counts, and whether what it says is so, is for Verify to say. A newer
// format is Invalid, anything else wrong Corrupt.
func Parse(b []byte) (*Certificate, error) {
	bad := func(what string) error { return allod.Errorf(allod.Corrupt, "read a certificate: %s", what) }
	if len(b) > maxFile {
		return nil, bad("too long")
	}
	line, rest, _ := bytes.Cut(b, []byte("\n"))
	var head struct {
		Format string `json:"format"`
	}
	if json.Unmarshal(line, &head) == nil && head.Format != Format && head.Format != FormatRectified && strings.HasPrefix(head.Format, "allod certificate of ") {
		return nil, allod.WithHint(allod.Errorf(allod.Invalid, "read a certificate: it has another format, and this program reads %q and %q", Format, FormatRectified), "Use a newer verifier.")
	}
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	c := new(Certificate)
	if err := dec.Decode(c); err != nil {
		return nil, bad("not the JSON of one")
	}
	if again, err := c.line(); err != nil || !bytes.Equal(again, line) {
		return nil, bad("not in canonical form")
	}
	if err := c.check(); err != nil {
		return nil, bad(err.Error())
	}
	text, ok := bytes.CutSuffix(rest, []byte("\n"))
	sig, err := base64.StdEncoding.Strict().DecodeString(string(text))
	if !ok || err != nil || len(text) != base64.StdEncoding.EncodedLen(ed25519.SignatureSize) {
		return nil, bad("it does not end in a signature")
	}
	if !ed25519.Verify(c.Signer[:], append([]byte(signed), line...), sig) {
		return nil, bad("its signature is not one of it")
	}
	return c, nil
}

// IsOne reports whether the bytes may be a certificate, of whatever version.
func IsOne(b []byte) bool {
	return bytes.HasPrefix(b, []byte(`{"format":"allod certificate of `))
}

// Verify reads a certificate and compares everything in it with what is pinned of
// the vault: its signer, the log entry of the puncture, the ledger's proof. It
// returns the checks in words, those that passed. Corrupt if one did not pass;
// errors otherwise as Parse.
func Verify(b []byte, pin vlog.Pin) (*Certificate, []string, error) {
	c, err := Parse(b)
	if err != nil {
		return nil, nil, err
	}
	bad := func(format string, args ...any) (*Certificate, []string, error) {
		return nil, nil, allod.Errorf(allod.Corrupt, "check a certificate: "+format, args...)
	}
	if c.Vault != pin.Vault {
		return bad("it is of the vault %s, not of %s", c.Vault, pin.Vault)
	}
	if !slices.ContainsFunc(pin.Keys(vlog.UseErase), func(k ed25519.PublicKey) bool { return bytes.Equal(k, c.Signer[:]) }) {
		return bad("whoever signed it may not erase in this vault")
	}
	kind, act := vlog.KindErase, ActErased
	if c.Form == Rectify {
		kind, act = vlog.KindRectify, ActRectified
	}
	p := c.Puncture
	e, digest, err := vlog.Decode(p.Object, p.Entry, pin)
	switch {
	case err != nil:
		return bad("its log entry: %w", err)
	case digest != p.Digest || sha256.Sum256(p.Object) != p.Digest:
		return bad("its log entry has another digest")
	case e.Kind != kind:
		return bad("its log entry is of kind %s, not of kind %s", e.Kind, kind)
	case e.Root != p.Root || e.Epoch != p.Epoch || e.AbsentBefore != p.AbsentBefore || e.AbsentAfter != p.AbsentAfter || !slices.Equal(e.Roots, p.Roots) || !e.Time.Equal(p.Time):
		return bad("its log entry says something else than it does")
	case e.Run != strings.ReplaceAll(c.Erasure.String(), "-", ""):
		return bad("its log entry belongs to another erasure")
	}
	entry, head, err := c.Ledger.Check(pin.Vault, pin.Keys(vlog.UseLedger))
	switch {
	case err != nil:
		return bad("its ledger proof: %w", err)
	case entry.Kind != ledger.KindAct || entry.Action != act && entry.Action != ActFinal:
		return bad("its ledger entry records something else than it does")
	case entry.Counts[Records] != int64(len(c.Tags)):
		return bad("its ledger entry records %d records, it names %d", entry.Counts[Records], len(c.Tags))
	case c.Ledger.Index < e.Ledger.Size:
		return bad("its ledger entry is older than the erasure")
	}
	passed := []string{
		"signed by a key that may erase in this vault",
		fmt.Sprintf("log entry %d, signed, moves %s from epoch %d to %d and changes the absent list%s", p.Entry, p.roots(), p.EpochBefore, p.Epoch, plural(len(p.Roots))),
		fmt.Sprintf("ledger entry %d records it (%s), in the ledger of %d entries", c.Ledger.Index, entry.Action, head.Size),
	}
	if c.Form == Rectify {
		passed[1] += fmt.Sprintf("; what was stored anew lies in %d object%s that it names", len(e.Objects), plural(len(e.Objects)-1))
	}
	return c, passed, nil
}

// InLog compares the certificate with the log of the vault, entry by entry: that
// the entry of the puncture stands in its chain, that the epoch before it was the
// one it names, and that no later entry goes back behind it. Entries are asked
// for by number, from 1, until one is missing (nil and nil). Corrupt if anything
// does not fit.
func (c *Certificate) InLog(pin vlog.Pin, object func(n uint64) ([]byte, error)) (entries uint64, err error) {
	var chain vlog.Chain
	found := false
	for n := uint64(1); ; n++ {
		b, err := object(n)
		if err != nil {
			return chain.N, err
		}
		if b == nil {
			break
		}
		e, digest, err := vlog.Decode(b, n, pin)
		if err != nil {
			return chain.N, err
		}
		if n == c.Puncture.Entry {
			if digest != c.Puncture.Digest || chain.Epoch() != c.Puncture.EpochBefore {
				return chain.N, allod.Errorf(allod.Corrupt, "check a certificate: the log has another entry %d, or another epoch before it", n)
			}
			found = true
		}
		if err := chain.Add(e, digest); err != nil {
			return chain.N, err
		}
	}
	if !found {
		return chain.N, allod.Errorf(allod.Corrupt, "check a certificate: the log ends with entry %d, before that of the erasure", chain.N)
	}
	return chain.N, nil
}
