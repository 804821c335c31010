package vault

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"filippo.io/age"

	"allod"
	"allod/internal/blob"
	vlog "allod/internal/vault/log"
	"allod/internal/vault/pack"
	"allod/internal/vault/seal"
)

// smallFile is the most plain bytes of a file that goes into a pack (FORMAT.md
// §8); readers do not depend on it.
const smallFile = 256 << 10

// fileSpool keeps small files of a writer, sealed under their records' keys,
// until the next commit, and names the large ones that are stored already.
type fileSpool struct {
	dir   string
	f     *os.File
	size  int64
	small []spooled
	large []vlog.Object
}

type spooled struct {
	id  [16]byte
	off int64
	n   int64
}

func (s *fileSpool) add(id [16]byte, sealed []byte) error {
	if s.f == nil {
		f, err := os.CreateTemp(s.dir, "allod-files-*")
		if err != nil {
			return allod.Errorf(allod.Unavailable, "make a temporary file: %w", err)
		}
		s.f = f
	}
	if _, err := s.f.WriteAt(sealed, s.size); err != nil {
		return allod.Errorf(allod.Unavailable, "write a temporary file: %w", err)
	}
	s.small = append(s.small, spooled{id: id, off: s.size, n: int64(len(sealed))})
	s.size += int64(len(sealed))
	return nil
}

func (s *fileSpool) close() {
	if s.f != nil {
		removeTemp(s.f)
		s.f = nil
	}
}

// removeTemp closes and removes a temporary file. What it holds is sealed, so
// failing to remove it harms nobody.
func removeTemp(f *os.File) {
	_ = f.Close()           // see above
	_ = os.Remove(f.Name()) // see above
}

// PutFile stores the bytes of a file of the record and returns f with Content,
// SHA256 and Size filled, to be put into the row's cell. The same bytes of the
// same record are stored once. A file over 256 KiB goes to the store at once
// and is garbage until the commit. NotFound when the record was erased.
func (w *TableWriter) PutFile(ctx context.Context, ref allod.RecordRef, f allod.FileRef, r io.Reader) (allod.FileRef, error) {
	f, err := w.putFile(ctx, ref, f, r)
	return f, named("store a file of table "+w.table.Name, err)
}

func (w *TableWriter) putFile(ctx context.Context, ref allod.RecordRef, f allod.FileRef, r io.Reader) (allod.FileRef, error) {
	if w.finished {
		return f, allod.Errorf(allod.Invalid, "the writer is finished")
	}
	known, err := w.knownFiles(ctx, ref)
	if err != nil {
		return f, err
	}
	small := w.r.v.fileObject
	head := make([]byte, small+1)
	n, err := io.ReadFull(r, head)
	head = head[:n]
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return f, allod.Errorf(allod.KindOf(err), "read it: %w", err)
	}
	if n <= small {
		return w.putSmall(ref, f, head, known)
	}
	return w.putLarge(ctx, ref, f, io.MultiReader(bytes.NewReader(head), r), known)
}

// knownFiles returns the files of the record's newest stored version.
func (w *TableWriter) knownFiles(ctx context.Context, ref allod.RecordRef) ([]allod.FileRef, error) {
	row, ok, err := w.Known(ctx, ref)
	if err != nil || !ok {
		return nil, err
	}
	var out []allod.FileRef
	for _, v := range row.row.Cells {
		if v.Type() != allod.File {
			continue
		}
		f, err := v.FileRef()
		if err != nil {
			return nil, err
		}
		if f.Content != "" {
			out = append(out, f)
		}
	}
	return out, nil
}

// sealer begins a sealed file of the record on to.
func (w *TableWriter) fileWriter(ref allod.RecordRef, to io.Writer) (*seal.FileWriter, error) {
	tag := w.o.index.Tag(appendIdentity(nil, w.r.env, w.number, ref.Key, ref.Pair))
	tree := w.r.v.tree()
	generation, seed, err := tree.Current(w.o.index.Leaf(tag))
	if err != nil {
		return nil, err
	}
	h := seal.FileHead{Root: tree.Root(), Environment: w.r.env, Table: w.number, Tag: tag, Generation: generation}
	if _, err := io.ReadFull(rand.Reader, h.Salt[:]); err != nil {
		return nil, allod.Errorf(allod.Internal, "draw a salt: %w", err)
	}
	return seal.NewFileWriter(to, w.r.v.cfg.Pin.Vault, h, seed)
}

