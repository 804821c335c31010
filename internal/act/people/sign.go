package people

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"allod"
	"allod/internal/durable"
	"allod/internal/govern/approve"
)

const maxKeyFile = 1 << 16 // bytes

// Sign signs text with the SSH key in the file, as `ssh-keygen -Y sign` does: a
// private key, with the passphrase if it is encrypted ("" = none), or a public or
// encrypted one whose private half the agent at the socket holds ("" = no agent).
// Denied, with another way, when that cannot be done.
func Sign(text []byte, path, socket, passphrase string) (string, error) {
	b, err := readKey(path)
	if err != nil {
		return "", err
	}
	signer, err := ssh.ParsePrivateKey(b)
	if err == nil {
		return approve.Sign(text, signer)
	}
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked) && passphrase != "":
		if signer, err = ssh.ParsePrivateKeyWithPassphrase(b, []byte(passphrase)); err != nil {
			return "", elsewhere(allod.Errorf(allod.Denied, "sign with %s: the passphrase does not open it", path), path)
		}
		return approve.Sign(text, signer)
	case errors.As(err, &locked) && locked.PublicKey != nil:
		return byAgent(text, locked.PublicKey, path, socket)
	case bytes.Contains(b, []byte("PRIVATE KEY-----")):
		return "", elsewhere(allod.Errorf(allod.Denied, "sign with %s: this program cannot use a private key of that kind", path), path)
	}
	pub, _, _, _, err := ssh.ParseAuthorizedKey(b)
	if err != nil {
		return "", allod.WithHint(allod.Errorf(allod.Invalid, "sign with %s: it holds no SSH key", path), "Name the file of an SSH key, such as ~/.ssh/id_ed25519.")
	}
	return byAgent(text, pub, path, socket)
}

func readKey(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, durable.Wrap(err, "read the SSH key")
	}
	defer func() { _ = f.Close() }() // only read
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil || len(b) > maxKeyFile {
		return nil, errors.Join(allod.Errorf(allod.Invalid, "read the SSH key %s: it is longer than %d bytes, or cannot be read", path, maxKeyFile), err)
	}
	return b, nil
}

// elsewhere says how to sign with a key that this program cannot use.
func elsewhere(err error, path string) error {
	return allod.WithHint(err, "Add it to your agent with `ssh-add %s`, or sign elsewhere: `allod approve ID --show > statement`, `ssh-keygen -Y sign -n %s -f %s statement`, `allod approve ID --signature statement.sig`.",
		path, approve.Namespace, path)
}

// byAgent has the agent sign.
func byAgent(text []byte, pub ssh.PublicKey, path, socket string) (_ string, err error) {
	if socket == "" {
		return "", elsewhere(allod.Errorf(allod.Denied, "sign with %s: it is encrypted, or a public key, and no agent is running", path), path)
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return "", elsewhere(allod.Errorf(allod.Denied, "sign with %s: reach the agent: %w", path, err), path)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		return "", elsewhere(allod.Errorf(allod.Denied, "sign with %s: ask the agent for its keys: %w", path, err), path)
	}
	for _, s := range signers {
		if bytes.Equal(s.PublicKey().Marshal(), pub.Marshal()) {
			return approve.Sign(text, s)
		}
	}
	return "", elsewhere(allod.Errorf(allod.Denied, "sign with %s: the agent does not hold this key", path), path)
}
