// Package keyspec reads how people name a key, and makes what opens a slot, or
// a new one, of it. A SPEC never holds a secret: secrets are typed, or come from
// files, the environment or a service.
//
//	passphrase             asked for, or from the environment
//	file:PATH              a key file
//	paper                  the words of a printed recovery key
//	age:RECIPIENT[,…]      to make: age1pq1…, age1…, ssh-ed25519 …, ssh-rsa …, or files of such lines (age:@PATH)
//	identity:PATH          to open what age: made: a file of age identities, or an SSH private key
//	azurekv:URL            a key of Azure Key Vault, https://NAME.vault.azure.net/keys/KEY
//	awskms:ARN             a key of AWS KMS
//	hcvault:URL            a key of HashiCorp Vault, https://HOST:8200/MOUNT/KEY
package keyspec

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"allod"
	"allod/internal/durable"
	"allod/internal/vault/keyring"
	"allod/internal/vault/keyring/agekey"
	"allod/internal/vault/keyring/kms"
)

// Sources are where keys come from. All fields are required unless said
// otherwise.
type Sources struct {
	Passphrase func(confirm bool) ([]byte, error)                                        // of the vault, or of a new slot
	Recovery   func() (string, error)                                                    // the words of the recovery key; nil = nobody has them
	SSH        func(file string) ([]byte, error)                                         // the passphrase of an SSH key; nil = nobody has it
	Services   map[string]func(ctx context.Context, address string) (kms.Service, error) // by the word before the colon; nil = none
	Path       func(string) string                                                       // resolves a path of a SPEC
	Disk       *durable.Disk                                                             // new key files are written there
}

const maxFile = 64 << 10

// Open makes what opens a slot. Invalid for a SPEC that opens nothing, Denied
// where what it names cannot be had.
func (s *Sources) Open(ctx context.Context, spec string) (keyring.Wrapper, error) {
	kind, value, _ := strings.Cut(cmp.Or(spec, "passphrase"), ":")
	switch {
	case kind == "passphrase" && value == "":
		p, err := s.Passphrase(false)
		if err != nil {
			return nil, err
		}
		return keyring.NewPassphrase(p)
	case kind == "file" && value != "":
		b, err := read(s.Path(value))
		if err != nil {
			return nil, allod.WithHint(allod.Errorf(allod.Denied, "read the key file: %w", err), "The vault opens with this file, or with the printed recovery key.")
		}
		return keyring.ParseKeyFile(b)
	case kind == "paper" && value == "":
		return s.recovery()
	case kind == "identity" && value != "":
		return s.identity(value)
	case s.Services[kind] != nil && value != "":
		return s.service(ctx, kind, value)
	}
	return nil, allod.Errorf(allod.Invalid, "read the key %q: want %s", shown(spec), s.list("passphrase, file:PATH", "identity:PATH", " or paper"))
}

// Make makes what seals a new slot: a passphrase is asked for twice, a key file
// is written anew and never over another. Recovery keys are made elsewhere,
// since their words have to be shown.
func (s *Sources) Make(ctx context.Context, spec string) (keyring.Wrapper, error) {
	kind, value, _ := strings.Cut(cmp.Or(spec, "passphrase"), ":")
	switch {
	case kind == "passphrase" && value == "":
		p, err := s.Passphrase(true)
		if err != nil {
			return nil, err
		}
		return keyring.NewPassphrase(p)
	case kind == "file" && value != "":
		return s.newKeyFile(s.Path(value))
	case kind == "age" && value != "":
		return s.recipients(value)
	case s.Services[kind] != nil && value != "":
		return s.service(ctx, kind, value)
	}
	return nil, allod.Errorf(allod.Invalid, "read the key %q: want %s", shown(spec), s.list("passphrase, file:PATH", "age:RECIPIENT", "; `allod vault keys paper` makes recovery keys"))
}

