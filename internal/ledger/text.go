package ledger

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"allod"
)

const (
	proofHeader = "c2sp.org/tlog-proof@v1"
	maxPath     = 63        // hashes of a path; sizes are below 2^63
	maxText     = 128 << 10 // bytes of a proof, checkpoints with many signatures included
	maxNote     = 64 << 10  // bytes of a checkpoint with cosignatures
)

// Text returns the proof as a C2SP tlog-proof, with the entry object as its extra
// data: what any program for such proofs verifies, given the hash of the extra
// data as a record.
func (p Proof) Text() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\nextra %s\nindex %d\n", proofHeader, base64.StdEncoding.EncodeToString(p.Entry), p.Index)
	writeHashes(&b, p.Path)
	b.WriteByte('\n')
	b.Write(p.Checkpoint)
	return b.Bytes()
}

func writeHashes(b *bytes.Buffer, hashes []tlog.Hash) {
	for _, h := range hashes {
		fmt.Fprintf(b, "%s\n", base64.StdEncoding.EncodeToString(h[:]))
	}
}

// ParseProof reads what Text wrote, byte for byte; Corrupt for anything else. It
// believes nothing: see Proof.Check.
func ParseProof(text []byte) (Proof, error) {
	bad := func(what string) (Proof, error) {
		return Proof{}, allod.Errorf(allod.Corrupt, "read a ledger proof: %s", what)
	}
	if len(text) > maxText {
		return bad("too long")
	}
	head, checkpoint, ok := strings.Cut(string(text), "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || len(lines) < 3 || lines[0] != proofHeader {
		return bad("not a tlog-proof with the entry as its extra data")
	}
	extra, isExtra := strings.CutPrefix(lines[1], "extra ")
	number, isIndex := strings.CutPrefix(lines[2], "index ")
	if !isExtra || !isIndex {
		return bad("not a tlog-proof with the entry as its extra data")
	}
	p := Proof{Checkpoint: []byte(checkpoint)}
	var err error
	if p.Entry, err = base64.StdEncoding.Strict().DecodeString(extra); err != nil || len(p.Entry) > maxObject {
		return bad("its extra data is no entry")
	}
	if p.Index, err = strconv.ParseInt(number, 10, 64); err != nil || p.Index < 0 {
		return bad("no index")
	}
	if p.Path, err = parseHashes(lines[3:]); err != nil {
		return bad("no path")
	}
	if !bytes.Equal(p.Text(), text) {
		return bad("not in canonical form")
	}
	return p, nil
}

func parseHashes(lines []string) ([]tlog.Hash, error) {
	if len(lines) > maxPath {
		return nil, allod.Errorf(allod.Corrupt, "read hashes: more than %d", maxPath)
	}
	var out []tlog.Hash
	for _, line := range lines {
		h, err := tlog.ParseHash(line)
		if err != nil {
			return nil, allod.Errorf(allod.Corrupt, "read hashes: %w", err)
		}
		out = append(out, h)
	}
	return out, nil
}

// Text returns the growth as the body of a C2SP tlog-witness add-checkpoint
// request: the old size, the consistency proof, the checkpoint. A witness knows
// the hash of the old size; everybody else needs an old checkpoint.
func (g Growth) Text() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "old %d\n", g.From.Size)
	writeHashes(&b, g.Path)
	b.WriteByte('\n')
	b.Write(g.Checkpoint)
	return b.Bytes()
}

// ParseGrowth reads what Text wrote, byte for byte; Corrupt for anything else,
// and for another size than that of from, the old head as the caller knows it. It
// believes nothing: see Growth.Check.
func ParseGrowth(text []byte, from Head) (Growth, error) {
	bad := func(what string) (Growth, error) {
		return Growth{}, allod.Errorf(allod.Corrupt, "read a proof of growth: %s", what)
	}
	if len(text) > maxText {
		return bad("too long")
	}
	head, checkpoint, ok := strings.Cut(string(text), "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || lines[0] != fmt.Sprintf("old %d", from.Size) {
		return bad(fmt.Sprintf("it does not begin at %d entries", from.Size))
	}
	path, err := parseHashes(lines[1:])
	if err != nil {
		return bad("no path")
	}
	g := Growth{From: from, Path: path, Checkpoint: []byte(checkpoint)}
	if !bytes.Equal(g.Text(), text) {
		return bad("not in canonical form")
	}
	return g, nil
}

// CheckCheckpoint verifies a checkpoint of the vault's ledger and returns its
// head. Signatures of others, witnesses for one, may stand beside that of the
// ledger: see CheckCosigned. Corrupt if it is not one, or not signed by a trusted
// key.
func CheckCheckpoint(object []byte, vault allod.GUID, trusted []ed25519.PublicKey) (Head, error) {
	head, _, err := CheckCosigned(object, vault, trusted, nil)
	return head, err
}

// CheckCosigned is CheckCheckpoint, and tells which of the witnesses have
// cosigned, in their order. Corrupt if a witness's signature is there and wrong;
// signatures of anybody else are not looked at.
func CheckCosigned(object []byte, vault allod.GUID, trusted []ed25519.PublicKey, witnesses []Witness) (Head, []Cosignature, error) {
	if len(object) > maxNote {
		return Head{}, nil, allod.Errorf(allod.Corrupt, "read a checkpoint: too long")
	}
	text, sigs, ok := splitNote(object)
	if !ok {
		return Head{}, nil, allod.Errorf(allod.Corrupt, "read a checkpoint: not a signed note")
	}
	v, err := verifiers(vault, trusted)
	if err != nil {
		return Head{}, nil, err
	}
	// Once more as if nobody but the ledger had signed it: the strict reader decides.
	var head *Head
	for _, line := range sigs {
		if body, err := openNote(slices.Concat(text, []byte("\n"), line), v); err == nil {
			h, err := parseCheckpoint(body, vault)
			if err != nil {
				return Head{}, nil, err
			}
			head = &h
			break
		}
	}
	if head == nil {
		return Head{}, nil, allod.Errorf(allod.Corrupt, "read a checkpoint: not signed by a trusted key")
	}
	var by []Cosignature
	for _, w := range witnesses {
		c, found, err := w.find(text, sigs)
		if err != nil {
			return Head{}, nil, err
		}
		if found {
			by = append(by, c)
		}
	}
	return *head, by, nil
}

// splitNote takes a note apart into its text and its signature lines, each with
// its newline.
func splitNote(object []byte) (text []byte, sigs [][]byte, ok bool) {
	i := bytes.LastIndex(object, []byte("\n\n"))
	if i < 0 {
		return nil, nil, false
	}
	text = object[:i+1]
	for line := range bytes.Lines(object[i+2:]) {
		if !bytes.HasPrefix(line, []byte("— ")) || !bytes.HasSuffix(line, []byte("\n")) || len(sigs) == maxSigs {
			return nil, nil, false
		}
		sigs = append(sigs, line)
	}
	return text, sigs, len(sigs) > 0
}