func fill(f allod.FileRef, sum []byte, size int64, known []allod.FileRef) (allod.FileRef, bool) {
	f.SHA256, f.Size = hex.EncodeToString(sum), size
	i := slices.IndexFunc(known, func(k allod.FileRef) bool { return k.SHA256 == f.SHA256 && k.Size == f.Size })
	if i >= 0 {
		f.Content = known[i].Content
	}
	return f, i >= 0
}

func (w *TableWriter) putSmall(ref allod.RecordRef, f allod.FileRef, plain []byte, known []allod.FileRef) (allod.FileRef, error) {
	sum := sha256.Sum256(plain)
	f, stored := fill(f, sum[:], int64(len(plain)), known)
	if stored {
		return f, nil
	}
	var b bytes.Buffer
	fw, err := w.fileWriter(ref, &b)
	if err == nil {
		_, err = fw.Write(plain)
	}
	if err == nil {
		err = fw.Close()
	}
	if err != nil {
		return f, err
	}
	var id [16]byte
	if _, err := io.ReadFull(rand.Reader, id[:]); err != nil {
		return f, allod.Errorf(allod.Internal, "draw an id: %w", err)
	}
	w.r.mu.Lock()
	capture := w.r.capture + 1
	w.r.mu.Unlock()
	f.Content = fmt.Sprintf("p%x.%d", id, capture)
	return f, w.files.add(id, b.Bytes())
}

