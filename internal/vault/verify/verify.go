// Package verify checks what a vault holds: form, chain and signatures of the
// log, names and digests of every object it names, checkpoints, slots, escrow, ledger;
// with keys also the key tree, manifests, schemas, rows and files. It reads
// everything anew and changes nothing.
package verify

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"filippo.io/age"
	"golang.org/x/mod/sumdb/tlog"

	"allod"
	"allod/internal/blob"
	"allod/internal/ledger"
	"allod/internal/vault/escrow"
	"allod/internal/vault/internal/content"
	"allod/internal/vault/journal"
	"allod/internal/vault/keyring"
	"allod/internal/vault/keytree"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/meta"
	"allod/internal/vault/object"
	"allod/internal/vault/pack"
	"allod/internal/vault/seal"
	"allod/internal/vault/shelf"
)

// Options of Run.
type Options struct {
	Public   bool                    // names, digests, chain and signatures only; needs no key
	Sample   float64                 // share of the rows to decrypt: 1 = all, 0 = none
	Progress func(done, total int64) // called now and then from the caller's goroutine; may be nil
}

// Report says what was found. It is not an error that Bad is not empty.
type Report struct {
	Objects int64 `json:"objects"` // looked at
	Rows    int64 `json:"rows"`    // decrypted and decoded
	Files   int64 `json:"files"`   // decrypted to the end
	Packs   int64 `json:"packs"`   // opened to the end, with no row in them; by a slot of role maintain
	Erased  int64 `json:"erased"`  // rows whose key is gone by an erasure on record
	Orphans int64 `json:"orphans"` // objects no log entry names; not bad
	// Replaced counts packs that a compaction has replaced and that are still
	// there; nothing needs them.
	Replaced int64 `json:"replaced,omitempty"`
	Bad      []Bad `json:"bad"`

	OrphanNames []string `json:"orphan_names,omitempty"` // the first 1,000, ascending
}

// Bad is one finding: an object that is not what was stored.
type Bad struct {
	Object string `json:"object"`
	What   string `json:"what"`
	Kind   string `json:"kind"` // "corrupt", "missing", "forged", …
}

// Target is an open vault.
type Target struct {
	Store  blob.Store
	Pin    vlog.Pin
	Log    *journal.Log    // as read when the vault was opened
	Slots  []blob.Mutable  // places of slots
	Slot   keyring.Pin     // whose slots count
	Ledger ledger.Config   // no Trusted keys = the vault has no ledger; Remembered is filled here
	Reader *content.Reader // nil for who opens no rows
	Roots  []keyring.RootKey
	Tree   *keytree.State // in force; nil for who has none
	Escrow escrow.Facts   // as of Tree: which escrow has to be there
	// Identity opens packs and files for who opens no row in them; nil where
	// Reader does, or nobody.
	Identity age.Identity
}

// Run checks the target. Findings go into the report, ascending by object; the
// error is for a check that could not be carried out: Unavailable, or an
// interrupted context.
func Run(ctx context.Context, t Target, opts Options) (Report, error) {
	c := &check{Target: t, opts: opts, live: map[string]bool{}}
	err := c.run(ctx)
	slices.SortFunc(c.Bad, func(a, b Bad) int { return strings.Compare(a.Object+"\x00"+a.What, b.Object+"\x00"+b.What) })
	c.Bad = slices.Compact(c.Bad) // every snapshot that needs an object finds it
	return c.Report, err
}

type check struct {
	Report
	Target
	opts    Options
	live    map[string]bool // objects that the log names
	chain   vlog.Chain
	stand   vlog.Standing
	entries []*journal.Entry
	gone    map[vlog.Digest]*journal.Entry // packs that were replaced
	read    int64
	total   int64
}

