// Package stranger checks what a vault hands out and what it shows to everybody,
// for people who have no key of it: certificates, proofs, checkpoints, copies of
// the log. It imports what cmd/allod-verify may be made of and no more.
package stranger

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"allod"
	"allod/internal/ledger"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/log/certificate"
)

const maxFile = 64 << 20 // bytes, that of the largest object

// Checker checks files against what is pinned of one vault, and against each
// other: the order in which they are given matters for proofs of growth alone.
// Its methods are called one at a time. Errors are Corrupt where something is not
// so, NotFound for files that are not there, Invalid for what is none of the kinds
// that are known.
type Checker struct {
	Out       io.Writer        // what was found, for people
	Folder    string           // that holds the folder log/; "" = none
	Pin       vlog.Pin         // see Open
	Witnesses []ledger.Witness // who must have cosigned checkpoints that are given by themselves

	heads map[int64]ledger.Head // by size: that signed checkpoints and log entries showed
}

func (c *Checker) say(format string, args ...any) { fmt.Fprintf(c.Out, format+"\n", args...) }

// read reads a file whole. NotFound if there is none.
func read(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		kind := allod.Unavailable
		if errors.Is(err, fs.ErrNotExist) {
			kind = allod.NotFound
		}
		return nil, allod.Errorf(kind, "read it: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, allod.Errorf(allod.Unavailable, "read it: %w", err)
	}
	if len(b) > maxFile {
		return nil, allod.Errorf(allod.Corrupt, "read it: more than %d bytes", maxFile)
	}
	return b, nil
}

