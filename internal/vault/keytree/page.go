package keytree

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"

	"allod"
)

const (
	sealMagic   = "ALKT"
	sealVersion = 1
	sealHead    = len(sealMagic) + 1 + 12
	rootPage    = 0xFFFF
	maxObject   = 256 << 20

	seedWidth   = 1 + 8 + 1 + SeedSize
	pageWidth   = 2 + 8 + 32 + sha256.Size
	absentWidth = 1 + 8 + 1 + 1 + 8
)

// Object is one object to be stored.
type Object struct {
	Name string
	Data []byte
}

// RootName returns the name of the root page of an epoch.
func RootName(root, epoch uint64) string { return objectName(root, epoch, rootPage) }

func objectName(root, epoch uint64, page uint16) string {
	if page == rootPage {
		return fmt.Sprintf("keytree/%08d/%020d/root", root, epoch)
	}
	return fmt.Sprintf("keytree/%08d/%020d/%03x", root, epoch, page)
}

// Seal returns the objects that store the tree at its epoch: the pages touched
// since it was loaded, each under a fresh key, and the root page, under the
// state key of the epoch, last.
func (s *State) Seal(state [32]byte) ([]Object, error) {
	var objects []Object
	for _, number := range slices.Sorted(maps.Keys(s.pages)) {
		p := s.pages[number]
		if !p.dirty {
			continue
		}
		if _, err := io.ReadFull(s.rand, p.key[:]); err != nil {
			return nil, allod.Errorf(allod.Internal, "seal a page of the key tree: %w", err)
		}
		p.epoch = s.epoch
		data, err := s.seal(p.key, [12]byte{}, number, p.encode(number))
		if err != nil {
			return nil, err
		}
		p.digest, p.dirty = sha256.Sum256(data), false
		objects = append(objects, Object{Name: objectName(s.root, s.epoch, number), Data: data})
	}
	var nonce [12]byte
	if _, err := io.ReadFull(s.rand, nonce[:]); err != nil {
		return nil, allod.Errorf(allod.Internal, "seal the root page of the key tree: %w", err)
	}
	data, err := s.seal(state, nonce, rootPage, s.encode())
	if err != nil {
		return nil, err
	}
	s.fresh = false
	return append(objects, Object{Name: RootName(s.root, s.epoch), Data: data}), nil
}

// Load opens the tree of a root at an epoch. get reads an object by name; its
// errors come back as they are. What does not open is Corrupt and named.
func Load(vault allod.GUID, root, epoch uint64, state [32]byte, get func(name string) ([]byte, error)) (*State, error) {
	s := &State{vault: vault, root: root, epoch: epoch, pages: map[uint16]*page{}, rand: rand.Reader}
	name := RootName(root, epoch)
	data, err := get(name)
	if err != nil {
		return nil, err
	}
	plain, err := s.open(state, epoch, rootPage, data)
	if err == nil {
		err = s.decode(plain)
	}
	if err != nil {
		return nil, allod.Errorf(allod.KindOf(err), "open %s: %w", name, err)
	}
	for _, number := range slices.Sorted(maps.Keys(s.pages)) {
		p := s.pages[number]
		name := objectName(root, p.epoch, number)
		data, err := get(name)
		if err != nil {
			return nil, err
		}
		if sha256.Sum256(data) != p.digest {
			return nil, allod.Errorf(allod.Corrupt, "open %s: it is not the page that the root page names", name)
		}
		plain, err := s.open(p.key, p.epoch, number, data)
		if err == nil {
			err = p.decode(plain, number)
		}
		if err != nil {
			return nil, allod.Errorf(allod.KindOf(err), "open %s: %w", name, err)
		}
	}
	return s, nil
}

