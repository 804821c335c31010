package act

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"allod"
	"allod/internal/blob"
	"allod/internal/blob/place"
	"allod/internal/blob/through"
	"allod/internal/durable"
	"allod/internal/govern/gate"
	"allod/internal/ledger"
	"allod/internal/seen"
	"allod/internal/source"
	"allod/internal/source/pace"
	"allod/internal/vault"
	"allod/internal/vault/keyring"
	"allod/internal/vault/keyring/keyspec"
	"allod/internal/vault/keyring/kms"
)

// Deps are the concrete adapters, wired in main, and the few facts of the
// process. All fields are required unless said otherwise.
type Deps struct {
	OpenSource func(ctx context.Context, env string, c Connection) (source.Source, error)
	// OpenNative reaches the platform's own backups of the environment with the
	// platform's id.
	OpenNative func(ctx context.Context, env string, c Connection, id allod.GUID) (source.Native, error)
	OpenStore  func(ctx context.Context, path string, create bool) (blob.Mutable, error) // a local folder, or the address of a bucket
	Passphrase func(confirm bool) ([]byte, error)                                        // from ALLOD_PASSPHRASE or the terminal
	Holder     func(confirm bool) ([]byte, error)                                        // the passphrase of a holder of a container; nil = nobody has it
	Recovery   func() (string, error)                                                    // the words of the recovery key, for the key paper; nil = nobody has them
	SSH        func(file string) ([]byte, error)                                         // the passphrase of an SSH key; nil = nobody has it
	Services   map[string]func(ctx context.Context, address string) (kms.Service, error) // that wrap keys of slots, by the word of their SPEC; nil = none
	Key        string                                                                    // what opens the vault instead of the configured key, see keyspec; "" = that
	Now        func() time.Time
	Actor      allod.Actor
	Purpose    allod.Purpose // overrides what follows from the command; "" = none
	Disk       *durable.Disk
	NewID      func() allod.GUID // a new random id at every call; for checks that write
}

// Office is an Allod in a folder: configuration, open vault, gate. Methods may
// be called one at a time. Close it when done.
type Office struct {
	Dir    string
	deps   Deps
	config *Config
	vault  *vault.Vault
	gate   *gate.Gate
	ledger *ledger.Ledger
	places []blob.Store    // the vault and its slots, as their readers see them
	key    keyring.Wrapper // what the vault was opened with; nil without keys
	spec   string          // how key was named
	seen   seen.Heads
}

// Open opens the Allod in dir with its key. NotFound when there is none,
// Denied for a wrong passphrase, Corrupt when the vault is not the pinned one.
func Open(ctx context.Context, dir string, deps Deps) (*Office, error) {
	c, err := loadConfig(dir)
	if err != nil {
		return nil, err
	}
	o := &Office{Dir: dir, deps: deps, config: c}
	o.spec = cmp.Or(deps.Key, c.Key, "passphrase")
	w, err := o.Keys().Open(ctx, o.spec)
	if err != nil {
		return nil, err
	}
	cfg, err := o.vaultConfig(ctx, false)
	if err != nil {
		return nil, err
	}
	if o.vault, err = vault.Open(ctx, cfg, w); err != nil {
		return nil, damaged(fmt.Errorf("open the vault in %s: %w", dir, err))
	}
	o.key = w
	if err := o.openGate(ctx); err != nil {
		return nil, errors.Join(damaged(fmt.Errorf("open the ledger of the vault in %s: %w", dir, err)), o.vault.Close())
	}
	return o, nil
}

// damaged says what to do about a vault that does not open because of its bytes.
func damaged(err error) error {
	if allod.KindOf(err) != allod.Corrupt || allod.HintOf(err) != "" {
		return err
	}
	return allod.WithHint(err, "Keep this folder as it is, and put the named object back from a copy; `allod vault verify --public` says what else is damaged.")
}

// openGate opens the ledger that decisions are written to, and the gate.
func (o *Office) openGate(ctx context.Context) error {
	c, err := o.vault.LedgerConfig()
	if err != nil {
		return err
	}
	c.Seen = append(c.Seen, o.seen.Ledger)
	l, err := ledger.Open(ctx, c)
	if err != nil {
		return err
	}
	o.ledger, o.gate = l, gate.New(gate.ShippedMatrix(), l, o.deps.Now)
	return nil
}

// OpenPublic opens the vault without keys: enough to verify it publicly.
func OpenPublic(ctx context.Context, dir string, deps Deps) (*Office, error) {
	c, err := loadConfig(dir)
	if err != nil {
		return nil, err
	}
	o := &Office{Dir: dir, deps: deps, config: c}
	cfg, err := o.vaultConfig(ctx, false)
	if err != nil {
		return nil, err
	}
	if o.vault, err = vault.OpenPublic(ctx, cfg); err != nil {
		return nil, damaged(fmt.Errorf("open the vault in %s: %w", dir, err))
	}
	return o, nil
}

