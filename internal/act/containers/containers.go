// Package containers keeps the register of restrictions and legal holds in the
// office of the vault: who may open them, and which records they name.
package containers

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"allod"
	"allod/internal/act"
	"allod/internal/govern/gate"
	"allod/internal/govern/rights"
	"allod/internal/vault"
	"allod/internal/vault/escrow"
	"allod/internal/vault/keyring"
	"allod/internal/vault/keyring/keyspec"
	"allod/internal/vault/office"
)

const (
	table    = "container" // of the office
	tries    = 10          // writers of the office that may come between
	maxName  = 40
	maxHolds = 20 // holders of one container
)

var name = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)

// described describes the office's table of containers: one text column with
// the JSON of rights.Container.
func described() allod.Table {
	id := allod.GUID{0xa1, 0x10, 0xd0, 0xf1, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, 0x12}
	c := allod.Column{Name: "record", ID: id, Type: allod.String, Native: "text"}
	c.ID[9] = 1
	return allod.Table{Name: table, ID: id, Set: "containers", SchemaName: table, Key: "containerid", Class: allod.ClassData, Reason: "office", Columns: []allod.Column{c}}
}

func session(ctx context.Context, o *act.Office) (gate.Session, error) {
	_, g, _, deps := o.Inside()
	return g.Open(ctx, gate.Request{
		Actor: deps.Actor, Action: gate.ActionOffice, Purpose: cmp.Or(deps.Purpose, allod.PurposeOperate), Resource: gate.Resource{Environment: vault.Office, Class: allod.ClassContent},
	})
}

// Load reads all containers, oldest first.
func Load(ctx context.Context, o *act.Office) ([]rights.Container, error) {
	s, err := session(ctx, o)
	if err != nil {
		return nil, err
	}
	_, all, err := load(ctx, o, s)
	return all, err
}

func load(ctx context.Context, o *act.Office, s gate.Session) (*vault.Snapshot, []rights.Container, error) {
	v, _, _, _ := o.Inside()
	snap, err := office.Read(ctx, v, s)
	if err != nil {
		return nil, nil, err
	}
	all, err := office.Records(ctx, snap, table, func(c *rights.Container) allod.GUID { return c.ID })
	slices.SortFunc(all, func(a, b rights.Container) int {
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.Name, b.Name))
	})
	return snap, all, err
}

