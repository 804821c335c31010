package content

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"

	"allod"
	"allod/internal/vault/keytree"
	"allod/internal/vault/object"
	"allod/internal/vault/pack"
	"allod/internal/vault/seal"
	"allod/internal/vault/shelf"
)

// FileHead returns the head of a new file of the record, with a salt of its
// own, and the seed that seals it. For a record whose key is gone see Withheld.
func (o *Opener) FileHead(table uint32, ref allod.RecordRef) (seal.FileHead, keytree.Seed, error) {
	tag := o.Tag(table, ref.Key, ref.Pair)
	tree := o.r.Tree()
	generation, seed, err := tree.Current(o.index.Leaf(tag))
	if err != nil {
		return seal.FileHead{}, seed, err
	}
	h := seal.FileHead{Root: tree.Root(), Environment: o.env, Table: table, Tag: tag, Generation: generation}
	if _, err := io.ReadFull(rand.Reader, h.Salt[:]); err != nil {
		return h, seed, allod.Errorf(allod.Internal, "draw a salt: %w", err)
	}
	return h, seed, nil
}

// InPack is the content of a small file: its id, and the capture that stored it
// (FORMAT.md §8).
func InPack(id [16]byte, capture uint64) string { return fmt.Sprintf("p%x.%d", id, capture) }

// InObject is the content of a large file: the digest of its object, as hex.
func InObject(digest string) string { return "f" + digest }

// File opens the bytes of a file of the record, which past holds. NotFound when
// they were never stored; for a key that is gone see Withheld. What is stored
// says itself under which salt it is sealed, so one file of the record would
// pass for another: at the end size and digest are compared with those of the
// row, and the reader ends with Corrupt instead of io.EOF.
func (o *Opener) File(ctx context.Context, past *shelf.Past, table uint32, ref allod.RecordRef, f allod.FileRef) (io.ReadCloser, error) {
	if f.Content == "" {
		return nil, allod.Errorf(allod.NotFound, "its bytes were not stored")
	}
	owner := &owner{table, o.Tag(table, ref.Key, ref.Pair)}
	if err := o.hides(owner.table, owner.tag); err != nil {
		return nil, err
	}
	if f.Content[0] == 'f' {
		name := "files/" + f.Content[1:]
		r, err := o.object(ctx, name, owner)
		if err != nil {
			return nil, err
		}
		return &wholeReader{ReadCloser: r, name: name, want: f, hash: sha256.New()}, nil
	}
	id, capture, err := parseSmall(f.Content)
	if err != nil {
		return nil, err
	}
	p, err := past.SmallFile(id, capture)
	if err != nil {
		return nil, err
	}
	r, err := o.blob(p, id, owner)
	if err != nil {
		return nil, err
	}
	return &wholeReader{ReadCloser: io.NopCloser(r), name: p.Name, want: f, hash: sha256.New()}, nil
}

// wholeReader ends well only if what came was the file that the row means.
type wholeReader struct {
	io.ReadCloser
	name string // of the object
	want allod.FileRef
	hash hash.Hash
	n    int64
}

func (w *wholeReader) Read(p []byte) (int, error) {
	k, err := w.ReadCloser.Read(p)
	_, _ = w.hash.Write(p[:k]) // a hash does not fail
	w.n += int64(k)
	if w.n > w.want.Size || err == io.EOF && (w.n != w.want.Size || hex.EncodeToString(w.hash.Sum(nil)) != w.want.SHA256) {
		return 0, allod.Errorf(allod.Corrupt, "%s: it holds another file than the row names", w.name)
	}
	return k, err
}

// Object opens a file object whatever record it belongs to.
func (o *Opener) Object(ctx context.Context, name string) (io.ReadCloser, error) {
	return o.object(ctx, name, nil)
}

// Blob opens a small file of a pack whatever record it belongs to.
func (o *Opener) Blob(p *shelf.Pack, id [16]byte) (io.Reader, error) { return o.blob(p, id, nil) }

// owner is the record that a file must belong to.
type owner struct {
	table uint32
	tag   keytree.Tag
}

type readCloser struct {
	io.Reader
	io.Closer
}

// object opens both layers of a file object. The digest is not compared here;
// the inner chunks are authenticated under the record's key.
func (o *Opener) object(ctx context.Context, name string, of *owner) (io.ReadCloser, error) {
	if o.r.identity == nil {
		return nil, shelf.NoIdentity(name)
	}
	body, err := o.r.store.Get(ctx, name, 0, -1)
	if err != nil {
		return nil, object.Missing(name, err)
	}
	r, err := pack.Decrypt(body, o.r.identity)
	if err == nil {
		r, err = o.inner(r, name, of)
	} else {
		err = object.Named(name, err)
	}
	if err != nil {
		return nil, errors.Join(err, body.Close())
	}
	return readCloser{r, body}, nil
}

func (o *Opener) blob(p *shelf.Pack, id [16]byte, of *owner) (io.Reader, error) {
	b, err := p.Blob(id)
	if err != nil {
		return nil, object.Named(p.Name, err)
	}
	return o.inner(b, p.Name, of)
}

// inner opens the inner layer; the file must belong to the owner, if there is
// one.
func (o *Opener) inner(r io.Reader, name string, of *owner) (io.Reader, error) {
	h, err := seal.ReadFileHead(r)
	if err != nil {
		return nil, object.Named(name, err)
	}
	if h.Environment != o.env || of != nil && (h.Tag != of.tag || h.Table != of.table) {
		return nil, allod.Errorf(allod.Corrupt, "%s: it holds a file of another record", name)
	}
	tree := o.r.tree(h.Root)
	if tree == nil {
		return nil, allod.Errorf(allod.Corrupt, "%s: it names root %d, which is not known", name, h.Root)
	}
	seed, err := tree.Seed(o.index.Leaf(h.Tag), h.Generation)
	if err != nil {
		return nil, object.Named(name, err)
	}
	fr, err := seal.NewFileReader(r, o.r.vault, h, seed)
	if err != nil {
		return nil, err
	}
	return namedReader{fr, name}, nil
}

// namedReader names the object in errors.
type namedReader struct {
	io.Reader
	name string
}

func (n namedReader) Read(p []byte) (int, error) {
	k, err := n.Reader.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // a wrapped EOF is a connection that broke, not the end
		err = object.Named(n.name, err)
	}
	return k, err
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

// FilesOf returns the files of a row whose bytes are stored.
func FilesOf(row *allod.Row) ([]allod.FileRef, error) {
	var out []allod.FileRef
	for _, v := range row.Cells {
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
