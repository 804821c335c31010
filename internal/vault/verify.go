package vault

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"allod"
	"allod/internal/blob"
	"allod/internal/ledger"
	"allod/internal/vault/keyring"
	"allod/internal/vault/keytree"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/pack"
	"allod/internal/vault/seal"
)

// Verify checks what is stored: form, chain and signatures of the log, names
// and digests of every object it names, checkpoints, signatures of slots in all
// their places, every object of the ledger; with keys also the key tree,
// manifests and schemas, and the share of the rows (and every file, if the
// share is 1) that the options name, decrypted and decoded. Findings go
// into the report; the error is for a check that could not be carried out:
// Unavailable, or an interrupted context.
func (v *Vault) Verify(ctx context.Context, opts VerifyOptions) (Report, error) {
	if !opts.Public {
		if err := v.needKeys("verify rows"); err != nil {
			return Report{}, err
		}
	}
	c := &check{v: v, opts: opts, live: map[string]bool{}}
	err := c.run(ctx)
	slices.SortFunc(c.Bad, func(a, b Bad) int { return strings.Compare(a.Object+"\x00"+a.What, b.Object+"\x00"+b.What) })
	return c.Report, err
}

type check struct {
	Report
	v     *Vault
	opts  VerifyOptions
	live  map[string]bool // objects that the log names
	log   logState
	done  int64
	total int64
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
	c.done += n
	if c.opts.Progress != nil {
		c.opts.Progress(c.done, c.total)
	}
}

