package stage

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"slices"

	"filippo.io/age"

	"allod"
	"allod/internal/blob"
	"allod/internal/durable"
	"allod/internal/vault/internal/content"
	"allod/internal/vault/keytree"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/object"
	"allod/internal/vault/pack"
	"allod/internal/vault/seal"
)

// SmallFile is the most plain bytes of a file that goes into a pack (FORMAT.md
// §8); readers do not depend on it.
const SmallFile = 256 << 10

// Place says where what is staged goes.
type Place struct {
	Store      blob.Store
	TempDir    string // "" = the system's
	Vault      allod.GUID
	Recipients []age.Recipient
}

// Files keeps small files, sealed under their records' keys, until the next
// commit, and names the large ones, which are stored at once and are garbage
// until the commit. It is used by one goroutine; Close frees it.
type Files struct {
	to    Place
	limit int // files of more plain bytes become objects
	f     *durable.Scratch
	size  int64
	small []small
	large []vlog.Object
}

type small struct {
	id  [16]byte
	off int64
	n   int64
	f   *durable.Scratch
}

// NewFiles keeps no files. Those of more than limit plain bytes become objects.
func NewFiles(to Place, limit int) *Files { return &Files{to: to, limit: limit} }

// Empty reports whether it holds no file.
func (s *Files) Empty() bool { return len(s.small) == 0 && len(s.large) == 0 }

// Close forgets the small files.
func (s *Files) Close() {
	if s.f != nil {
		object.RemoveTemp(s.f)
		s.f = nil
	}
}

// Large returns the objects that were stored.
func (s *Files) Large() []vlog.Object { return s.large }

// Put seals the bytes of a file under head and seed, for the given capture,
// and returns f with Content, SHA256 and Size filled. A file among known, the
// record's stored ones, is not stored again.
func (s *Files) Put(ctx context.Context, head seal.FileHead, seed keytree.Seed, capture uint64, f allod.FileRef, r io.Reader, known []allod.FileRef) (allod.FileRef, error) {
	begin := make([]byte, s.limit+1)
	n, err := io.ReadFull(r, begin)
	begin = begin[:n]
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return f, allod.Errorf(allod.KindOf(err), "read it: %w", err)
	}
	if n <= s.limit {
		return s.putSmall(head, seed, capture, f, begin, known)
	}
	return s.putLarge(ctx, head, seed, f, io.MultiReader(bytes.NewReader(begin), r), known)
}

func fill(f allod.FileRef, sum []byte, size int64, known []allod.FileRef) (allod.FileRef, bool) {
	f.SHA256, f.Size = hex.EncodeToString(sum), size
	i := slices.IndexFunc(known, func(k allod.FileRef) bool { return k.SHA256 == f.SHA256 && k.Size == f.Size })
	if i >= 0 {
		f.Content = known[i].Content
	}
	return f, i >= 0
}

func (s *Files) putSmall(head seal.FileHead, seed keytree.Seed, capture uint64, f allod.FileRef, plain []byte, known []allod.FileRef) (allod.FileRef, error) {
	sum := sha256.Sum256(plain)
	f, stored := fill(f, sum[:], int64(len(plain)), known)
	if stored {
		return f, nil
	}
	var b bytes.Buffer
	w, err := seal.NewFileWriter(&b, s.to.Vault, head, seed)
	if err == nil {
		_, err = w.Write(plain)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return f, err
	}
	var id [16]byte
	if _, err := io.ReadFull(rand.Reader, id[:]); err != nil {
		return f, allod.Errorf(allod.Internal, "draw an id: %w", err)
	}
	f.Content = content.InPack(id, capture)
	return f, s.keep(id, b.Bytes())
}

func (s *Files) keep(id [16]byte, sealed []byte) error {
	if s.f == nil {
		f, err := object.Temp(s.to.TempDir, "allod-files-*")
		if err != nil {
			return err
		}
		s.f = f
	}
	if _, err := s.f.WriteAt(sealed, s.size); err != nil {
		return err
	}
	s.small = append(s.small, small{id: id, off: s.size, n: int64(len(sealed)), f: s.f})
	s.size += int64(len(sealed))
	return nil
}

// putLarge seals and encrypts into a temporary file, because the object's name
// is the digest of its bytes, and puts it.
func (s *Files) putLarge(ctx context.Context, head seal.FileHead, seed keytree.Seed, f allod.FileRef, r io.Reader, known []allod.FileRef) (allod.FileRef, error) {
	tmp, err := object.Temp(s.to.TempDir, "allod-file-*")
	if err != nil {
		return f, err
	}
	defer object.RemoveTemp(tmp)
	out := pack.NewHashWriter(tmp)
	enc, err := age.Encrypt(out, s.to.Recipients...)
	if err != nil {
		return f, allod.Errorf(allod.KindOf(err), "encrypt it: %w", err)
	}
	w, err := seal.NewFileWriter(enc, s.to.Vault, head, seed)
	if err != nil {
		return f, err
	}
	plain := sha256.New()
	size, err := object.Copy(ctx, w, io.TeeReader(r, plain))
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		err = enc.Close()
	}
	if err != nil {
		return f, allod.Errorf(allod.KindOf(err), "seal it: %w", err)
	}
	f, stored := fill(f, plain.Sum(nil), size, known)
	if stored {
		return f, nil
	}
	digest, n := out.Sum()
	o := vlog.Object{Digest: digest, Size: n, Role: vlog.RoleFile}
	if err := object.PutDigest(ctx, s.to.Store, o.Name(), o.Size, tmp); err != nil {
		return f, err
	}
	s.large = append(s.large, o)
	f.Content = content.InObject(o.Digest.String())
	return f, nil
}