// Check opens the root page and the pages that Seal has just made, as get gives
// their bytes, and compares them with s: what was stored is what is meant.
// Corrupt if it is not.
func (s *State) Check(state [32]byte, get func(name string) []byte) error {
	name := RootName(s.root, s.epoch)
	back := &State{vault: s.vault, root: s.root, epoch: s.epoch, pages: map[uint16]*page{}}
	plain, err := back.open(state, s.epoch, rootPage, get(name))
	if err == nil {
		err = back.decode(plain)
	}
	if err != nil {
		return allod.Errorf(allod.Corrupt, "open %s: %w", name, err)
	}
	if !bytes.Equal(back.encode(), s.encode()) {
		return allod.Errorf(allod.Corrupt, "open %s: it is not what was meant", name)
	}
	for number, p := range s.pages {
		if p.epoch != s.epoch {
			continue
		}
		name := objectName(s.root, p.epoch, number)
		data, q := get(name), &page{}
		if sha256.Sum256(data) != p.digest {
			return allod.Errorf(allod.Corrupt, "open %s: it is not the page that the root page names", name)
		}
		plain, err := s.open(p.key, p.epoch, number, data)
		if err == nil {
			err = q.decode(plain, number)
		}
		if err != nil || !bytes.Equal(q.encode(number), p.encode(number)) {
			return allod.Errorf(allod.Corrupt, "open %s: it is not what was meant", name)
		}
	}
	return nil
}

// Names returns the names of all objects that the tree needs.
func (s *State) Names() []string {
	names := []string{RootName(s.root, s.epoch)}
	for number, p := range s.pages {
		names = append(names, objectName(s.root, p.epoch, number))
	}
	slices.Sort(names)
	return names
}

// AbsentDigest returns the SHA-256 over the whole absent list.
func (s *State) AbsentDigest() [sha256.Size]byte {
	all := slices.Clone(s.absents)
	for _, p := range s.pages {
		all = append(all, p.absents...)
	}
	slices.SortFunc(all, func(a, b absent) int { return a.at.compare(b.at) })
	var b []byte
	for _, a := range all {
		b = appendAbsent(b, a)
	}
	return sha256.Sum256(b)
}

func (s *State) ad(epoch uint64, number uint16) []byte {
	b := append([]byte("allod keytree v1"), s.vault[:]...)
	b = binary.BigEndian.AppendUint64(b, s.root)
	b = binary.BigEndian.AppendUint64(b, epoch)
	return binary.BigEndian.AppendUint16(b, number)
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, allod.Errorf(allod.Internal, "make a cipher: %w", err)
	}
	return cipher.NewGCM(block)
}

func (s *State) seal(key [32]byte, nonce [12]byte, number uint16, plain []byte) ([]byte, error) {
	aead, err := newGCM(key[:])
	if err != nil {
		return nil, err
	}
	out := append([]byte(sealMagic), sealVersion)
	out = append(out, nonce[:]...)
	return aead.Seal(out, nonce[:], plain, s.ad(s.epoch, number)), nil
}

func (s *State) open(key [32]byte, epoch uint64, number uint16, data []byte) ([]byte, error) {
	if len(data) < sealHead || len(data) > maxObject || string(data[:4]) != sealMagic {
		return nil, allod.Errorf(allod.Corrupt, "not a page of a key tree")
	}
	if data[4] != sealVersion {
		return nil, allod.Errorf(allod.Invalid, "a page of version %d; this program reads version %d", data[4], sealVersion)
	}
	aead, err := newGCM(key[:])
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, data[5:sealHead], data[sealHead:], s.ad(epoch, number))
	if err != nil {
		return nil, allod.Errorf(allod.Corrupt, "the page does not open under its key")
	}
	return plain, nil
}

func appendPath(b []byte, p path) []byte {
	b = append(b, p.depth)
	b = binary.BigEndian.AppendUint64(b, p.leaf)
	return append(b, p.gen)
}

func appendNodes(b []byte, nodes []node) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(nodes)))
	for _, n := range nodes {
		b = append(appendPath(b, n.at), n.seed[:]...)
	}
	return b
}

func appendAbsent(b []byte, a absent) []byte {
	b = append(appendPath(b, a.at), byte(a.kind))
	return binary.BigEndian.AppendUint64(b, a.log)
}

func appendAbsents(b []byte, absents []absent) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(absents)))
	for _, a := range absents {
		b = appendAbsent(b, a)
	}
	return b
}

func (s *State) encode() []byte {
	b := []byte{sealVersion, 1, Depth, 0}
	b = binary.BigEndian.AppendUint64(b, s.root)
	b = binary.BigEndian.AppendUint64(b, s.epoch)
	b = appendNodes(b, s.nodes)
	b = binary.BigEndian.AppendUint32(b, uint32(len(s.pages)))
	for _, number := range slices.Sorted(maps.Keys(s.pages)) {
		p := s.pages[number]
		b = binary.BigEndian.AppendUint16(b, number)
		b = binary.BigEndian.AppendUint64(b, p.epoch)
		b = append(append(b, p.key[:]...), p.digest[:]...)
	}
	return appendAbsents(b, s.absents)
}

