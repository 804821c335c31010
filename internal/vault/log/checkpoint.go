package log

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"allod"
)

// CheckpointEvery is how many entries lie between checkpoints.
const CheckpointEvery = 256

const (
	checkpointMagic  = "allod checkpoint"
	checkpointSigned = "allod checkpoint v1\n"
)

// Checkpoint says which objects live and which snapshots are kept as of a log
// number. It is a cache of the log and never the truth.
type Checkpoint struct {
	Magic   string    `json:"magic"`
	Format  int       `json:"format"`
	Vault   string    `json:"vault"`
	N       uint64    `json:"n"`
	Last    Digest    `json:"last"` // SHA-256 of entry n
	Time    time.Time `json:"time"` // of entry n
	Live    []Object  `json:"live"` // sorted by role, then digest
	Kept    []uint64  `json:"kept"` // log numbers of kept captures, ascending
	Signer  Key       `json:"signer"`
	Absents []Absent  `json:"absents,omitempty"`
}

// Absent is the digest of a root's absent list at the checkpoint.
type Absent struct {
	Root   uint64 `json:"root"`
	Epoch  uint64 `json:"epoch"`
	Digest Digest `json:"digest"`
}

// CheckpointName returns checkpoints/<20 digits>.
func CheckpointName(n uint64) string { return fmt.Sprintf("%s%020d", CheckpointPrefix, n) }

// Encode sorts, signs and returns the object.
func (c *Checkpoint) Encode(key ed25519.PrivateKey) ([]byte, error) {
	c.Magic, c.Format = checkpointMagic, Format
	copy(c.Signer[:], key.Public().(ed25519.PublicKey))
	c.Time = stamp(c.Time)
	slices.SortFunc(c.Live, func(a, b Object) int {
		if a.Role != b.Role {
			if a.Role < b.Role {
				return -1
			}
			return 1
		}
		return bytes.Compare(a.Digest[:], b.Digest[:])
	})
	if c.Live == nil {
		c.Live = []Object{}
	}
	if c.Kept == nil {
		c.Kept = []uint64{}
	}
	line, err := json.Marshal(c)
	if err != nil {
		return nil, allod.Errorf(allod.Internal, "encode checkpoint %d: %w", c.N, err)
	}
	return sign(checkpointSigned, line, key), nil
}

// DecodeCheckpoint reads the checkpoint as of entry n and checks form, vault
// and signature (capture or maintain).
func DecodeCheckpoint(b []byte, n uint64, pin Pin) (*Checkpoint, error) {
	what := fmt.Sprintf("checkpoint %d", n)
	line, _, _ := bytes.Cut(b, []byte("\n"))
	if err := checkFormat(line, checkpointMagic, Format, what); err != nil {
		return nil, err
	}
	c := new(Checkpoint)
	signer, err := decodeSigned(b, checkpointSigned, pin, c, what)
	if err != nil {
		return nil, err
	}
	if c.N != n || c.Vault != fmt.Sprintf("%x", pin.Vault[:]) {
		return nil, allod.Errorf(allod.Corrupt, "read %s: it is another one, or of another vault", what)
	}
	allowed := slices.ContainsFunc(pin.Signers, func(s Signer) bool {
		return s.Key == c.Signer && (s.Use == UseCapture || s.Use == UseMaintain)
	})
	if !allowed || c.Signer != signer {
		return nil, allod.Errorf(allod.Corrupt, "read %s: not signed by a known signer", what)
	}
	return c, nil
}