// putLarge seals and encrypts into a temporary file, because the object's name
// is the digest of its bytes, and puts it.
func (w *TableWriter) putLarge(ctx context.Context, ref allod.RecordRef, f allod.FileRef, r io.Reader, known []allod.FileRef) (allod.FileRef, error) {
	v := w.r.v
	tmp, err := os.CreateTemp(v.cfg.TempDir, "allod-file-*")
	if err != nil {
		return f, allod.Errorf(allod.Unavailable, "make a temporary file: %w", err)
	}
	defer removeTemp(tmp)
	out := pack.NewHashWriter(tmp)
	enc, err := age.Encrypt(out, v.recipients...)
	if err != nil {
		return f, allod.Errorf(allod.KindOf(err), "encrypt it: %w", err)
	}
	fw, err := w.fileWriter(ref, enc)
	if err != nil {
		return f, err
	}
	plain := sha256.New()
	size, err := copyContext(ctx, fw, io.TeeReader(r, plain))
	if err == nil {
		err = fw.Close()
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
	if err := putFrom(ctx, v.cfg.Store, o, tmp); err != nil {
		return f, err
	}
	w.files.large = append(w.files.large, o)
	f.Content = "f" + o.Digest.String()
	return f, nil
}

func copyContext(ctx context.Context, w io.Writer, r io.Reader) (int64, error) {
	var total int64
	for {
		if err := ctx.Err(); err != nil {
			return total, err
		}
		n, err := io.CopyN(w, r, 4<<20)
		total += n
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// putFrom stores a finished temporary file under the name its digest gives. An
// object of that name is the same object.
func putFrom(ctx context.Context, s blob.Store, o vlog.Object, f *os.File) error {
	err := s.Put(ctx, o.Name(), io.NewSectionReader(f, 0, o.Size), o.Size, blob.PutOptions{})
	if err == nil {
		return nil
	}
	if errors.Is(err, blob.ErrExists) {
		info, statErr := s.Stat(ctx, o.Name())
		if statErr == nil && info.Size == o.Size {
			return nil
		}
		return allod.Errorf(allod.Corrupt, "write %s: another object has its name", o.Name())
	}
	return allod.WithHint(allod.Errorf(allod.KindOf(err), "write %s: %w", o.Name(), err), "%s", allod.HintOf(err))
}

// OpenFile opens the bytes of a File cell of a row of this snapshot. NotFound
// when the bytes were never stored, or when the record's key is gone by an act
// on record; Corrupt naming the object. Every chunk is checked before a byte
// of it is given out.
func (s *Snapshot) OpenFile(ctx context.Context, row *allod.Row, column string) (io.ReadCloser, error) {
	number, err := s.table(row.Table)
	if err != nil {
		return nil, err
	}
	t := s.schema.tables[number]
	cell := row.Cell(t.ColumnIndex(column))
	if cell.Type() != allod.File {
		return nil, allod.Errorf(allod.NotFound, "open file %s of %s: the cell holds none", column, row.Table)
	}
	f, err := cell.FileRef()
	if err != nil {
		return nil, err
	}
	r, err := s.openContent(ctx, number, row, f)
	if err != nil {
		return nil, named("open file "+column+" of "+row.Table, err)
	}
	return r, nil
}

func (s *Snapshot) openContent(ctx context.Context, number uint32, row *allod.Row, f allod.FileRef) (io.ReadCloser, error) {
	if f.Content == "" {
		return nil, allod.Errorf(allod.NotFound, "its bytes were not stored")
	}
	ref := row.Ref()
	o, err := s.v.opener(s.entry.Environment, s.schema)
	if err != nil {
		return nil, err
	}
	defer o.close()
	tag := o.index.Tag(appendIdentity(nil, o.env, number, ref.Key, ref.Pair))
	if f.Content[0] == 'f' {
		name := "files/" + f.Content[1:]
		body, err := s.v.openLarge(ctx, name)
		if err != nil {
			return nil, err
		}
		r, err := o.fileReader(body, name, number, (*[16]byte)(&tag))
		if err != nil {
			return nil, errors.Join(err, body.Close())
		}
		return readCloser{r, body}, nil
	}
	id, capture, err := parseSmall(f.Content)
	if err != nil {
		return nil, err
	}
	p, err := s.past.smallFile(id, capture)
	if err != nil {
		return nil, err
	}
	b, err := p.Blob(id)
	if err != nil {
		return nil, named(p.name, err)
	}
	r, err := o.fileReader(b, p.name, number, (*[16]byte)(&tag))
	if err != nil {
		return nil, err
	}
	return io.NopCloser(r), nil
}

type readCloser struct {
	io.Reader
	io.Closer
}

func parseSmall(content string) (id [16]byte, capture uint64, err error) {
	head, tail, ok := strings.Cut(content, ".")
	if ok && len(head) == 33 && head[0] == 'p' {
		if _, err = hex.Decode(id[:], []byte(head[1:])); err == nil {
			if capture, err = strconv.ParseUint(tail, 10, 64); err == nil {
				return id, capture, nil
			}
		}
	}
	return id, 0, allod.Errorf(allod.Corrupt, "its place in the vault is not well formed")
}

// smallFile finds the pack that holds a small file: in its capture's entry or
// in a later one.
func (p *past) smallFile(id [16]byte, capture uint64) (*openPack, error) {
	for i := len(p.entries) - 1; i >= 0; i-- {
		e := p.entries[i]
		if e.Capture < capture {
			continue
		}
		packs := packsOf(e)
		for j := len(packs) - 1; j >= 0; j-- { // files stand behind rows
			r, err := p.v.packs.open(packs[j], p.env)
			if err != nil {
				return nil, err
			}
			if r.HasBlob(id) {
				return r, nil
			}
		}
	}
	return nil, allod.Errorf(allod.Corrupt, "no pack of the snapshot holds it")
}

// openLarge opens the age layer of a file object. The digest is not compared
// here; the inner chunks are authenticated under the record's key.
func (v *Vault) openLarge(ctx context.Context, name string) (io.ReadCloser, error) {
	body, err := v.cfg.Store.Get(ctx, name, 0, -1)
	if err != nil {
		return nil, missing(name, err)
	}
	r, err := pack.Decrypt(body, v.identity)
	if err != nil {
		return nil, errors.Join(named(name, err), body.Close())
	}
	return readCloser{r, body}, nil
}

// fileReader opens the inner layer; the file must belong to the record tag,
// unless that is nil.
func (o *opener) fileReader(r io.Reader, name string, table uint32, tag *[16]byte) (io.Reader, error) {
	h, err := seal.ReadFileHead(r)
	if err != nil {
		return nil, named(name, err)
	}
	if h.Environment != o.env || tag != nil && ([16]byte(h.Tag) != *tag || h.Table != table) {
		return nil, allod.Errorf(allod.Corrupt, "%s: it holds a file of another record", name)
	}
	tree := o.v.trees[h.Root]
	if tree == nil {
		return nil, allod.Errorf(allod.Corrupt, "%s: it names root %d, which is not known", name, h.Root)
	}
	seed, err := tree.Seed(o.index.Leaf(h.Tag), h.Generation)
	if err != nil {
		return nil, named(name, err)
	}
	fr, err := seal.NewFileReader(r, o.v.cfg.Pin.Vault, h, seed)
	if err != nil {
		return nil, err
	}
	return namedReader{fr, name}, nil
}

type namedReader struct {
	io.Reader
	name string
}

func (n namedReader) Read(p []byte) (int, error) {
	k, err := n.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = named(n.name, err)
	}
	return k, err
}
