package approve

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"strings"

	"golang.org/x/crypto/ssh"

	"allod"
)

// The parts of an SSH signature (OpenSSH, PROTOCOL.sshsig).
const (
	sigMagic   = "SSHSIG"
	sigVersion = 1
	sigBegin   = "-----BEGIN SSH SIGNATURE-----"
	sigEnd     = "-----END SSH SIGNATURE-----"
	maxSig     = 1 << 14 // bytes of the armored form
)

// wireSig is what follows the magic in a signature (PROTOCOL.sshsig §2).
type wireSig struct {
	Version   uint32
	PublicKey []byte
	Namespace string
	Reserved  string
	Hash      string
	Signature []byte
}

// signedData is what follows the magic in what the key signs (PROTOCOL.sshsig §3).
type signedData struct {
	Namespace string
	Reserved  string
	Hash      string
	Digest    []byte
}

// signature is one that was read, and not yet compared with anything.
type signature struct {
	key  ssh.PublicKey
	hash string
	sig  ssh.Signature
}

// ParseSignature reads an armored signature and returns the key that it says it
// was made with; whether it was is for Verify to say.
func ParseSignature(armored string) (Key, error) {
	s, err := parseSignature(armored)
	if err != nil {
		return "", err
	}
	return Key(strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.key)))), nil
}

func badSignature(what string) error {
	return allod.WithHint(allod.Errorf(allod.Invalid, "read an SSH signature: %s", what), "Make one with `allod approve`, or with `ssh-keygen -Y sign -n %s`.", Namespace)
}

func parseSignature(armored string) (*signature, error) {
	if len(armored) > maxSig {
		return nil, badSignature("too long")
	}
	text := strings.TrimSpace(strings.ReplaceAll(armored, "\r\n", "\n"))
	body, ok := strings.CutPrefix(text, sigBegin+"\n")
	if !ok {
		return nil, badSignature("it does not begin as one")
	}
	body, ok = strings.CutSuffix(body, "\n"+sigEnd)
	if !ok {
		return nil, badSignature("it does not end as one")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(strings.ReplaceAll(body, "\n", ""))
	if err != nil {
		return nil, badSignature("not base64")
	}
	raw, ok = bytes.CutPrefix(raw, []byte(sigMagic))
	if !ok {
		return nil, badSignature("other bytes than those of a signature")
	}
	var w wireSig
	if err := ssh.Unmarshal(raw, &w); err != nil {
		return nil, badSignature("other fields than those of a signature")
	}
	switch {
	case w.Version != sigVersion:
		return nil, badSignature("another version")
	case w.Namespace != Namespace:
		return nil, badSignature("it was made for another purpose than to approve")
	case w.Reserved != "":
		return nil, badSignature("its reserved field is in use")
	case w.Hash != "sha256" && w.Hash != "sha512":
		return nil, badSignature("another hash than sha256 and sha512")
	}
	s := &signature{hash: w.Hash}
	if s.key, err = ssh.ParsePublicKey(w.PublicKey); err != nil {
		return nil, badSignature("no key that is known")
	}
	if err := checkKind(s.key); err != nil {
		return nil, err
	}
	if err := ssh.Unmarshal(w.Signature, &s.sig); err != nil {
		return nil, badSignature("its innermost part is none")
	}
	return s, nil
}

// Verify returns nil if the armored signature is one of text by the key, made
// for Namespace. Denied if it is by another key or of another text, Invalid if it
// is no signature.
func Verify(text []byte, armored string, k Key) error {
	s, err := parseSignature(armored)
	if err != nil {
		return err
	}
	pub, err := k.public()
	if err != nil {
		return err
	}
	refused := func(what string) error { return allod.Errorf(allod.Denied, "check an SSH signature: %s", what) }
	if !bytes.Equal(pub.Marshal(), s.key.Marshal()) {
		return refused("it was made with another key")
	}
	if pub.Type() == ssh.KeyAlgoRSA && s.sig.Format != ssh.KeyAlgoRSASHA256 && s.sig.Format != ssh.KeyAlgoRSASHA512 {
		return refused("RSA with SHA-1 does not count")
	}
	if err := pub.Verify(toSign(text, s.hash), &s.sig); err != nil {
		return refused("it is not one of this text by this key")
	}
	return nil
}

// toSign returns what a key signs of text.
func toSign(text []byte, hash string) []byte {
	var digest []byte
	if hash == "sha256" {
		d := sha256.Sum256(text)
		digest = d[:]
	} else {
		d := sha512.Sum512(text)
		digest = d[:]
	}
	return append([]byte(sigMagic), ssh.Marshal(signedData{Namespace: Namespace, Hash: hash, Digest: digest})...)
}

// Sign returns the armored signature of text by the signer, a private key or an
// agent. RSA signs with SHA-512.
func Sign(text []byte, signer ssh.Signer) (string, error) {
	const hash = "sha512"
	if err := checkKind(signer.PublicKey()); err != nil {
		return "", err
	}
	var sig *ssh.Signature
	var err error
	data := toSign(text, hash)
	if as, ok := signer.(ssh.AlgorithmSigner); ok && signer.PublicKey().Type() == ssh.KeyAlgoRSA {
		sig, err = as.SignWithAlgorithm(rand.Reader, data, ssh.KeyAlgoRSASHA512)
	} else {
		sig, err = signer.Sign(rand.Reader, data)
	}
	if err != nil {
		return "", allod.Errorf(allod.Denied, "sign with the SSH key: %w", err)
	}
	blob := append([]byte(sigMagic), ssh.Marshal(wireSig{
		Version: sigVersion, PublicKey: signer.PublicKey().Marshal(), Namespace: Namespace, Hash: hash, Signature: ssh.Marshal(sig),
	})...)
	var b strings.Builder
	b.WriteString(sigBegin + "\n")
	for text := base64.StdEncoding.EncodeToString(blob); text != ""; {
		n := min(len(text), 70)
		b.WriteString(text[:n] + "\n")
		text = text[n:]
	}
	b.WriteString(sigEnd + "\n")
	return b.String(), nil
}
