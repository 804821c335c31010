package ledger

import (
	"context"
	"crypto/ed25519"

	"golang.org/x/mod/sumdb/tlog"

	"allod"
)

// Proof shows, to somebody who has only the public keys, that an entry is in
// the ledger of a signed checkpoint.
type Proof struct {
	Index      int64            `json:"index"`
	Entry      []byte           `json:"entry"`      // the entry object
	Path       tlog.RecordProof `json:"path"`       // RFC 6962 audit path
	Checkpoint []byte           `json:"checkpoint"` // signed note
}

// Growth shows that a later state of the ledger contains an earlier one
// unchanged.
type Growth struct {
	From       Head           `json:"from"`
	Path       tlog.TreeProof `json:"path"` // RFC 6962 consistency proof
	Checkpoint []byte         `json:"checkpoint"`
}

// Prove returns the proof that entry index is in the ledger as of its head, or,
// without a signing key, as of its last stored checkpoint. NotFound if there is
// no such entry in it.
func (l *Ledger) Prove(ctx context.Context, index int64) (Proof, error) {
	head, checkpoint, h, err := l.attest(ctx)
	if err != nil {
		return Proof{}, err
	}
	if index < 0 || index >= head.Size {
		return Proof{}, allod.Errorf(allod.NotFound, "prove ledger entry %d: the checkpoint covers %d entries", index, head.Size)
	}
	object, err := read(ctx, l.store, entryName(index), maxObject)
	if err != nil {
		return Proof{}, err
	}
	path, err := tlog.ProveRecord(head.Size, index, h.reader(ctx))
	if err != nil {
		return Proof{}, keepKind(err, "prove ledger entry %d: %w", index, err)
	}
	if err := tlog.CheckRecord(path, head.Size, head.Hash, index, tlog.RecordHash(object)); err != nil {
		return Proof{}, allod.Errorf(allod.Corrupt, "prove ledger entry %d: the stored entry or tiles are not those that were signed", index)
	}
	return Proof{Index: index, Entry: object, Path: path, Checkpoint: checkpoint}, nil
}

// ProveGrowth returns the proof that the ledger contains the earlier head; of
// size 0 every ledger does.
// Corrupt if it does not.
func (l *Ledger) ProveGrowth(ctx context.Context, from Head) (Growth, error) {
	head, checkpoint, h, err := l.attest(ctx)
	if err != nil {
		return Growth{}, err
	}
	if from.Size < 0 || from.Size > head.Size {
		return Growth{}, allod.Errorf(allod.Invalid, "prove the growth of the ledger from %d entries: the checkpoint covers %d", from.Size, head.Size)
	}
	if from.Size == 0 {
		return Growth{From: Head{Hash: emptyTree()}, Checkpoint: checkpoint}, nil // whatever there is has grown out of nothing
	}
	path, err := tlog.ProveTree(head.Size, from.Size, h.reader(ctx))
	if err != nil {
		return Growth{}, keepKind(err, "prove the growth of the ledger: %w", err)
	}
	if err := tlog.CheckTree(path, head.Size, head.Hash, from.Size, from.Hash); err != nil {
		return Growth{}, allod.Errorf(allod.Corrupt, "prove the growth of the ledger: it does not contain the earlier state of %d entries", from.Size)
	}
	return Growth{From: from, Path: path, Checkpoint: checkpoint}, nil
}

// HeadAt returns the head that the ledger had when it was of that size, as far
// as this process knows it. NotFound if it never was.
func (l *Ledger) HeadAt(ctx context.Context, size int64) (Head, error) {
	l.mu.Lock()
	head, h := l.head, l.hashes.clone()
	l.mu.Unlock()
	if size < 0 || size > head.Size {
		return Head{}, allod.Errorf(allod.NotFound, "find the ledger of %d entries: it has %d", size, head.Size)
	}
	root, err := h.root(ctx, size)
	return Head{Size: size, Hash: root}, err
}

// attest returns a head, its signed checkpoint and hashes to prove from.
func (l *Ledger) attest(ctx context.Context) (Head, []byte, *hashes, error) {
	l.mu.Lock()
	head, published, h := l.head, l.published, l.hashes.clone()
	l.mu.Unlock()
	if l.signer != nil {
		checkpoint, err := signNote(checkpointText(l.vault, head), l.signer)
		return head, checkpoint, h, err
	}
	if published == 0 {
		err := allod.Errorf(allod.Denied, "sign a checkpoint of the ledger: it was opened without a signing key, and none is stored yet")
		return Head{}, nil, nil, err
	}
	checkpoint, err := read(ctx, l.store, checkpointName(published), maxObject)
	if err != nil {
		return Head{}, nil, nil, err
	}
	text, err := openNote(checkpoint, l.verifiers)
	if err != nil {
		return Head{}, nil, nil, err
	}
	head, err = parseCheckpoint(text, l.vault)
	return head, checkpoint, h, err
}

// Check verifies the proof with nothing but the vault's id and public keys, and
// returns the entry and the head it is proven in. Corrupt if anything in it is
// not as signed.
func (p Proof) Check(vault allod.GUID, trusted []ed25519.PublicKey) (Entry, Head, error) {
	head, err := CheckCheckpoint(p.Checkpoint, vault, trusted)
	if err != nil {
		return Entry{}, Head{}, err
	}
	v, err := verifiers(vault, trusted)
	if err != nil {
		return Entry{}, Head{}, err
	}
	e, err := openEntry(p.Entry, vault, v)
	if err != nil {
		return Entry{}, Head{}, err
	}
	if e.n != p.Index || p.Index >= head.Size {
		return Entry{}, Head{}, allod.Errorf(allod.Corrupt, "check a ledger proof: it holds entry %d of %d, not %d", e.n, head.Size, p.Index)
	}
	if err := tlog.CheckRecord(p.Path, head.Size, head.Hash, p.Index, tlog.RecordHash(p.Entry)); err != nil {
		return Entry{}, Head{}, allod.Errorf(allod.Corrupt, "check a ledger proof: the path does not lead from the entry to the signed root")
	}
	return e.Entry, head, nil
}

// Check verifies that the signed checkpoint's ledger contains From unchanged,
// and returns its head.
func (g Growth) Check(vault allod.GUID, trusted []ed25519.PublicKey) (Head, error) {
	head, err := CheckCheckpoint(g.Checkpoint, vault, trusted)
	if err != nil {
		return Head{}, err
	}
	if g.From.Size < 0 || g.From.Size > head.Size || g.From.Size == 0 && (len(g.Path) > 0 || g.From.Hash != emptyTree()) {
		return Head{}, allod.Errorf(allod.Corrupt, "check the growth of a ledger: from %d to %d entries", g.From.Size, head.Size)
	}
	if g.From.Size == 0 {
		return head, nil
	}
	if err := tlog.CheckTree(g.Path, head.Size, head.Hash, g.From.Size, g.From.Hash); err != nil {
		return Head{}, allod.Errorf(allod.Corrupt, "check the growth of a ledger: the later state does not contain the earlier one")
	}
	return head, nil
}
