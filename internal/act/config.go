package act

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"allod"
	"allod/internal/act/connection"
	"allod/internal/durable"
	"allod/internal/notify"
	"allod/internal/vault"
	"allod/internal/vault/keyring/keyspec"
)

// Names inside the folder.
const (
	ConfigFile = "allod.yaml" // the configuration
	PinFile    = "vault.pin"  // what is known of the vault: its id, recipients and signers, all public
	IndexDir   = "index"      // what is known of rows, for captures that cannot read them; a folder
)

// Config is what allod.yaml holds: where things are, never a secret. It pins
// the vault, so that a store that was swapped is noticed.
type Config struct {
	Format int      `yaml:"format"` // 1
	Store  string   `yaml:"store"`  // path, relative to the folder, or URL
	Slots  []string `yaml:"slots"`  // erasable places of the slots

	AcceptSlotHistory []string `yaml:"accept_slot_history,omitempty"` // those of Slots where what is deleted is not gone, taken all the same

	Key          string                `yaml:"key"` // how the vault is opened, see keyspec
	Keys         keyspec.Settings      `yaml:"keys,omitempty"`
	Vault        string                `yaml:"vault"` // its id; PinFile holds the rest
	Pin          vault.Pin             `yaml:"-"`
	Verify       string                `yaml:"verify,omitempty"`  // schedule of `allod vault verify`; "" = weekly
	Compact      string                `yaml:"compact,omitempty"` // schedule of `allod vault compact`; "" = never
	Alarms       notify.Config         `yaml:"alarms,omitempty"`  // who is told what
	Environments map[string]Connection `yaml:"environments,omitempty"`
}

// Connection says how an environment is reached.
type Connection = connection.Connection

var environmentName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,39}$`)

// CheckName refuses names of environments that could not be typed or stored.
func CheckName(name string) error {
	if !environmentName.MatchString(name) || slices.Contains([]string{"live", "latest", "office", "undo"}, name) {
		return allod.WithHint(allod.Errorf(allod.Invalid, "name an environment %q", name), "Use a lower-case letter followed by up to 39 letters, digits or hyphens, e.g. contoso-prod.")
	}
	return nil
}

// ReadConfig reads the configuration of the Allod in dir without opening its
// vault. NotFound when there is none.
func ReadConfig(dir string) (*Config, error) { return loadConfig(dir) }

// loadConfig reads allod.yaml. NotFound, with the next step, when there is none.
func loadConfig(dir string) (*Config, error) {
	path := filepath.Join(dir, ConfigFile)
	b, err := readSmall(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(dir, "vault")); err == nil {
			return nil, allod.WithHint(allod.Errorf(allod.NotFound, "open %s: there is a vault in this folder, but no %s", dir, ConfigFile), "Put %s and %s back from a copy of this folder; where `allod init` never came to its end, run it again.", ConfigFile, PinFile)
		}
		return nil, allod.WithHint(allod.Errorf(allod.NotFound, "open %s: there is no Allod in this folder", dir), "Run `allod init --dir %s`, or name the right folder with --dir or ALLOD_DIR.", dir)
	}
	if err != nil {
		if allod.HintOf(err) == "" {
			err = allod.WithHint(err, "Name the right folder with --dir or ALLOD_DIR.")
		}
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	var c Config
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(&c); err != nil {
		what := strings.Join(strings.Fields(err.Error()), " ") // yaml's errors have lines
		return nil, allod.WithHint(allod.Errorf(allod.Invalid, "read %s: %s", path, what), "Mend the file, or put it back from a copy of this folder.")
	}
	if c.Format != 1 {
		return nil, allod.WithHint(allod.Errorf(allod.Invalid, "read %s: its format is %d, this program knows 1", path, c.Format), "Use the Allod that wrote it, or a newer one.")
	}
	if c.Pin, err = loadPin(filepath.Join(dir, PinFile)); err != nil {
		return nil, err
	}
	if c.Pin.Vault.String() != c.Vault {
		return nil, allod.WithHint(allod.Errorf(allod.Corrupt, "read %s: it names the vault %s, %s names %s", path, c.Vault, PinFile, c.Pin.Vault), "Put back the file that was changed.")
	}
	if c.Environments == nil {
		c.Environments = map[string]Connection{}
	}
	return &c, nil
}

// maxConfig bounds the files beside the vault, in bytes.
const maxConfig = 1 << 20

// readSmall reads a file of at most maxConfig bytes; a longer one is Invalid.
func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		what := durable.Wrap(err, "open it") // for kind and hint: err names the file
		return nil, &allod.Error{Kind: allod.KindOf(what), Hint: allod.HintOf(what), Err: err}
	}
	defer func() { _ = f.Close() }() // only read
	b, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return nil, durable.Wrap(err, "read %s", path)
	}
	if len(b) > maxConfig {
		return nil, allod.WithHint(allod.Errorf(allod.Invalid, "%s has more than %d bytes", path, maxConfig), "Put the file back from a copy of this folder.")
	}
	return b, nil
}

// saveConfig writes allod.yaml, whole or not at all.
func saveConfig(ctx context.Context, disk *durable.Disk, dir string, c *Config) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.Format, c.Vault = 1, c.Pin.Vault.String()
	var b bytes.Buffer
	b.WriteString("# Allod's configuration. It holds no secrets; keys lie in slots, outside the vault.\n")
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(c), enc.Close()); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	if err := disk.Replace(filepath.Join(dir, ConfigFile), b.Bytes()); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return nil
}

// pinned is the content of PinFile.
type pinned struct {
	Vault      string         `json:"vault"`
	Recipients []string       `json:"recipients"`
	Signers    []vault.Signer `json:"signers"`
}

func loadPin(path string) (vault.Pin, error) {
	b, err := readSmall(path)
	if err != nil {
		return vault.Pin{}, allod.WithHint(&allod.Error{Kind: allod.Corrupt, Err: fmt.Errorf("read what is pinned of the vault: %w", err)}, "Put %s back from a copy of this folder.", PinFile)
	}
	var p pinned
	if err := json.Unmarshal(b, &p); err != nil {
		return vault.Pin{}, allod.WithHint(allod.Errorf(allod.Corrupt, "read %s: %w", path, err), "Put %s back from a copy of this folder.", PinFile)
	}
	id, err := allod.ParseGUID(p.Vault)
	if err != nil {
		return vault.Pin{}, allod.WithHint(allod.Errorf(allod.Corrupt, "read %s: %w", path, err), "Put %s back from a copy of this folder.", PinFile)
	}
	return vault.Pin{Vault: id, Recipients: p.Recipients, Signers: p.Signers}, nil
}

func savePin(disk *durable.Disk, dir string, pin vault.Pin) error {
	b, err := json.MarshalIndent(pinned{Vault: pin.Vault.String(), Recipients: pin.Recipients, Signers: pin.Signers}, "", "  ")
	if err != nil {
		return fmt.Errorf("write what is pinned of the vault: %w", err)
	}
	return disk.Replace(filepath.Join(dir, PinFile), append(b, '\n'))
}