// Inside returns what the packages below this one work with; not for pages and
// command lines. Gate and ledger are nil in an office opened without keys.
func (o *Office) Inside() (*vault.Vault, *gate.Gate, *ledger.Ledger, Deps) {
	return o.vault, o.gate, o.ledger, o.deps
}

// Close forgets the keys, and remembers how far log and ledger have come.
func (o *Office) Close() error {
	if o == nil || o.vault == nil {
		return nil
	}
	return errors.Join(o.seen.Keep(o.deps.Disk, o.vault.Head(), o.ledger), o.vault.Close())
}

// Config returns the configuration. Do not change it.
func (o *Office) Config() *Config { return o.config }

func (o *Office) vaultConfig(ctx context.Context, create bool) (vault.Config, error) {
	store, err := o.deps.OpenStore(ctx, o.path(o.config.Store), create)
	if err != nil {
		if allod.HintOf(err) == "" {
			err = allod.WithHint(err, "The vault is not where %s says: mount its disk, or put this folder back from a copy.", ConfigFile)
		}
		return vault.Config{}, fmt.Errorf("open the vault's store: %w", err)
	}
	if o.seen, err = seen.Load(o.Dir, o.config.Pin.Vault); err != nil {
		return vault.Config{}, err
	}
	cfg := vault.Config{Store: through.Wrap(store), Now: o.deps.Now, TempDir: filepath.Join(o.Dir, "tmp"), Pin: o.config.Pin, Seen: o.seen.Log, Index: place.Beside(o.path(IndexDir), o.deps.OpenStore)}
	o.places = []blob.Store{cfg.Store}
	pin := keyring.Pin{Vault: cfg.Pin.Vault, Signers: cfg.Pin.Keys(keyring.SignSlot)}
	for _, place := range o.config.Slots {
		p, err := o.deps.OpenStore(ctx, o.path(place), create)
		if err != nil {
			return vault.Config{}, allod.WithHint(fmt.Errorf("open the place of slots %s: %w", place, err), "%s", cmp.Or(allod.HintOf(err), "The slots hold the keys: put this folder back from a copy. Without any of its places nothing opens the vault."))
		}
		if !create { // slots of others are in the way of new ones
			p = through.WrapSlots(p, func(name string, b []byte) bool { return keyring.Check(name, b, pin) == nil })
		}
		cfg.Slots, o.places = append(cfg.Slots, p), append(o.places, p)
	}
	if err := o.deps.Disk.MkdirAll(cfg.TempDir); err != nil {
		return vault.Config{}, fmt.Errorf("make the folder for temporary files: %w", err)
	}
	return cfg, nil
}

// path resolves a path of the configuration against the folder.
func (o *Office) path(p string) string { return place.Resolve(o.Dir, p) }

// Keys are where this office takes keys from.
func (o *Office) Keys() *keyspec.Sources {
	return &keyspec.Sources{
		Passphrase: o.deps.Passphrase, Recovery: o.deps.Recovery, SSH: o.deps.SSH, Services: o.deps.Services, Path: o.path, Disk: o.deps.Disk,
	}
}

// session asks the gate for what a command needs. Whole rows are content until
// every column is classified (design/rights.md).
func (o *Office) session(ctx context.Context, action gate.Action, env string, purpose allod.Purpose) (gate.Session, error) {
	return o.gate.Open(ctx, gate.Request{
		Actor: o.deps.Actor, Action: action, Purpose: cmp.Or(o.deps.Purpose, purpose),
		Resource: gate.Resource{Environment: env, Class: allod.ClassContent},
	})
}

// open returns the view of a moment, under a session opened for it.
func (o *Office) open(ctx context.Context, m Moment, action gate.Action) (source.View, gate.Session, error) {
	s, err := o.session(ctx, action, m.Environment, allod.PurposeOperate)
	if err != nil {
		return nil, s, err
	}
	v, err := o.view(ctx, s, m)
	return v, s, err
}

func (o *Office) view(ctx context.Context, s gate.Session, m Moment) (source.View, error) {
	if m.Live {
		return o.liveView(ctx, m.Environment)
	}
	snap, err := o.pick(ctx, m)
	if err != nil {
		return nil, err
	}
	return o.vault.At(ctx, s, m.Environment, snap.ID)
}

func (o *Office) pick(ctx context.Context, m Moment) (allod.Snapshot, error) {
	all, err := o.vault.Snapshots(ctx, m.Environment)
	if err != nil {
		return allod.Snapshot{}, err
	}
	if len(all) == 0 {
		if _, err := o.connection(m.Environment); err != nil {
			return allod.Snapshot{}, err
		}
	}
	return m.pick(all)
}

