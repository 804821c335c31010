package keyring

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"filippo.io/age"
	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"allod"
)

// Argon2id as Allod writes it, RFC 9106 §4 second choice, and the bounds that
// a stored slot must keep, so that it costs neither too little nor the machine.
const (
	argonTime, argonMemory, argonThreads = 3, 64 << 10, 4 // passes, KiB, lanes
	minArgonMemory, maxArgonMemory       = 64 << 10, 1 << 20
	maxArgonTime, maxArgonThreads        = 16, 16
	saltSize                             = 16
	maxHalf                              = 8 << 10
	minPassphrase                        = 8 // characters, for new slots
)

// Passphrase opens slots whose private half is sealed under a key derived from
// a passphrase with Argon2id.
type Passphrase struct {
	text []byte     // NFC, so that every keyboard spells it alike
	mu   sync.Mutex // one derivation at a time: each takes 64 MiB
}

// NewPassphrase takes the passphrase; it keeps a copy. Invalid if it is empty
// or not UTF-8.
func NewPassphrase(text []byte) (*Passphrase, error) {
	if len(text) == 0 || len(text) > 4096 || !utf8.Valid(text) {
		return nil, allod.Errorf(allod.Invalid, "take a passphrase: it is empty, too long or not text")
	}
	return &Passphrase{text: norm.NFC.Bytes(bytes.Clone(text))}, nil
}

// Wipe overwrites the passphrase; the wrapper opens nothing afterwards.
func (p *Passphrase) Wipe() { clear(p.text) }

// Kind implements Wrapper.
func (p *Passphrase) Kind() string { return KindPassphrase }

// Wrap implements Wrapper. Invalid for fewer than 8 characters.
func (p *Passphrase) Wrap(_ context.Context, _ Of, secret []byte) ([]byte, error) {
	if utf8.RuneCount(p.text) < minPassphrase {
		err := allod.Errorf(allod.Invalid, "use a passphrase: it has fewer than %d characters", minPassphrase)
		return nil, allod.WithHint(err, "Take five or more words that only you would put together.")
	}
	b := []byte{1}
	b = binary.BigEndian.AppendUint32(b, argonMemory)
	b = binary.BigEndian.AppendUint32(b, argonTime)
	b = append(b, argonThreads)
	salt := make([]byte, saltSize)
	if err := draw(salt); err != nil {
		return nil, err
	}
	b = append(b, salt...)
	return p.seal(b, argonTime, argonMemory, argonThreads, salt, secret)
}

func (p *Passphrase) seal(head []byte, time, memory uint32, threads uint8, salt, secret []byte) ([]byte, error) {
	key := p.derive(time, memory, threads, salt)
	defer clear(key)
	return sealOnce(key, head, secret)
}

func (p *Passphrase) derive(time, memory uint32, threads uint8, salt []byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return argon2.IDKey(p.text, salt, time, memory, threads, 32)
}

// Unwrap implements Wrapper. Corrupt, before any derivation, if the stored cost
// lies outside 64 MiB to 1 GiB, 1 to 16 passes and 1 to 16 lanes.
func (p *Passphrase) Unwrap(_ context.Context, _ Of, wrapped []byte) ([]byte, error) {
	r := reader{b: wrapped}
	version := r.take(1)
	memory, time := r.uint32(), r.uint32()
	lanes := r.take(1)
	salt := r.take(saltSize)
	if r.bad || version[0] != 1 || memory < minArgonMemory || memory > maxArgonMemory || time < 1 || time > maxArgonTime || lanes[0] < 1 || lanes[0] > maxArgonThreads {
		return nil, allod.Errorf(allod.Corrupt, "derive a key from a passphrase: the slot's parameters are out of bounds")
	}
	key := p.derive(time, memory, lanes[0], salt)
	defer clear(key)
	secret, ok := openOnce(key, wrapped[:len(wrapped)-len(r.b)], r.b)
	if !ok {
		err := allod.Errorf(allod.Denied, "the passphrase is not the right one")
		return nil, allod.WithHint(err, "Try again, or open it with the recovery key that was printed: --key paper.")
	}
	return secret, nil
}