func (p *page) encode(number uint16) []byte {
	b := []byte{sealVersion, 0, 0, 0}
	b = binary.BigEndian.AppendUint16(b, number)
	b = appendNodes(b, p.nodes)
	return appendAbsents(b, p.absents)
}

// reader reads fixed fields; a short read sets bad and gives zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n > len(r.b) {
		r.bad = true
		return make([]byte, n)
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

// count reads a u32 count of items of at least width bytes each.
func (r *reader) count(width int) int {
	n := int64(binary.BigEndian.Uint32(r.take(4)))
	if r.bad || n*int64(width) > int64(len(r.b)) {
		r.bad = true
		return 0
	}
	return int(n)
}

func (r *reader) path() path {
	b := r.take(10)
	p := path{depth: b[0], leaf: binary.BigEndian.Uint64(b[1:9]), gen: b[9]}
	if !p.valid() {
		r.bad = true
	}
	return p
}

func (r *reader) nodes(under path, maxDepth uint8) []node {
	nodes := make([]node, 0, r.count(seedWidth))
	for range cap(nodes) {
		n := node{at: r.path(), seed: Seed(r.take(SeedSize))}
		if len(nodes) > 0 {
			last := nodes[len(nodes)-1].at
			r.bad = r.bad || last.compare(n.at) >= 0 || last.contains(n.at)
		}
		r.bad = r.bad || !under.contains(n.at) || n.at.depth > maxDepth
		nodes = append(nodes, n)
	}
	return nodes
}

func (r *reader) absents(under path) []absent {
	absents := make([]absent, 0, r.count(absentWidth))
	for range cap(absents) {
		a := absent{at: r.path(), kind: Kind(r.take(1)[0]), log: binary.BigEndian.Uint64(r.take(8))}
		if len(absents) > 0 {
			last := absents[len(absents)-1].at
			r.bad = r.bad || last.compare(a.at) >= 0 || last.contains(a.at)
		}
		r.bad = r.bad || !under.contains(a.at) || a.kind < Erased || a.kind > Held
		absents = append(absents, a)
	}
	return absents
}

func (r *reader) end() error {
	if r.bad || len(r.b) != 0 {
		return allod.Errorf(allod.Corrupt, "the page is not well formed")
	}
	return nil
}

func (s *State) decode(plain []byte) error {
	r := &reader{b: plain}
	if head := r.take(4); !bytes.Equal(head, []byte{sealVersion, 1, Depth, 0}) {
		return allod.Errorf(allod.Invalid, "a key tree of version %d with PRG %d; this program reads version 1, PRG 1", head[0], head[1])
	}
	if binary.BigEndian.Uint64(r.take(8)) != s.root || binary.BigEndian.Uint64(r.take(8)) != s.epoch {
		r.bad = true
	}
	s.nodes = r.nodes(path{}, PageDepth)
	last := -1
	for range r.count(pageWidth) {
		number := binary.BigEndian.Uint16(r.take(2))
		p := &page{epoch: binary.BigEndian.Uint64(r.take(8)), key: [32]byte(r.take(32)), digest: [sha256.Size]byte(r.take(sha256.Size))}
		r.bad = r.bad || number >= Pages || int(number) <= last || p.epoch > s.epoch
		last = int(number)
		s.pages[number] = p
	}
	s.absents = r.absents(path{})
	return r.end()
}

func (p *page) decode(plain []byte, number uint16) error {
	r := &reader{b: plain}
	if head := r.take(4); !bytes.Equal(head, []byte{sealVersion, 0, 0, 0}) {
		return allod.Errorf(allod.Invalid, "a page of version %d; this program reads version 1", head[0])
	}
	if binary.BigEndian.Uint16(r.take(2)) != number {
		r.bad = true
	}
	under := path{leaf: uint64(number) << (LeafDepth - PageDepth), depth: PageDepth}
	p.nodes = r.nodes(under, Depth)
	p.absents = r.absents(under)
	return r.end()
}
