package ledger

import (
	"context"

	"golang.org/x/mod/sumdb/tlog"

	"allod"
)

var errUnbuilt = allod.Errorf(allod.Internal, "ledger: being written")

type Ledger struct{}

// Open reads the ledger's state.
func Open(ctx context.Context, c Config) (*Ledger, error) { return nil, errUnbuilt }

// Vault returns the id of the vault.
func (l *Ledger) Vault() allod.GUID { return allod.GUID{} }

// Opaque returns the pseudonym of a name within a domain such as "actor".
func (l *Ledger) Opaque(domain, name string) string { return "" }

// Append records e durably and returns its index.
func (l *Ledger) Append(ctx context.Context, e Entry) (int64, error) { return 0, errUnbuilt }

// Root returns the head this process knows.
func (l *Ledger) Root() (int64, tlog.Hash) { return 0, tlog.Hash{} }

// Head is Root as a Head.
func (l *Ledger) Head() Head { return Head{} }

// Contains checks that h is a former head of this ledger.
func (l *Ledger) Contains(ctx context.Context, h Head) error { return errUnbuilt }

// Verify reads everything.
func (l *Ledger) Verify(ctx context.Context) (Report, error) { return Report{}, errUnbuilt }

type Report struct {
	Entries, Tiles, Checkpoints int64
	Bad                         []Bad
}
type Bad struct {
	Object, What string
	Kind         allod.Kind
}