// sealOnce appends to head the AES-256-GCM sealing of secret under a key that
// is used for nothing else, hence the zero nonce; head is authenticated.
func sealOnce(key, head, secret []byte) ([]byte, error) {
	if len(secret) > maxHalf {
		return nil, allod.Errorf(allod.Invalid, "wrap a private half: longer than %d bytes", maxHalf)
	}
	aead, err := newGCM(key)
	if err != nil {
		return nil, err
	}
	return aead.Seal(slices.Clip(head), make([]byte, aead.NonceSize()), secret, head), nil
}

func openOnce(key, head, sealed []byte) ([]byte, bool) {
	aead, err := newGCM(key)
	if err != nil {
		return nil, false
	}
	secret, err := aead.Open(nil, make([]byte, aead.NonceSize()), sealed, head)
	return secret, err == nil
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, allod.Errorf(allod.Internal, "wrap a private half: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, allod.Errorf(allod.Internal, "wrap a private half: %w", err)
	}
	return aead, nil
}

// KeyFile opens slots whose private half is sealed to an age identity in a
// file.
type KeyFile struct{ id *age.HybridIdentity }

// NewKeyFile draws a new key; Text is what to write to the file.
func NewKeyFile() (*KeyFile, error) {
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		return nil, allod.Errorf(allod.Internal, "make a key file: %w", err)
	}
	return &KeyFile{id: id}, nil
}

// ParseKeyFile reads the text of a key file: lines that begin with # or are
// empty, and one post-quantum age identity (AGE-SECRET-KEY-PQ-1…). Invalid
// otherwise.
func ParseKeyFile(text []byte) (*KeyFile, error) {
	bad := func(what string) error {
		err := allod.Errorf(allod.Invalid, "read a key file: %s", what)
		return allod.WithHint(err, "A key file holds one line AGE-SECRET-KEY-PQ-1…, as `age-keygen -pq` writes it.")
	}
	if len(text) > 64<<10 {
		return nil, bad("longer than 64 KiB")
	}
	var k *KeyFile
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		id, err := age.ParseHybridIdentity(line)
		if err != nil {
			return nil, bad("a line is not a post-quantum age identity")
		}
		if k != nil {
			return nil, bad("more than one identity")
		}
		k = &KeyFile{id: id}
	}
	if k == nil {
		return nil, bad("no identity")
	}
	return k, nil
}

// Text returns the content of the key file. It is secret: write it with mode
// 0600.
func (k *KeyFile) Text() []byte {
	return fmt.Appendf(nil, "# Allod key file. Whoever has it can open the vault: keep it away from the vault.\n# public key: %s\n%s\n", k.id.Recipient(), k.id)
}

// Kind implements Wrapper.
func (k *KeyFile) Kind() string { return KindKeyFile }

// Wrap implements Wrapper.
func (k *KeyFile) Wrap(_ context.Context, _ Of, secret []byte) ([]byte, error) {
	if len(secret) > maxHalf {
		return nil, allod.Errorf(allod.Invalid, "wrap a private half: longer than %d bytes", maxHalf)
	}
	return encrypt(k.id.Recipient(), bytes.Clone(secret))
}

// Unwrap implements Wrapper.
func (k *KeyFile) Unwrap(_ context.Context, _ Of, wrapped []byte) ([]byte, error) {
	r, err := age.Decrypt(bytes.NewReader(wrapped), k.id)
	if err != nil {
		err := allod.Errorf(allod.Denied, "the key file is not the one of this slot")
		return nil, allod.WithHint(err, "Look for the key file that was written when the slot was made.")
	}
	secret, err := io.ReadAll(io.LimitReader(r, maxHalf+1))
	if err != nil || len(secret) > maxHalf {
		return nil, allod.Errorf(allod.Corrupt, "unwrap a private half: not whole")
	}
	return secret, nil
}

// Paper opens slots whose private half is sealed under 256 bits that are
// printed as words.
type Paper struct{ secret [32]byte }

// paperWords is the number of words: 256 bits and a 32-bit checksum at 16 bits
// a word.
const paperWords = 18

// The letters of words: consonant, vowel, consonant, vowel, consonant carry 4,
// 2, 4, 2, 4 bits (proquints, arXiv:0901.4016).
const (
	consonants = "bdfghjklmnprstvz"
	vowels     = "aiou"
)

// NewPaper draws a new recovery key; Words is what to print.
func NewPaper() (*Paper, error) {
	p := &Paper{}
	if err := draw(p.secret[:]); err != nil {
		return nil, err
	}
	return p, nil
}

