package approve

import (
	"bytes"
	"crypto/rsa"
	"strings"

	"golang.org/x/crypto/ssh"

	"allod"
)

// Limits of what somebody may register.
const (
	MaxKeys    = 16      // of one user
	maxKeyFile = 1 << 16 // bytes
	minRSA     = 3072    // bits
	maxRSA     = 8192    // bits
)

// Key is an SSH public key as it stands in authorized_keys, without a comment:
// "ssh-ed25519 AAAA…". A Key made by ParseKeys is in the one spelling that
// OpenSSH gives it, so that equal keys are equal texts.
type Key string

// Fingerprint returns "SHA256:…", as ssh-keygen -l shows it; "" for what is no
// key.
func (k Key) Fingerprint() string {
	pub, err := k.public()
	if err != nil {
		return ""
	}
	return ssh.FingerprintSHA256(pub)
}

func (k Key) public() (ssh.PublicKey, error) {
	pub, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(k))
	if err != nil || len(options) > 0 || len(bytes.TrimSpace(rest)) > 0 {
		return nil, allod.Errorf(allod.Invalid, "read an SSH public key: it is none")
	}
	return pub, nil
}

// ParseKeys reads SSH public keys, one a line, as they stand in a .pub file or in
// authorized_keys; empty lines and lines that begin with # are left out. Invalid
// for anything else: private keys, age keys, which cannot sign, kinds of keys that
// do not count, and more than MaxKeys.
func ParseKeys(text []byte) ([]Key, error) {
	if len(text) > maxKeyFile {
		return nil, allod.Errorf(allod.Invalid, "read SSH public keys: more than %d bytes", maxKeyFile)
	}
	var keys []Key
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		k, err := parseKey(line)
		if err != nil {
			return nil, err
		}
		for _, other := range keys {
			if other == k {
				return nil, allod.Errorf(allod.Invalid, "read SSH public keys: one is there twice")
			}
		}
		if keys = append(keys, k); len(keys) > MaxKeys {
			return nil, allod.Errorf(allod.Invalid, "read SSH public keys: more than %d", MaxKeys)
		}
	}
	if len(keys) == 0 {
		return nil, allod.WithHint(allod.Errorf(allod.Invalid, "read SSH public keys: there is none"), "Name the file that ends in .pub; `ssh-keygen -t ed25519` makes a pair.")
	}
	return keys, nil
}

func parseKey(line string) (Key, error) {
	if strings.Contains(line, "PRIVATE KEY") || strings.HasPrefix(line, "AGE-SECRET-KEY-") {
		return "", allod.WithHint(allod.Errorf(allod.Invalid, "read an SSH public key: this is a private one"), "Keep it to yourself, and name the file that ends in .pub.")
	}
	if strings.HasPrefix(line, "age1") {
		return "", allod.WithHint(allod.Errorf(allod.Invalid, "read an SSH public key: this is an age key, which cannot sign"), "Name an SSH public key; `ssh-keygen -t ed25519` makes a pair.")
	}
	pub, _, options, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return "", allod.WithHint(allod.Errorf(allod.Invalid, "read an SSH public key: the line is none"), "Name the file that ends in .pub; `ssh-keygen -t ed25519` makes a pair.")
	}
	if len(options) > 0 {
		return "", allod.Errorf(allod.Invalid, "read an SSH public key: it has options of authorized_keys, which mean nothing here")
	}
	if err := checkKind(pub); err != nil {
		return "", err
	}
	return Key(strings.TrimSpace(string(ssh.MarshalAuthorizedKey(pub)))), nil
}

// checkKind refuses kinds of keys that do not count.
func checkKind(pub ssh.PublicKey) error {
	switch pub.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521:
		return nil
	case ssh.KeyAlgoRSA:
		c, ok := pub.(ssh.CryptoPublicKey)
		if !ok {
			break
		}
		if k, ok := c.CryptoPublicKey().(*rsa.PublicKey); ok && k.N.BitLen() >= minRSA && k.N.BitLen() <= maxRSA {
			return nil
		}
		return allod.WithHint(allod.Errorf(allod.Invalid, "read an SSH public key: RSA of fewer than %d or more than %d bits", minRSA, maxRSA), "`ssh-keygen -t ed25519` makes one that counts.")
	}
	return allod.WithHint(allod.Errorf(allod.Invalid, "read an SSH public key: keys of this kind do not count"), "ssh-ed25519, ecdsa, RSA of %d bits and more, and security keys do.", minRSA)
}