// Find returns the container of a name, also one that is closed; NotFound when
// there is none.
func Find(ctx context.Context, o *act.Office, named string) (*rights.Container, []rights.Container, error) {
	all, err := Load(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	for i := range all {
		if all[i].Name == named {
			return &all[i], all, nil
		}
	}
	return nil, all, allod.WithHint(allod.Errorf(allod.NotFound, "find the container %q: there is none", named), "`allod vault containers` lists them.")
}

// Save writes a container. change is called with it as it is stored, nil for
// none, at each attempt. Conflict for a name that another one has.
func Save(ctx context.Context, o *act.Office, id allod.GUID, change func(*rights.Container) (*rights.Container, error)) (*rights.Container, error) {
	v, _, _, deps := o.Inside()
	s, err := session(ctx, o)
	if err != nil {
		return nil, err
	}
	for range tries {
		snap, all, err := load(ctx, o, s)
		if err != nil {
			return nil, err
		}
		var old *rights.Container
		if i := slices.IndexFunc(all, func(c rights.Container) bool { return c.ID == id }); i >= 0 {
			old = &all[i]
		}
		c, err := change(old)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(all, func(other rights.Container) bool { return other.ID != id && other.Name == c.Name }) {
			return nil, allod.Errorf(allod.Conflict, "write container %s: another one has the name", c.Name)
		}
		b, err := json.Marshal(c)
		if err != nil {
			return nil, allod.Errorf(allod.Internal, "write container %s: %w", c.Name, err)
		}
		row := allod.Row{Table: table, Key: id, Cells: []allod.Value{allod.StringValue(string(b))}}
		err = office.Write(ctx, v, s, snap, []allod.Table{described()}, []allod.Row{row}, deps.Now())
		if err == nil || allod.KindOf(err) != allod.Conflict {
			return c, err
		}
	}
	return nil, allod.Errorf(allod.Unavailable, "write a container: others wrote to the office %d times meanwhile", tries)
}

// New makes a container whose private half each of the holders opens alone, and
// stores nothing. A holder is an age or SSH recipient, or a SPEC of package
// keyspec. Invalid for a name with other than lower-case letters, digits and -,
// or without a holder.
func New(ctx context.Context, o *act.Office, named, kind, environment string, holders []string) (*rights.Container, error) {
	v, _, _, deps := o.Inside()
	if len(named) > maxName || !name.MatchString(named) {
		return nil, allod.Errorf(allod.Invalid, "make a container: a name has lower-case letters, digits and -, at most %d", maxName)
	}
	if len(holders) == 0 || len(holders) > maxHolds {
		return nil, allod.WithHint(allod.Errorf(allod.Invalid, "make the container %s: name 1 to %d holders", named, maxHolds), "`--holder age1pq1…` seals it to a person's age key; an SSH public key, `file:PATH` and `passphrase` work too.")
	}
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		return nil, allod.Errorf(allod.Internal, "make the container %s: %w", named, err)
	}
	c := &rights.Container{
		ID: deps.NewID(), Name: named, Kind: kind, Environment: environment, Recipient: id.Recipient().String(), Tags: []vault.RecordTag{}, By: deps.Actor,
		Created: deps.Now().UTC().Truncate(time.Second),
	}
	for _, h := range holders {
		if strings.HasPrefix(h, "age1") || strings.HasPrefix(h, "ssh-") {
			h = "age:" + h
		}
		w, err := keysOf(o).Make(ctx, h)
		if err != nil {
			return nil, err
		}
		wrapped, err := w.Wrap(ctx, of(v.ID(), c.ID), []byte(id.String()))
		if err != nil {
			return nil, err
		}
		c.Holders = append(c.Holders, rights.Holder{Kind: w.Kind(), Wrapped: wrapped})
	}
	return c, nil
}

// keysOf are where keys of holders come from: a passphrase of theirs is not that
// of the vault.
func keysOf(o *act.Office) *keyspec.Sources {
	k := o.Keys()
	_, _, _, deps := o.Inside()
	k.Passphrase = deps.Holder
	if k.Passphrase == nil {
		k.Passphrase = func(bool) ([]byte, error) {
			return nil, allod.Errorf(allod.Denied, "read the passphrase of a holder: nobody is there to type it")
		}
	}
	return k
}

func of(v, container allod.GUID) keyring.Of {
	return keyring.Of{Vault: v, Slot: "container-" + hex.EncodeToString(container[:])}
}

// Unlock returns the private half of a container, with the key that a SPEC names:
// that of one of its holders. Denied if it is not.
func Unlock(ctx context.Context, o *act.Office, c *rights.Container, spec string) (age.Identity, error) {
	v, _, _, _ := o.Inside()
	w, err := keysOf(o).Open(ctx, spec)
	if err != nil {
		return nil, err
	}
	refused := allod.WithHint(allod.Errorf(allod.Denied, "open the container %s: none of its holders has a key of this kind", c.Name), "Name the key of a holder: `--holder-key identity:PATH`.")
	for _, h := range c.Holders {
		if h.Kind != w.Kind() {
			continue
		}
		half, err := w.Unwrap(ctx, of(v.ID(), c.ID), h.Wrapped)
		if err != nil {
			refused = allod.WithHint(allod.Errorf(allod.KindOf(err), "open the container %s: %w", c.Name, err), "%s", allod.HintOf(err))
			continue
		}
		id, err := age.ParseHybridIdentity(string(half))
		clear(half)
		if err != nil || id.Recipient().String() != c.Recipient {
			return nil, allod.Errorf(allod.Corrupt, "open the container %s: its private half is not that of its recipient", c.Name)
		}
		return id, nil
	}
	return nil, refused
}

// Escrow is what seals to a container.
func Escrow(c *rights.Container) escrow.Container {
	return escrow.Container{ID: c.ID, Recipient: c.Recipient}
}