func paperSum(secret []byte) []byte {
	sum := sha256.Sum256(append([]byte("allod paper v1\x00"), secret...))
	return sum[:4]
}

// Words returns the 18 words of the recovery key. They are secret.
func (p *Paper) Words() []string {
	b := append(p.secret[:len(p.secret):len(p.secret)], paperSum(p.secret[:])...)
	defer clear(b)
	words := make([]string, 0, paperWords)
	for i := 0; i < len(b); i += 2 {
		n := binary.BigEndian.Uint16(b[i:])
		words = append(words, string([]byte{
			consonants[n>>12&15], vowels[n>>10&3], consonants[n>>6&15], vowels[n>>4&3], consonants[n&15],
		}))
	}
	return words
}

// ParsePaper reads the words of a recovery key in any case, separated by
// anything that is not a letter. Invalid, naming the position and never the
// word, if a word is not one, or if the checksum says that one is wrong.
func ParsePaper(text string) (*Paper, error) {
	bad := func(format string, args ...any) (*Paper, error) {
		err := allod.Errorf(allod.Invalid, "read a recovery key: "+format, args...)
		return nil, allod.WithHint(err, "Type the %d words as printed, in their order; each has five letters.", paperWords)
	}
	if len(text) > 4096 {
		return bad("too long")
	}
	words := strings.FieldsFunc(strings.ToLower(text), func(c rune) bool { return c < 'a' || c > 'z' })
	if len(words) != paperWords {
		return bad("%d words, want %d", len(words), paperWords)
	}
	b := make([]byte, 0, 2*paperWords)
	defer func() { clear(b[:cap(b)]) }()
	for i, w := range words {
		n, ok := wordBits(w)
		if !ok {
			return bad("word %d is not one of a recovery key", i+1)
		}
		b = binary.BigEndian.AppendUint16(b, n)
	}
	if subtle.ConstantTimeCompare(paperSum(b[:32]), b[32:]) != 1 {
		return bad("the checksum does not fit: a word is wrong, or two are swapped")
	}
	p := &Paper{}
	copy(p.secret[:], b)
	return p, nil
}

func wordBits(w string) (uint16, bool) {
	if len(w) != 5 {
		return 0, false
	}
	var n uint16
	for i := range len(w) {
		letters, bits := consonants, 4
		if i%2 == 1 {
			letters, bits = vowels, 2
		}
		at := strings.IndexByte(letters, w[i])
		if at < 0 {
			return 0, false
		}
		n = n<<bits | uint16(at)
	}
	return n, true
}

// Wipe overwrites the recovery key.
func (p *Paper) Wipe() { clear(p.secret[:]) }

// Kind implements Wrapper.
func (p *Paper) Kind() string { return KindPaper }

func (p *Paper) key(salt []byte) ([]byte, error) {
	key, err := hkdf.Key(sha256.New, p.secret[:], salt, "allod paper v1", 32)
	if err != nil {
		return nil, allod.Errorf(allod.Internal, "derive a key from paper: %w", err)
	}
	return key, nil
}

// Wrap implements Wrapper.
func (p *Paper) Wrap(_ context.Context, _ Of, secret []byte) ([]byte, error) {
	head := make([]byte, 1+saltSize)
	head[0] = 1
	if err := draw(head[1:]); err != nil {
		return nil, err
	}
	key, err := p.key(head[1:])
	if err != nil {
		return nil, err
	}
	defer clear(key)
	return sealOnce(key, head, secret)
}

// Unwrap implements Wrapper.
func (p *Paper) Unwrap(_ context.Context, _ Of, wrapped []byte) ([]byte, error) {
	if len(wrapped) < 1+saltSize || wrapped[0] != 1 {
		return nil, allod.Errorf(allod.Corrupt, "derive a key from paper: the slot makes no sense")
	}
	key, err := p.key(wrapped[1 : 1+saltSize])
	if err != nil {
		return nil, err
	}
	defer clear(key)
	secret, ok := openOnce(key, wrapped[:1+saltSize], wrapped[1+saltSize:])
	if !ok {
		err := allod.Errorf(allod.Denied, "the recovery key is not the one of this slot")
		return nil, allod.WithHint(err, "Compare the vault id printed with the words.")
	}
	return secret, nil
}
