package vault

import (
	"context"

	"allod"
	"allod/internal/blob"
	"allod/internal/govern/gate"
	"allod/internal/vault/internal/compare"
	"allod/internal/vault/internal/known"
	"allod/internal/vault/journal"
	"allod/internal/vault/keyring"
	"allod/internal/vault/meta"
	"allod/internal/vault/object"
	"allod/internal/vault/puncture"
)

// Role returns the role of the slot that the vault was opened with; "" = none.
func (v *Vault) Role() keyring.Role { return v.held().Role }

// openIndex opens the index of what is known, where one is kept: by who cannot
// read, and where there is one already.
func (v *Vault) openIndex(ctx context.Context) error {
	if v.cfg.Index == nil {
		return nil
	}
	place, err := v.cfg.Index(ctx, v.secrets.Role == keyring.RoleCapture)
	if err != nil || place == nil {
		return object.Named("open the index of what is known", err)
	}
	v.known, err = known.Open(ctx, place, v.ID(), v.secrets.Index, v.cfg.TempDir, v.content)
	return err
}

// Hand signs an erasure that a process of role erase may carry out. The session
// must have been opened to erase; Denied without the key of use erase.
func (v *Vault) Hand(s gate.Session, h *puncture.Handed) error {
	if err := v.mayPuncture(s, gate.ActionErase); err != nil {
		return err
	}
	key, err := v.held().Signer(keyring.SignErase)
	if err != nil {
		return err
	}
	return h.Sign(v.ID(), key)
}

// keeps reports whether what is known of the environment's rows is kept beside
// the vault. Of the office it is not: who writes there reads there.
func (v *Vault) keeps(env uint32) bool { return v.known != nil && env != 0 }

// knownHead returns what is known as of an environment's newest entry. Who can
// read makes it where it is missing or behind; for who cannot that is the end.
func (v *Vault) knownHead(ctx context.Context, name string, e *journal.Entry) (*known.Head, error) {
	h, err := v.known.Head(ctx, e)
	switch {
	case err == nil:
		return h, nil
	case v.held().Role.Reader():
		return v.known.Rebuild(ctx, e, v.known.Newest(ctx, v.log.Entries(), e.Environment))
	default:
		return nil, allod.WithHint(allod.Errorf(allod.KindOf(err), "capture %s: this slot cannot read what is stored, and the index of what is known does not say it: %w", name, err),
			"Run `allod vault index rebuild` with a slot that reads, in this folder or with --out for it.")
	}
}

// look takes what the rows are compared with, as of now. The caller holds the
// run's lock.
func (w *TableWriter) look() compare.Past {
	r := w.r
	w.past = r.v.content.Past(r.env, r.capture)
	if r.v.held().Role.Reader() {
		return &compare.Stored{Past: w.past, Opener: w.o, Schema: w.schema, Number: w.number}
	}
	w.index = r.v.known.Table(r.head, w.schema, w.number)
	return w.index
}

// mayCompare refuses a capture by who can neither read nor look up what is
// stored.
func (v *Vault) mayCompare(env string) error {
	if v.held().Role.Reader() || v.known != nil && env != Office {
		return nil
	}
	return allod.WithHint(allod.Errorf(allod.Denied, "capture %s: this slot cannot read what is stored, and has no index of what is known", env), "Name a slot that reads with --key.")
}

// Indexed is what RebuildIndex has done for one environment.
type Indexed = known.Indexed

// RebuildIndex makes what is known of every environment anew in place, from the
// rows that are stored, and removes what is of no use any more. Nobody may
// capture with it meanwhile. The session must have been opened to verify, with
// content. Denied without the read identity.
func (v *Vault) RebuildIndex(ctx context.Context, s gate.Session, place blob.Store) ([]Indexed, error) {
	if err := s.AllowsAction(gate.ActionVerify); err != nil {
		return nil, err
	}
	if err := s.AllowsContent(gate.AllEnvironments, ""); err != nil {
		return nil, err
	}
	if err := v.settle(ctx); err != nil {
		return nil, err
	}
	envs, _, err := v.environments(ctx)
	if err != nil {
		return nil, err
	}
	x, err := known.Open(ctx, place, v.ID(), v.held().Index, v.cfg.TempDir, v.content)
	if err != nil {
		return nil, err
	}
	return x.RebuildAll(ctx, envs)
}

// describe returns the manifest and the schema of a capture's entry: who cannot
// read knows those of the newest.
func (v *Vault) describe(ctx context.Context, e *journal.Entry) (*meta.Manifest, *meta.Schema, error) {
	if !v.held().Role.Reader() && v.keeps(e.Environment) {
		if h, err := v.known.Head(ctx, e); err == nil {
			return h.Manifest(), h.Schema(), nil
		}
	}
	m, err := v.content.Manifest(ctx, e)
	if err != nil {
		return nil, nil, err
	}
	s, err := v.content.Schema(e.Environment, m.Schema, m.SchemaEntry)
	return m, s, err
}
