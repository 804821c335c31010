package escrow

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"io"

	"filippo.io/age"

	"allod"
	"allod/internal/vault/keytree"
	"allod/internal/vault/seal"
)

const (
	maxWrapped = 4 << 10
	digestSize = 16
)

// Public is what whoever captures needs of a record in escrow: enough to seal
// rows of it, and to see that one has not changed. It opens nothing. Methods
// may be called from several goroutines.
type Public struct {
	recipient *age.HybridRecipient
	digest    [32]byte
}

// Seal appends a row of key kind 1 to out. p must say so, and generation 0.
func (u *Public) Seal(out []byte, c *seal.Codec, p *seal.Place, row *seal.Row) ([]byte, error) {
	var seed keytree.Seed
	var salt [keytree.SaltSize]byte
	for _, b := range [][]byte{seed[:], salt[:]} {
		if _, err := io.ReadFull(rand.Reader, b); err != nil {
			return out, allod.Errorf(allod.Internal, "draw a key: %w", err)
		}
	}
	wrapped, err := encrypt(u.recipient, append([]byte(nil), seed[:]...))
	if err != nil {
		return out, err
	}
	out = binary.BigEndian.AppendUint16(out, uint16(len(wrapped)))
	out = append(out, wrapped...)
	digest := u.sum(p.Op, p.Schema, row.Content)
	return c.Seal(append(out, digest[:]...), p, seed, salt, row)
}

func (u *Public) sum(op uint8, schema uint32, content []byte) [digestSize]byte {
	mac := hmac.New(sha256.New, u.digest[:])
	b := binary.BigEndian.AppendUint32(append([]byte("allod row digest v1"), op), schema)
	_, _ = mac.Write(b)       // a hash does not fail
	_, _ = mac.Write(content) // a hash does not fail
	return [digestSize]byte(mac.Sum(nil))
}

// Same reports whether a stored row of key kind 1 holds this content, under the
// same schema, and was sealed since the record is in this escrow.
func (u *Public) Same(sealed []byte, op uint8, schema uint32, content []byte) bool {
	_, digest, _, err := split(sealed)
	sum := u.sum(op, schema, content)
	return err == nil && hmac.Equal(digest, sum[:])
}

// split takes a row of key kind 1 apart.
func split(b []byte) (wrapped, digest, rest []byte, err error) {
	if len(b) >= 2 {
		n := int(binary.BigEndian.Uint16(b))
		if n <= maxWrapped && len(b) >= 2+n+digestSize {
			return b[2 : 2+n], b[2+n:][:digestSize], b[2+n+digestSize:], nil
		}
	}
	return nil, nil, nil, allod.Errorf(allod.Corrupt, "open a row in escrow: it has a length no such row has")
}

// Check is Corrupt unless the bytes have the form of a row of key kind 1: all
// that can be said of it without a key.
func Check(sealed []byte) error {
	_, _, rest, err := split(sealed)
	if err == nil {
		err = seal.CheckLength(rest)
	}
	return err
}

// Row opens a row of key kind 1 with the keys of its record. Denied if it was
// sealed in another escrow of the record; Corrupt as seal.Codec.Open, whose
// words on the content's life hold here too.
func (k *Keys) Row(c *seal.Codec, p *seal.Place, sealed []byte) (seal.Row, error) {
	wrapped, _, rest, err := split(sealed)
	if err != nil {
		return seal.Row{}, err
	}
	seed, err := decrypt(wrapped, k.identity, keytree.SeedSize)
	if err != nil {
		return seal.Row{}, allod.Errorf(allod.Denied, "open a row in escrow: it is not sealed to this escrow of the record")
	}
	defer clear(seed)
	if len(seed) != keytree.SeedSize {
		return seal.Row{}, allod.Errorf(allod.Corrupt, "open a row in escrow: its key has %d bytes", len(seed))
	}
	return c.Open(p, keytree.Seed(seed), rest)
}