// shown is what of a SPEC may stand in an error: should somebody have typed a
// secret there, it is not repeated.
func shown(spec string) string {
	kind, _, found := strings.Cut(spec, ":")
	if found {
		return kind + ":…"
	}
	return kind
}

func (s *Sources) list(first, age, last string) string {
	out := []string{first, age}
	for _, kind := range slices.Sorted(maps.Keys(s.Services)) {
		out = append(out, kind+":ADDRESS")
	}
	return strings.Join(out, ", ") + last
}

// Slot is the name that a slot gets by default of its SPEC: what stands before
// the colon.
func Slot(spec string) string {
	name, _, _ := strings.Cut(cmp.Or(spec, "passphrase"), ":")
	return name
}

// Opener is the SPEC that opens what Make made of a SPEC; "" if that is for
// others to know: recipients are public.
func Opener(spec string) string {
	if strings.HasPrefix(spec, "age:") {
		return ""
	}
	return spec
}

// Settings are what allod.yaml says of keys. The zero value is a vault as
// `allod init` makes it.
type Settings struct {
	Open     map[string]string `yaml:"open,omitempty"`      // SPEC that opens a slot, by its name; other slots are opened as they were made
	LockDays *int              `yaml:"lock_days,omitempty"` // for how long slots are locked where their place can; nil = 14 there, 0 in a folder
	GDPR     *bool             `yaml:"gdpr,omitempty"`      // whether an erasure must be final within 25 days; nil = yes
}

// SlotOf is the name of the slot that a SPEC opens.
func (s Settings) SlotOf(spec string) string {
	for _, name := range slices.Sorted(maps.Keys(s.Open)) {
		if s.Open[name] == spec {
			return name
		}
	}
	return Slot(spec)
}

func (s *Sources) recovery() (keyring.Wrapper, error) {
	if s.Recovery == nil {
		return nil, allod.Errorf(allod.Denied, "read the recovery key: nobody is there to type it")
	}
	words, err := s.Recovery()
	if err != nil {
		return nil, err
	}
	return keyring.ParsePaper(words)
}

func (s *Sources) identity(value string) (keyring.Wrapper, error) {
	path := s.Path(value)
	b, err := read(path)
	if err != nil {
		return nil, allod.Errorf(allod.Denied, "read the identity: %w", err)
	}
	var ask func() ([]byte, error)
	if s.SSH != nil {
		ask = func() ([]byte, error) { return s.SSH(path) }
	}
	return agekey.ParseIdentity(b, ask)
}

func (s *Sources) recipients(value string) (keyring.Wrapper, error) {
	var texts []string
	for part := range strings.SplitSeq(value, ",") {
		path, isFile := strings.CutPrefix(part, "@")
		if !isFile {
			texts = append(texts, part)
			continue
		}
		b, err := read(s.Path(path))
		if err != nil {
			return nil, allod.Errorf(allod.Denied, "read recipients: %w", err)
		}
		for line := range strings.Lines(string(b)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				texts = append(texts, line)
			}
		}
	}
	return agekey.ParseRecipients(texts)
}

func (s *Sources) service(ctx context.Context, kind, address string) (keyring.Wrapper, error) {
	k, err := s.Services[kind](ctx, address)
	if err != nil {
		return nil, err
	}
	return kms.New(k), nil
}

func (s *Sources) newKeyFile(path string) (keyring.Wrapper, error) {
	k, err := keyring.NewKeyFile()
	if err != nil {
		return nil, err
	}
	if err := s.Disk.MkdirAll(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("make the folder of the key file: %w", err)
	}
	if err := s.Disk.Create(path, bytes.NewReader(k.Text()), int64(len(k.Text()))); err != nil {
		return nil, fmt.Errorf("write the key file: %w", err)
	}
	return k, nil
}

// read reads a file of at most 64 KiB.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxFile {
		return nil, allod.Errorf(allod.Invalid, "%s has more than %d bytes", path, maxFile)
	}
	return b, nil
}