// bad notes a finding. Errors that say nothing about the bytes come back.
func (c *check) bad(object string, err error) error {
	if err == nil {
		return nil
	}
	kind := "corrupt"
	switch allod.KindOf(err) {
	case allod.Corrupt, allod.Invalid:
	case allod.NotFound:
		kind = "missing"
	default:
		return fmt.Errorf("verify %s: %w", object, err)
	}
	if errors.Is(err, blob.ErrNotFound) || strings.HasSuffix(err.Error(), "it is missing") {
		kind = "missing"
	}
	c.Bad = append(c.Bad, Bad{Object: object, What: err.Error(), Kind: kind})
	return nil
}

func (c *check) progress(n int64) {
	c.read += n
	if c.opts.Progress != nil {
		c.opts.Progress(c.read, c.total)
	}
}

func (c *check) run(ctx context.Context) error {
	b, err := object.Get(ctx, c.Store, vlog.VaultName, 1<<20)
	if err == nil {
		_, err = vlog.DecodeVault(b, c.Pin)
	}
	c.Objects++
	if err := c.bad(vlog.VaultName, err); err != nil {
		return err
	}
	if err := c.readLog(ctx); err != nil {
		return err
	}
	c.gone = journal.Replaced(c.entries)
	for _, e := range c.entries {
		for _, o := range e.Objects {
			if c.gone[o.Digest] == nil {
				c.total += o.Size
			}
		}
	}
	for _, step := range []func(context.Context) error{c.checkpoints, c.objects, c.keyTree, c.contents, c.containers, c.merged, c.slots, c.escrow, c.ledger, c.orphans} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// readLog reads the whole log anew. In place of an entry that is bad stands the
// one that was read when the vault was opened. Behind one that was written since
// the chain cannot be checked, but each entry still can.
func (c *check) readLog(ctx context.Context) error {
	known := c.Log.Entries()
	last := uint64(len(known))
	for info, err := range c.Store.List(ctx, vlog.EntryPrefix) {
		if err != nil {
			return allod.Errorf(allod.KindOf(err), "list the log: %w", err)
		}
		n, ok := vlog.ParseEntryName(info.Name)
		if !ok {
			if err := c.bad(info.Name, allod.Errorf(allod.Corrupt, "not the name of a log entry")); err != nil {
				return err
			}
			continue
		}
		last = max(last, n)
	}
	for n := uint64(1); n <= last; n++ {
		name := vlog.EntryName(n)
		c.Objects++
		b, err := object.Get(ctx, c.Store, name, vlog.MaxEntry)
		if err == nil && n <= uint64(len(known)) && sha256.Sum256(b) != known[n-1].Digest {
			err = allod.Errorf(allod.Corrupt, "it is not the entry that stood there before")
		}
		var e *vlog.Entry
		var digest vlog.Digest
		if err == nil {
			e, digest, err = vlog.Decode(b, n, c.Pin)
		}
		if err == nil {
			if n != c.chain.N+1 { // the entry before is bad
				c.chain.N, c.chain.Last = n-1, e.Prev
				c.chain.Capture, c.chain.Epochs = nil, nil
				e2 := *e
				e2.Capture, e2.Base = 0, 0
				err = c.chain.Add(&e2, digest)
			} else if err = c.stand.Fits(e); err == nil {
				err = c.chain.Add(e, digest)
			}
		}
		if err != nil {
			if n <= uint64(len(known)) { // what it named is still to be checked, and what follows it
				c.entries = append(c.entries, known[n-1])
				c.stand.Add(&known[n-1].Entry)
				if c.chain.N == n-1 {
					if err := c.chain.Add(&known[n-1].Entry, known[n-1].Digest); err != nil {
						return err
					}
				}
			}
			if err := c.bad(name, err); err != nil {
				return err
			}
			continue
		}
		c.entries = append(c.entries, journal.NewEntry(e, digest, int64(len(b))))
		if c.stand.Fits(e) == nil { // otherwise an entry before it is bad, or missing
			c.stand.Add(e)
		}
	}
	return nil
}

func (c *check) checkpoints(ctx context.Context) error {
	for info, err := range c.Store.List(ctx, vlog.CheckpointPrefix) {
		if err != nil {
			return allod.Errorf(allod.KindOf(err), "list checkpoints: %w", err)
		}
		c.Objects++
		var n uint64
		if _, err := fmt.Sscanf(strings.TrimPrefix(info.Name, vlog.CheckpointPrefix), "%d", &n); err != nil || vlog.CheckpointName(n) != info.Name {
			if err := c.bad(info.Name, allod.Errorf(allod.Corrupt, "not the name of a checkpoint")); err != nil {
				return err
			}
			continue
		}
		b, err := object.Get(ctx, c.Store, info.Name, 1<<30)
		if err == nil {
			var cp *vlog.Checkpoint
			cp, err = vlog.DecodeCheckpoint(b, n, c.Pin)
			if err == nil && (n == 0 || n > uint64(len(c.entries)) || c.entries[n-1].Digest != cp.Last) {
				err = c.unfit(n)
			}
		}
		if err := c.bad(info.Name, err); err != nil {
			return err
		}
	}
	return nil
}

// objects compares digest and size of every object that the log names.
func (c *check) objects(ctx context.Context) error {
	for _, e := range c.entries {
		for _, o := range e.Objects {
			if c.live[o.Name()] {
				continue
			}
			c.live[o.Name()] = true
			if c.gone[o.Digest] != nil {
				continue
			}
			c.Objects++
			if err := c.bad(o.Name(), c.digestOf(ctx, o)); err != nil {
				return err
			}
			c.progress(o.Size)
		}
	}
	return nil
}

func (c *check) digestOf(ctx context.Context, o vlog.Object) error {
	r, err := c.Store.Get(ctx, o.Name(), 0, -1)
	if err != nil {
		return err
	}
	h := sha256.New()
	n, err := object.Copy(ctx, h, io.LimitReader(r, o.Size+1)) // one that grew to a terabyte is not read to its end
	if e := r.Close(); err == nil {
		err = e
	}
	if err != nil {
		return allod.Errorf(allod.KindOf(err), "read it: %w", err)
	}
	if n > o.Size {
		return allod.Errorf(allod.Corrupt, "it has more than the %d bytes that were stored under this name", o.Size)
	}
	if n != o.Size || vlog.Digest(h.Sum(nil)) != o.Digest {
		return allod.Errorf(allod.Corrupt, "its %d bytes are not the %d that were stored under this name", n, o.Size)
	}
	return nil
}

// keyTree loads every root anew, and compares what it lists as absent with what
// the log says.
func (c *check) keyTree(ctx context.Context) error {
	if c.opts.Public {
		return nil
	}
	for _, k := range c.Roots {
		name := keytree.RootName(k.Root, k.Epoch)
		tree, err := content.LoadTree(ctx, c.Store, c.Pin.Vault, k, func(n string) {
			name = n
			c.Objects++
		})
		if want := c.absent(k); err == nil && want != (vlog.Digest{}) && want != tree.AbsentDigest() {
			err = allod.Errorf(allod.Corrupt, "it lists others as absent than the log says")
		}
		if err != nil {
			if err := c.bad(name, err); err != nil {
				return err
			}
			continue
		}
		for _, n := range tree.Names() {
			c.live[n] = true
		}
	}
	return nil
}

// absent returns the digest of the absent list of a root as of its epoch; zero if
// no entry says it.
func (c *check) absent(k keyring.RootKey) vlog.Digest {
	for _, e := range slices.Backward(c.entries) {
		if e.Epoch != k.Epoch {
			continue
		}
		if e.Root == k.Root && e.AbsentAfter != (vlog.Digest{}) {
			return e.AbsentAfter
		}
		for _, r := range e.Roots {
			if r.Root == k.Root {
				return r.AbsentAfter
			}
		}
	}
	return vlog.Digest{}
}

// contents opens manifests, schemas, rows and files.
func (c *check) contents(ctx context.Context) error {
	if c.opts.Public || c.Reader == nil {
		return nil
	}
	c.Reader.Forget() // what is in memory proves nothing about the store
	// Others may have written to the log since it was opened, and the reader
	// looks up schemas there. What is wrong with it was found by readLog.
	if err := c.Log.Refresh(ctx); err != nil && allod.KindOf(err) != allod.Corrupt {
		return err
	}
	last := map[uint32]*journal.Entry{} // capture of each environment
	for _, e := range c.entries {
		if shelf.Anew(e) {
			if err := c.anew(ctx, e, last[e.Environment], ^uint64(0)); err != nil {
				return err
			}
			continue
		}
		if e.Compact != nil {
			if err := c.anew(ctx, e, last[e.Environment], e.Compact.Last); err != nil {
				return err
			}
			continue
		}
		if e.Kind == vlog.KindUndo {
			if err := c.undo(ctx, e); err != nil {
				return err
			}
		}
		if e.Capture == 0 {
			continue
		}
		last[e.Environment] = e
		m, err := c.Reader.Manifest(ctx, e)
		if err != nil {
			if err := c.bad(objectOf(err, vlog.EntryName(e.N)), err); err != nil {
				return err
			}
			continue
		}
		schema, err := c.Reader.Schema(e.Environment, m.Schema, m.SchemaEntry)
		if err != nil {
			if err := c.bad(objectOf(err, vlog.EntryName(e.N)), err); err != nil {
				return err
			}
			continue
		}
		if err := c.opened(ctx, e, schema, e.Capture); err != nil {
			return err
		}
	}
	return nil
}

// anew opens versions of before that an entry holds, sealed anew or merged, by
// the schema of the last capture before it; none is of a capture after that, or
// after until.
func (c *check) anew(ctx context.Context, e, capture *journal.Entry, until uint64) error {
	if capture == nil {
		return c.bad(vlog.EntryName(e.N), allod.Errorf(allod.Corrupt, "it holds versions of an environment that has no capture"))
	}
	var schema *meta.Schema
	m, err := c.Reader.Manifest(ctx, capture)
	if err == nil {
		schema, err = c.Reader.Schema(e.Environment, m.Schema, m.SchemaEntry)
	}
	if err != nil {
		return c.bad(objectOf(err, vlog.EntryName(capture.N)), err)
	}
	return c.opened(ctx, e, schema, min(until, capture.Capture))
}

// opened opens what an entry holds, rows of captures until the given one.
func (c *check) opened(ctx context.Context, e *journal.Entry, schema *meta.Schema, until uint64) error {
	o, err := c.Reader.Opener(e.Environment, schema)
	if err != nil {
		return err
	}
	defer o.Close()
	return c.entryContents(ctx, e, o, until)
}

// objectOf takes the object's name out of an error that begins with it.
func objectOf(err error, otherwise string) string {
	name, _, ok := strings.Cut(err.Error(), ": ")
	if ok && strings.Contains(name, "/") && !strings.Contains(name, " ") {
		return name
	}
	return otherwise
}

func (c *check) entryContents(ctx context.Context, e *journal.Entry, o *content.Opener, until uint64) error {
	for _, obj := range e.Objects {
		if err := ctx.Err(); err != nil {
			return err
		}
		var err error
		switch {
		case c.gone[obj.Digest] != nil:
		case obj.Role == vlog.RoleFile && c.opts.Sample >= 1:
			err = c.file(ctx, o, obj.Name())
		case obj.Role == vlog.RolePack:
			err = c.pack(ctx, e, o, obj, until)
		}
		if err := c.bad(obj.Name(), err); err != nil {
			return err
		}
	}
	return nil
}

func (c *check) file(ctx context.Context, o *content.Opener, name string) error {
	r, err := o.Object(ctx, name)
	if err == nil {
		_, err = object.Copy(ctx, io.Discard, r)
		if e := r.Close(); err == nil {
			err = e
		}
	}
	return c.count(err)
}

// count counts a file that was read to its end.
func (c *check) count(err error) error {
	if content.Withheld(err) != "" {
		c.Erased++
		return nil
	}
	if err == nil {
		c.Files++
	}
	return err
}

// pack reads every block and opens the sampled rows, which are of captures until
// the given one.
func (c *check) pack(ctx context.Context, e *journal.Entry, o *content.Opener, obj vlog.Object, until uint64) error {
	p, err := c.Reader.Pack(obj, e.Environment)
	if err != nil {
		return err
	}
	it := p.Seek(pack.Key{}, 1<<20)
	rows := int64(0)
	limit := uint64(min(max(c.opts.Sample, 0), 1) * (1 << 32))
	for it.Next() {
		rows++
		en := it.Entry()
		if en.Key.Capture() > until {
			return allod.Errorf(allod.Corrupt, "a row is of a later capture than its entry")
		}
		if sum := sha256.Sum256(en.Key[:]); uint64(binary.BigEndian.Uint32(sum[:])) >= limit {
			continue
		}
		if rows%1024 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		r, meta, err := o.Open(en)
		if err == nil && meta.Op == seal.OpPut {
			_, err = o.Decode(&r, meta, en.Key.Table())
		}
		switch {
		case content.Withheld(err) != "":
			c.Erased++
		case err != nil:
			return err
		default:
			c.Rows++
		}
	}
	if err := it.Err(); err != nil {
		return err
	}
	if rows != p.Rows() {
		return allod.Errorf(allod.Corrupt, "it holds %d rows, its trailer says %d", rows, p.Rows())
	}
	frames, err := framesOf(e, obj, p)
	if err != nil || c.opts.Sample < 1 {
		return err
	}
	for _, id := range p.Files() {
		if frames[id] {
			continue
		}
		if err := c.blob(o, p, id); err != nil {
			return err
		}
	}
	return nil
}

// framesOf checks the schemas and manifests that a pack keeps of captures whose
// packs were merged, and returns their ids: in the last pack of a compaction.
func framesOf(e *journal.Entry, obj vlog.Object, p *shelf.Pack) (map[[16]byte]bool, error) {
	packs := e.Packs()
	if e.Compact == nil || packs[len(packs)-1].Digest != obj.Digest {
		return nil, nil
	}
	list, err := p.Kept()
	if err != nil {
		return nil, err
	}
	out := map[[16]byte]bool{}
	for i := range list {
		k := &list[i]
		if out[k.ID()] {
			continue
		}
		b, err := p.Frame(k.Entry, k.What)
		if err == nil && k.What == pack.KeptManifest {
			_, err = meta.DecodeManifest(b, obj.Name())
		}
		if err != nil {
			return nil, err
		}
		out[k.ID()] = true
	}
	return out, nil
}

func (c *check) blob(o *content.Opener, p *shelf.Pack, id [16]byte) error {
	r, err := o.Blob(p, id)
	if err == nil {
		_, err = io.Copy(io.Discard, r)
	}
	return c.count(err)
}

// unfit says why checkpoint n does not fit the log.
func (c *check) unfit(n uint64) error {
	if have := uint64(len(c.entries)); n > have {
		return allod.Errorf(allod.Corrupt, "it speaks of log entry %d and the log ends with %d: the end of the log was cut off", n, have)
	}
	return allod.Errorf(allod.Corrupt, "it does not fit log entry %d", n)
}

// slots checks the signature of every slot object in every place, and that
// each place has what the others have of the epoch in force.
func (c *check) slots(ctx context.Context) error {
	var have []map[string]bool
	all := map[string]bool{}
	for i, place := range c.Slots {
		slots, bad, err := keyring.List(ctx, place, c.Slot)
		if err != nil {
			return allod.Errorf(allod.KindOf(err), "verify the slots in place %d: %w", i+1, err)
		}
		c.Objects += int64(len(slots) + len(bad))
		names := map[string]bool{}
		for _, err := range bad {
			name := objectOf(err, "slots/")
			names[name] = true // it is there, however bad
			c.Bad = append(c.Bad, Bad{Object: name, What: fmt.Sprintf("in place %d: %v", i+1, err), Kind: "corrupt"})
		}
		for _, s := range slots {
			name := keyring.ObjectName(s.Name, s.Epoch)
			names[name] = true
			if epoch := c.Log.Epoch(); epoch == 0 || s.Epoch == epoch {
				all[name] = true
			}
		}
		have = append(have, names)
	}
	for i, names := range have {
		for name := range all {
			if !names[name] {
				c.Bad = append(c.Bad, Bad{Object: name, What: fmt.Sprintf("it is missing in place %d and there in another", i+1), Kind: "missing"})
			}
		}
	}
	if len(have) > 0 && len(all) == 0 && len(c.Bad) == 0 {
		c.Bad = append(c.Bad, Bad{Object: keyring.ObjectName("any", c.Log.Epoch()), What: "no place has a slot of the epoch in force: nothing would open the vault again", Kind: "missing"})
	}
	return nil
}

// ledger checks every object of the ledger, and that it still holds what log
// entries say that it held.
func (c *check) ledger(ctx context.Context) error {
	cfg := c.Target.Ledger
	if len(cfg.Trusted) == 0 {
		return nil // a vault without a ledger key has no ledger
	}
	cfg.Remembered = LedgerSeen(c.entries)
	seen := map[ledger.Head]bool{cfg.Remembered: true}
	for _, e := range c.entries {
		h := ledger.Head{Size: e.Ledger.Size, Hash: tlog.Hash(e.Ledger.Hash)}
		if !seen[h] {
			seen[h], cfg.Seen = true, append(cfg.Seen, h)
		}
	}
	rep, err := ledger.Verify(ctx, cfg)
	if err != nil {
		return err
	}
	c.Objects += rep.Entries + rep.Tiles + rep.Checkpoints
	for _, b := range rep.Bad {
		kind := "corrupt"
		if b.Kind == allod.NotFound {
			kind = "missing"
		}
		c.Bad = append(c.Bad, Bad{Object: b.Object, What: b.What, Kind: kind})
	}
	return nil
}

// LedgerSeen returns the largest head of the ledger that log entries name.
func LedgerSeen(entries []*journal.Entry) (h ledger.Head) {
	for _, e := range entries {
		if e.Ledger.Size > h.Size {
			h = ledger.Head{Size: e.Ledger.Size, Hash: tlog.Hash(e.Ledger.Hash)}
		}
	}
	return h
}

// maxNamed bounds how many orphans a report names; it counts all.
const maxNamed = 1000

// orphans counts and names objects that no entry names: what a run that did
// not commit left behind, or what somebody put there. Without keys nothing can
// be said of the key tree.
func (c *check) orphans(ctx context.Context) error {
	checked := []string{vlog.EntryPrefix, vlog.CheckpointPrefix, "ledger/", "slots/", "proofs/", "headers/", escrow.Prefix, "leases/"}
	if c.opts.Public {
		checked = append(checked, "keytree/")
	}
	replaced := map[string]bool{}
	for d := range c.gone {
		replaced[vlog.Object{Digest: d, Role: vlog.RolePack}.Name()] = true
	}
	for info, err := range c.Store.List(ctx, "") {
		if err != nil {
			return allod.Errorf(allod.KindOf(err), "list the objects: %w", err)
		}
		if replaced[info.Name] {
			delete(replaced, info.Name) // a store may list it twice
			c.Replaced++
		}
		if info.Name == vlog.VaultName || c.live[info.Name] || slices.ContainsFunc(checked, func(p string) bool { return strings.HasPrefix(info.Name, p) }) {
			continue
		}
		c.live[info.Name] = true // a store may list it twice
		if c.Orphans++; len(c.OrphanNames) < maxNamed {
			c.OrphanNames = append(c.OrphanNames, info.Name)
		}
	}
	return nil
}