// Open takes the pin from a vault object, on whose keys everything then rests, and
// shows its fingerprint.
func (c *Checker) Open(name string) error {
	b, err := read(name)
	if err == nil {
		c.Pin, err = vlog.DecodeVault(b, vlog.Pin{})
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	c.say("vault %s", c.Pin.Vault)
	c.say("vault object SHA-256 %x", sha256.Sum256(b))
	return nil
}

// object reads entry n of the log; nil and nil when there is none.
func (c *Checker) object(n uint64) ([]byte, error) {
	b, err := read(filepath.Join(c.Folder, filepath.FromSlash(vlog.EntryName(n))))
	if allod.KindOf(err) == allod.NotFound {
		return nil, nil
	}
	return b, err
}

// Log checks chain and signatures of the log in Folder, and its checkpoints.
func (c *Checker) Log() error {
	names, err := os.ReadDir(filepath.Join(c.Folder, "log"))
	if err != nil {
		return allod.WithHint(allod.Errorf(allod.NotFound, "read the log: %w", err), "Name the folder that holds the folder log/.")
	}
	var chain vlog.Chain
	var standing vlog.Standing
	var last time.Time
	digests := map[uint64]vlog.Digest{}
	kinds := map[vlog.Kind]int{}
	for {
		b, err := c.object(chain.N + 1)
		if err != nil {
			return err
		}
		if b == nil {
			break
		}
		e, d, err := vlog.Decode(b, chain.N+1, c.Pin)
		if err != nil {
			return err
		}
		if err := standing.Fits(e); err != nil {
			return err
		}
		if err := chain.Add(e, d); err != nil {
			return err
		}
		standing.Add(e)
		seen := ledger.Head{Size: e.Ledger.Size}
		copy(seen.Hash[:], e.Ledger.Hash[:])
		if err := c.remember(seen); err != nil {
			return fmt.Errorf("log entry %d: %w", e.N, err)
		}
		digests[e.N], last = d, e.Time
		kinds[e.Kind]++
	}
	for _, name := range names {
		if n, ok := vlog.ParseEntryName(vlog.EntryPrefix + name.Name()); !ok || n > chain.N {
			return allod.Errorf(allod.Corrupt, "read the log: it ends with entry %d, and there is a file %s", chain.N, name.Name())
		}
	}
	if chain.N == 0 {
		return allod.Errorf(allod.NotFound, "read the log: it has no entries")
	}
	if err := c.checkpoints(digests); err != nil {
		return err
	}
	var counts []string
	for k, n := range kinds {
		counts = append(counts, fmt.Sprintf("%d %s", n, k))
	}
	slices.Sort(counts)
	c.say("log: %d entries, chained and signed, until %s: %s", chain.N, last.Format(time.RFC3339), strings.Join(counts, ", "))
	c.say("log head %d %s", chain.N, chain.Last)
	return nil
}

// checkpoints compares the checkpoints of the log, which may be missing.
func (c *Checker) checkpoints(digests map[uint64]vlog.Digest) error {
	names, err := os.ReadDir(filepath.Join(c.Folder, "checkpoints"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return allod.Errorf(allod.Unavailable, "read the checkpoints of the log: %w", err)
	}
	for _, name := range names {
		n, err := strconv.ParseUint(name.Name(), 10, 64)
		if err != nil || vlog.CheckpointName(n) != vlog.CheckpointPrefix+name.Name() {
			return allod.Errorf(allod.Corrupt, "read the checkpoints of the log: %s is none", name.Name())
		}
		b, err := read(filepath.Join(c.Folder, "checkpoints", name.Name()))
		if err != nil {
			return err
		}
		p, err := vlog.DecodeCheckpoint(b, n, c.Pin)
		if err != nil {
			return err
		}
		if d, ok := digests[n]; !ok || d != p.Last {
			return allod.Errorf(allod.Corrupt, "read checkpoint %d of the log: it is of another log, or entries behind it were removed", n)
		}
	}
	return nil
}

// File checks one file, by what it is.
func (c *Checker) File(name string) error {
	b, err := read(name)
	if err != nil {
		return err
	}
	switch {
	case certificate.IsOne(b):
		return c.certificate(name, b)
	case bytes.HasPrefix(b, []byte("c2sp.org/tlog-proof@")):
		return c.proof(name, b)
	case bytes.HasPrefix(b, []byte("old ")):
		return c.growth(name, b)
	case bytes.HasPrefix(b, []byte("allod/")):
		_, err := c.checkpoint(name, b)
		return err
	}
	return allod.Errorf(allod.Invalid, "it is neither a certificate nor a proof nor a checkpoint")
}

func (c *Checker) certificate(name string, b []byte) error {
	cert, passed, err := certificate.Verify(b, c.Pin)
	if err != nil {
		return err
	}
	if _, err := c.checkpoint("", cert.Ledger.Checkpoint); err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "\n%s\n", cert.Text())
	c.say("%s: a certificate,", name)
	for _, p := range passed {
		c.say("  %s", p)
	}
	if c.Folder == "" {
		return nil
	}
	n, err := cert.InLog(c.Pin, c.object)
	if err == nil {
		c.say("  which the log of %d entries has in its place", n)
	}
	return err
}

func (c *Checker) proof(name string, b []byte) error {
	p, err := ledger.ParseProof(b)
	if err != nil {
		return err
	}
	e, _, err := p.Check(c.Pin.Vault, c.Pin.Keys(vlog.UseLedger))
	if err != nil {
		return err
	}
	head, err := c.checkpoint("", p.Checkpoint)
	if err != nil {
		return err
	}
	c.say("%s: entry %d of the ledger of %d entries:", name, p.Index, head.Size)
	c.say("  %s  %s %s", e.Time.Format(time.RFC3339), e.Kind, e.Action)
	for _, f := range []struct{ name, value string }{{"effect", e.Effect}, {"purpose", e.Purpose}, {"class", e.Class}, {"actor", e.Actor}, {"environment", e.Environment}, {"session", e.Session}} {
		if f.value != "" {
			c.say("  %-12s %s", f.name, f.value)
		}
	}
	var counts []string
	for k, n := range e.Counts {
		counts = append(counts, fmt.Sprintf("%s %d", k, n))
	}
	if slices.Sort(counts); len(counts) > 0 {
		c.say("  %-12s %s", "counts", strings.Join(counts, ", "))
	}
	return nil
}

// growth checks that a ledger contains that of an older checkpoint among the
// files before, or one that the log has seen.
func (c *Checker) growth(name string, b []byte) error {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	size, err := strconv.ParseInt(strings.TrimPrefix(string(line), "old "), 10, 64)
	if err != nil {
		return allod.Errorf(allod.Corrupt, "read a proof of growth: it does not say from where")
	}
	from, ok := c.heads[size]
	if !ok {
		err := allod.Errorf(allod.Invalid, "it begins at %d entries, and no checkpoint of that size was named before it", size)
		return allod.WithHint(err, "Name the older checkpoint first, then this file.")
	}
	g, err := ledger.ParseGrowth(b, from)
	if err != nil {
		return err
	}
	if _, err := g.Check(c.Pin.Vault, c.Pin.Keys(vlog.UseLedger)); err != nil {
		return err
	}
	head, err := c.checkpoint("", g.Checkpoint)
	if err == nil {
		c.say("%s: the ledger of %d entries contains that of %d entries unchanged", name, head.Size, size)
	}
	return err
}

// checkpoint checks a checkpoint, by itself (name) or inside another file (""),
// and compares it with those seen before.
func (c *Checker) checkpoint(name string, b []byte) (ledger.Head, error) {
	head, by, err := ledger.CheckCosigned(b, c.Pin.Vault, c.Pin.Keys(vlog.UseLedger), c.Witnesses)
	if err != nil {
		return head, err
	}
	if name != "" {
		c.say("%s: the ledger had %d entries, root %s", name, head.Size, head.Hash)
	}
	for _, w := range by {
		c.say("  cosigned by %s on %s", w.Witness, w.At.Format(time.RFC3339))
	}
	if name != "" && len(by) < len(c.Witnesses) {
		return head, allod.Errorf(allod.Corrupt, "%d of the %d witnesses that were named have cosigned it", len(by), len(c.Witnesses))
	}
	return head, c.remember(head)
}

// remember compares a head with those seen before.
func (c *Checker) remember(head ledger.Head) error {
	if head.Size == 0 {
		return nil
	}
	if h, ok := c.heads[head.Size]; ok && h != head {
		err := allod.Errorf(allod.Corrupt, "FORKED: the ledger of %d entries is shown in two versions, both signed", h.Size)
		return allod.WithHint(err, "Keep both files: they prove that somebody with a key of the vault showed different people different things.")
	}
	if c.heads == nil {
		c.heads = map[int64]ledger.Head{}
	}
	c.heads[head.Size] = head
	return nil
}