// connection returns how an environment is reached; NotFound lists those there are.
func (o *Office) connection(env string) (Connection, error) {
	c, ok := o.config.Environments[env]
	if !ok {
		err := allod.Errorf(allod.NotFound, "find the environment %q: it is not connected", env)
		return c, allod.WithHint(err, "Connected are: %s. `allod connect %s URL --kind dataverse` adds it.", list(sortedKeys(o.config.Environments)), env)
	}
	return c, nil
}

// source opens the connector of an environment.
func (o *Office) source(ctx context.Context, env string) (source.Source, error) {
	c, err := o.connection(env)
	if err != nil {
		return nil, err
	}
	c.Pace = pace.Pace{MaxConcurrency: c.Pace.MaxConcurrency}
	return o.reach(ctx, env, c)
}

func (o *Office) reach(ctx context.Context, env string, c Connection) (source.Source, error) {
	c.Counts = o.path(filepath.Join("derived", "requests", env))
	if err := c.Pace.Check(); err != nil {
		return nil, fmt.Errorf("read what may be taken of %s: %w", env, err)
	}
	return o.deps.OpenSource(ctx, env, c)
}

// InitOptions of Init.
type InitOptions struct {
	Store string // path or address of the vault; "" = vault, inside the folder
	Slots []string

	AcceptSlotHistory bool   // also places of slots where what is deleted is not gone
	Key               string // passphrase (default), file:PATH, or another that keyspec makes a slot of
}

// Made says what Init made. Words are the printed recovery key: shown once,
// stored nowhere.
type Made struct {
	Dir   string   `json:"dir"`
	Vault string   `json:"vault"`
	Slots []string `json:"slots"`
	Words []string `json:"recovery_key,omitempty"`
}

// Init makes a new Allod in dir: a vault, its key and a recovery key on paper.
// Conflict when there is one already.
func Init(ctx context.Context, dir string, opts InitOptions, deps Deps) (*Made, error) {
	if _, err := os.Stat(filepath.Join(dir, ConfigFile)); err == nil {
		return nil, allod.WithHint(allod.Errorf(allod.Conflict, "make an Allod in %s: there is one already", dir), "Use it with --dir %s, or name another folder.", dir)
	}
	if err := deps.Disk.MkdirAll(dir); err != nil {
		if allod.HintOf(err) == "" {
			err = allod.WithHint(err, "Name another folder with --dir or ALLOD_DIR.")
		}
		return nil, fmt.Errorf("make the folder %s: %w", dir, err)
	}
	c := &Config{Store: cmp.Or(opts.Store, "vault"), Slots: opts.Slots, Key: cmp.Or(opts.Key, "passphrase"), Environments: map[string]Connection{}}
	if len(c.Slots) == 0 {
		c.Slots = []string{"slots"}
	}
	o := &Office{Dir: dir, deps: deps, config: c}
	if err := o.checkPlaces(); err != nil {
		return nil, err
	}
	if keyspec.Opener(c.Key) == "" {
		return nil, allod.WithHint(allod.Errorf(allod.Invalid, "make an Allod whose usual key is that of others"), "Take a passphrase or file:PATH, and add their slot with `allod vault keys add`.")
	}
	cfg, err := o.vaultConfig(ctx, true)
	if err == nil {
		c.AcceptSlotHistory, err = place.AcceptAll(ctx, c.Slots, cfg.Slots, opts.AcceptSlotHistory)
	}
	if err != nil {
		return nil, err
	}
	w, err := o.Keys().Make(ctx, c.Key)
	if err != nil {
		return nil, err
	}
	paper, err := keyring.NewPaper()
	if err != nil {
		return nil, err
	}
	name := keyspec.Slot(c.Key)
	v, pin, err := vault.Create(ctx, cfg, vault.CreateOptions{Wrappers: []vault.NamedWrapper{{Name: name, Wrapper: w}, {Name: "paper", Wrapper: paper}}})
	if err != nil {
		if allod.KindOf(err) == allod.Conflict && allod.HintOf(err) == "" {
			err = allod.WithHint(err, "No %s names it. If `allod init` was cut short here, move %s and %s away and run it again; otherwise bring its %s back.",
				ConfigFile, c.Store, strings.Join(c.Slots, ", "), ConfigFile)
		}
		return nil, fmt.Errorf("make the vault: %w", err)
	}
	c.Pin = pin
	if err := errors.Join(savePin(deps.Disk, dir, pin), saveConfig(ctx, deps.Disk, dir, c), v.Close()); err != nil {
		return nil, err
	}
	return &Made{Dir: dir, Vault: pin.Vault.String(), Slots: []string{name, "paper"}, Words: paper.Words()}, nil
}