func (c *check) run(ctx context.Context) error {
	b, err := getBytes(ctx, c.v.cfg.Store, vlog.VaultName, 1<<20)
	if err == nil {
		_, err = vlog.DecodeVault(b, c.v.cfg.Pin)
	}
	c.Objects++
	if err := c.bad(vlog.VaultName, err); err != nil {
		return err
	}
	if err := c.readLog(ctx); err != nil {
		return err
	}
	for _, e := range c.log.entries {
		for _, o := range e.Objects {
			c.total += o.Size
		}
	}
	for _, step := range []func(context.Context) error{c.checkpoints, c.objects, c.keyTree, c.contents, c.slots, c.ledger, c.orphans} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// readLog reads the whole log anew. Behind an entry that is bad the chain
// cannot be checked, but each entry still can.
func (c *check) readLog(ctx context.Context) error {
	known := c.v.log.snapshot()
	last := uint64(len(known))
	for info, err := range c.v.cfg.Store.List(ctx, vlog.EntryPrefix) {
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
		b, err := getBytes(ctx, c.v.cfg.Store, name, vlog.MaxEntry)
		if err == nil && n <= uint64(len(known)) && sha256.Sum256(b) != known[n-1].digest {
			err = allod.Errorf(allod.Corrupt, "it is not the entry that stood there before")
		}
		var e *vlog.Entry
		var digest vlog.Digest
		if err == nil {
			e, digest, err = vlog.Decode(b, n, c.v.cfg.Pin)
		}
		if err == nil {
			if n != c.log.chain.N+1 { // the entry before is bad
				c.log.chain.N, c.log.chain.Last = n-1, e.Prev
				c.log.chain.Capture = nil
				e2 := *e
				e2.Capture, e2.Base = 0, 0
				err = c.log.chain.Add(&e2, digest)
			} else {
				err = c.log.chain.Add(e, digest)
			}
		}
		if err != nil {
			if n <= uint64(len(known)) { // what it named is still to be checked
				c.log.entries = append(c.log.entries, known[n-1])
			}
			if err := c.bad(name, err); err != nil {
				return err
			}
			continue
		}
		le := &logged{Entry: *e, digest: digest, size: int64(len(b))}
		le.Sealed = nil
		c.log.entries = append(c.log.entries, le)
	}
	return nil
}

func (c *check) checkpoints(ctx context.Context) error {
	for info, err := range c.v.cfg.Store.List(ctx, vlog.CheckpointPrefix) {
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
		b, err := getBytes(ctx, c.v.cfg.Store, info.Name, 1<<30)
		if err == nil {
			var cp *vlog.Checkpoint
			cp, err = vlog.DecodeCheckpoint(b, n, c.v.cfg.Pin)
			if err == nil && (n > uint64(len(c.log.entries)) || c.log.entries[n-1].digest != cp.Last) {
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
	for _, e := range c.log.entries {
		for _, o := range e.Objects {
			if c.live[o.Name()] {
				continue
			}
			c.live[o.Name()] = true
			c.Objects++
			if err := c.bad(o.Name(), c.v.digestOf(ctx, o)); err != nil {
				return err
			}
			c.progress(o.Size)
		}
	}
	return nil
}

func (v *Vault) digestOf(ctx context.Context, o vlog.Object) error {
	r, err := v.cfg.Store.Get(ctx, o.Name(), 0, -1)
	if err != nil {
		return err
	}
	var h hash.Hash = sha256.New()
	n, err := copyContext(ctx, h, r)
	if e := r.Close(); err == nil {
		err = e
	}
	if err != nil {
		return allod.Errorf(allod.KindOf(err), "read it: %w", err)
	}
	if n != o.Size || vlog.Digest(h.Sum(nil)) != o.Digest {
		return allod.Errorf(allod.Corrupt, "its %d bytes are not the %d that were stored under this name", n, o.Size)
	}
	return nil
}

// keyTree loads every root anew.
func (c *check) keyTree(ctx context.Context) error {
	if c.opts.Public {
		return nil
	}
	for _, k := range append([]keyringRoot{{c.v.secrets.Root, c.v.secrets.Epoch, c.v.secrets.State}}, olderRoots(c.v)...) {
		name := keytree.RootName(k.root, k.epoch)
		tree, err := keytree.Load(c.v.ID(), k.root, k.epoch, k.state, func(n string) ([]byte, error) {
			name = n
			c.Objects++
			return getBytes(ctx, c.v.cfg.Store, n, 256<<20)
		})
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

type keyringRoot struct {
	root, epoch uint64
	state       [32]byte
}

func olderRoots(v *Vault) []keyringRoot {
	var out []keyringRoot
	for _, k := range v.secrets.Older {
		out = append(out, keyringRoot{k.Root, k.Epoch, k.State})
	}
	return out
}

// contents opens manifests, schemas, rows and files.
func (c *check) contents(ctx context.Context) error {
	if c.opts.Public {
		return nil
	}
	c.v.forget() // what is in memory proves nothing about the store
	for _, e := range c.log.entries {
		if e.Capture == 0 {
			continue
		}
		m, _, err := c.v.manifest(ctx, e)
		if err != nil {
			if err := c.bad(objectOf(err, vlog.EntryName(e.N)), err); err != nil {
				return err
			}
			continue
		}
		schema, err := c.v.schema(e.Environment, m.Schema, m.SchemaEntry)
		if err != nil {
			if err := c.bad(objectOf(err, vlog.EntryName(e.N)), err); err != nil {
				return err
			}
			continue
		}
		o, err := c.v.opener(e.Environment, schema)
		if err != nil {
			return err
		}
		err = c.entryContents(ctx, e, o)
		o.close()
		if err != nil {
			return err
		}
	}
	return nil
}

// objectOf takes the object's name out of an error that begins with it.
func objectOf(err error, otherwise string) string {
	name, _, ok := strings.Cut(err.Error(), ": ")
	if ok && strings.Contains(name, "/") && !strings.Contains(name, " ") {
		return name
	}
	return otherwise
}

func (c *check) entryContents(ctx context.Context, e *logged, o *opener) error {
	for _, obj := range e.Objects {
		if err := ctx.Err(); err != nil {
			return err
		}
		var err error
		switch {
		case obj.Role == vlog.RoleFile && c.opts.Sample >= 1:
			err = c.file(ctx, o, obj.Name())
		case obj.Role == vlog.RolePack:
			err = c.pack(ctx, e, o, obj)
		}
		if err := c.bad(obj.Name(), err); err != nil {
			return err
		}
	}
	return nil
}

func (c *check) file(ctx context.Context, o *opener, name string) error {
	body, err := c.v.openLarge(ctx, name)
	if err != nil {
		return err
	}
	r, err := o.fileReader(body, name, 0, nil)
	if err == nil {
		_, err = copyContext(ctx, io.Discard, r)
	}
	if e := body.Close(); err == nil {
		err = e
	}
	if withheld(err) != "" {
		c.Erased++
		return nil
	}
	if err == nil {
		c.Files++
	}
	return err
}

// pack reads every block and opens the sampled rows.
func (c *check) pack(ctx context.Context, e *logged, o *opener, obj vlog.Object) error {
	p, err := c.v.packs.open(obj, e.Environment)
	if err != nil {
		return err
	}
	it := p.Seek(pack.Key{}, 1<<20)
	rows := int64(0)
	limit := uint64(min(max(c.opts.Sample, 0), 1) * (1 << 32))
	for it.Next() {
		rows++
		en := it.Entry()
		if en.Key.Capture() > e.Capture {
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
		r, meta, err := o.open(en)
		if err == nil && meta.Op == seal.OpPut {
			_, err = o.decode(&r, meta, en.Key.Table())
		}
		switch {
		case withheld(err) != "":
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
	if c.opts.Sample < 1 {
		return nil
	}
	for _, id := range p.Files() {
		if err := c.blob(o, p, id); err != nil {
			return err
		}
	}
	return nil
}

func (c *check) blob(o *opener, p *openPack, id [16]byte) error {
	b, err := p.Blob(id)
	if err != nil {
		return err
	}
	r, err := o.fileReader(b, p.name, 0, nil)
	if err == nil {
		_, err = io.Copy(io.Discard, r)
	}
	if withheld(err) != "" {
		c.Erased++
		return nil
	}
	if err == nil {
		c.Files++
	}
	return err
}

// unfit says why checkpoint n does not fit the log.
func (c *check) unfit(n uint64) error {
	if have := uint64(len(c.log.entries)); n > have {
		return allod.Errorf(allod.Corrupt, "it speaks of log entry %d and the log ends with %d: the end of the log was cut off", n, have)
	}
	return allod.Errorf(allod.Corrupt, "it does not fit log entry %d", n)
}

// slots checks the signature of every slot object in every place, and that
// each place has what the others have of the epoch in force.
func (c *check) slots(ctx context.Context) error {
	var have []map[string]bool
	all := map[string]bool{}
	for i, place := range c.v.cfg.Slots {
		slots, bad, err := keyring.List(ctx, place, c.v.keyringPin())
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
			if epoch := c.v.epoch(); epoch == 0 || s.Epoch == epoch {
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
		c.Bad = append(c.Bad, Bad{Object: keyring.ObjectName("any", c.v.epoch()), What: "no place has a slot of the epoch in force: nothing would open the vault again", Kind: "missing"})
	}
	return nil
}

// ledger checks every object of the ledger, and that it still holds what log
// entries say that it held.
func (c *check) ledger(ctx context.Context) error {
	cfg, err := c.v.LedgerConfig()
	if err != nil {
		return err
	}
	if len(cfg.Trusted) == 0 {
		return nil // a vault without a ledger key has no ledger
	}
	cfg.Remembered = ledgerSeen(c.log.entries)
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

// ledgerSeen returns the largest head of the ledger that log entries name.
func ledgerSeen(entries []*logged) (h ledger.Head) {
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
	checked := []string{vlog.EntryPrefix, vlog.CheckpointPrefix, "ledger/", "slots/", "proofs/", "headers/"}
	if c.opts.Public {
		checked = append(checked, "keytree/")
	}
	for info, err := range c.v.cfg.Store.List(ctx, "") {
		if err != nil {
			return allod.Errorf(allod.KindOf(err), "list the objects: %w", err)
		}
		if info.Name == vlog.VaultName || c.live[info.Name] || slices.ContainsFunc(checked, func(p string) bool { return strings.HasPrefix(info.Name, p) }) {
			continue
		}
		if c.Orphans++; len(c.OrphanNames) < maxNamed {
			c.OrphanNames = append(c.OrphanNames, info.Name)
		}
	}
	return nil
}
