// Package seen remembers the ends of a vault's log and ledger outside its store,
// so that a store which was rolled back, cut off, forked or overlaid is noticed
// by everybody who has opened it before: signatures alone do not show it.
package seen

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"allod"
	"allod/internal/durable"
	"allod/internal/ledger"
	"allod/internal/vault"
)

// File is the name of the file, beside the configuration.
const File = "seen.json"

const (
	format  = 1
	maxFile = 1 << 12 // bytes
)

// Heads are the ends of log and ledger as they were seen. The zero Heads says
// that nothing was seen yet.
type Heads struct {
	Log    vault.Head
	Ledger ledger.Head

	dir   string
	vault allod.GUID
}

// wire is the content of File.
type wire struct {
	Format int         `json:"format"`
	Vault  string      `json:"vault"`
	Log    vault.Head  `json:"log,omitzero"`
	Ledger ledger.Head `json:"ledger,omitzero"`
}

// Load reads what the folder remembers of a vault: nothing, where there is no
// file or one of another vault. Corrupt for a file that Keep did not write.
func Load(dir string, vaultID allod.GUID) (Heads, error) {
	h := Heads{dir: dir, vault: vaultID}
	path := filepath.Join(dir, File)
	b, err := read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return h, nil
	}
	if err != nil {
		return h, durable.Wrap(err, "read %s", path)
	}
	var w wire
	if err := json.Unmarshal(b, &w); err != nil || w.Format != format || w.Ledger.Size < 0 {
		err := allod.Errorf(allod.Corrupt, "read %s: it is not what this program wrote there", path)
		return h, allod.WithHint(err, "Put it back from a copy of this folder. Without it the vault opens, and nothing that happened to its store before is noticed.")
	}
	if w.Vault == vaultID.String() {
		h.Log, h.Ledger = w.Log, w.Ledger
	}
	return h, nil
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// Keep remembers heads that were seen since, durably, unless the file, which
// another process may have written meanwhile, has later ones. A nil ledger, and
// Heads that nobody loaded, add nothing. Nothing is written where nothing has
// changed.
func (h Heads) Keep(disk *durable.Disk, log vault.Head, l *ledger.Ledger) error {
	if h.dir == "" {
		return nil
	}
	now, err := Load(h.dir, h.vault)
	if err != nil {
		return err
	}
	next := now
	if log.N > next.Log.N {
		next.Log = log
	}
	if l != nil {
		if head := l.Head(); head.Size > next.Ledger.Size {
			next.Ledger = head
		}
	}
	if next == now {
		return nil
	}
	b, err := json.Marshal(wire{Format: format, Vault: h.vault.String(), Log: next.Log, Ledger: next.Ledger})
	if err != nil {
		return fmt.Errorf("remember the ends of log and ledger: %w", err)
	}
	if err := disk.Replace(filepath.Join(h.dir, File), append(b, '\n')); err != nil {
		return fmt.Errorf("remember the ends of log and ledger: %w", err)
	}
	return nil
}
