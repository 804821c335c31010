// Package keytree derives the keys of records from a GGM tree that can be
// punctured: after a puncture the keys below a node can no longer be derived
// from what is kept, while all others can (FORMAT.md §4 and §5; Backendal,
// Günther, Paterson, ASIACRYPT 2022). It does no I/O: pages go in and out as
// bytes.
package keytree

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"io"
	"maps"
	"slices"
	"sort"

	"allod"
)

// The tree of format version 1: 64 levels lead to a record's node, 8 more to
// its generation; the first 12 levels choose the page.
const (
	Depth     = 72
	LeafDepth = 64
	PageDepth = 12
	Pages     = 1 << PageDepth
	SeedSize  = 16
	SaltSize  = 16
	TagSize   = 16
)

// Seed is the value of a node.
type Seed [SeedSize]byte

// Leaf names a record's node.
type Leaf uint64

// Tag is how rows of a record are sorted and found.
type Tag [TagSize]byte // as text: hex

// Kind says why keys are absent. The numbers are stored (FORMAT.md §5).
type Kind uint8

// The kinds.
const (
	Erased     Kind = 1
	Superseded Kind = 2 // a generation that a rectification replaced
	Restricted Kind = 3
	Held       Kind = 4 // erased while a legal hold keeps the seed in escrow
)

// String returns the word used in answers, e.g. "erased".
func (k Kind) String() string {
	switch k {
	case Erased:
		return "erased"
	case Superseded:
		return "superseded"
	case Restricted:
		return "restricted"
	case Held:
		return "held"
	}
	return "unknown"
}

// AbsentError says that a key is gone by an act on record. Its allod.Kind is
// NotFound.
type AbsentError struct {
	Kind Kind
	Log  uint64 // log entry that made it absent
}

// Error says which kind of absence it is.
func (e *AbsentError) Error() string { return "the key of the record is gone: " + e.Kind.String() }

// Indexer turns record identities into leaves and tags under the index key. It
// is not safe for several goroutines; Clone one for each.
type Indexer struct {
	key [32]byte
	mac hash.Hash
	sum [sha256.Size]byte
}

// NewIndexer returns an Indexer for the index key.
func NewIndexer(key [32]byte) *Indexer {
	return &Indexer{key: key, mac: hmac.New(sha256.New, key[:])}
}

// Clone returns an independent Indexer for the same key.
func (x *Indexer) Clone() *Indexer { return NewIndexer(x.key) }

// Leaf returns the leaf of a record, from its tag: whoever scans a pack has no
// more than the tag before the row is open.
func (x *Indexer) Leaf(tag Tag) Leaf {
	return Leaf(binary.BigEndian.Uint64(x.hash("leaf", tag[:])))
}

// Tag returns the tag of a record identity.
func (x *Indexer) Tag(identity []byte) Tag { return Tag(x.hash("tag", identity)[:TagSize]) }

func (x *Indexer) hash(label string, identity []byte) []byte {
	x.mac.Reset()
	_, _ = io.WriteString(x.mac, label) // a hash does not fail
	_, _ = x.mac.Write(identity)        // a hash does not fail
	return x.mac.Sum(x.sum[:0])
}

// path is a node: the first depth bits of leaf ‖ generation, the rest zero.
type path struct {
	leaf  uint64
	gen   uint8
	depth uint8
}

func (p path) bit(level uint8) bool { // the step from level to level+1
	if level < LeafDepth {
		return p.leaf>>(LeafDepth-1-level)&1 == 1
	}
	return p.gen>>(Depth-1-level)&1 == 1
}

// cut returns the ancestor of p at depth d.
func (p path) cut(d uint8) path {
	switch {
	case d == 0:
		return path{}
	case d <= LeafDepth:
		return path{leaf: p.leaf &^ (1<<(LeafDepth-d) - 1), depth: d}
	default:
		return path{leaf: p.leaf, gen: p.gen &^ (1<<(Depth-d) - 1), depth: d}
	}
}

func (p path) contains(q path) bool { return q.depth >= p.depth && q.cut(p.depth) == p }

// sibling returns the other child of p's parent.
func (p path) sibling() path {
	if p.depth <= LeafDepth {
		p.leaf ^= 1 << (LeafDepth - p.depth)
	} else {
		p.gen ^= 1 << (Depth - p.depth)
	}
	return p
}

func (p path) compare(q path) int {
	switch {
	case p.leaf < q.leaf:
		return -1
	case p.leaf > q.leaf:
		return 1
	case p.gen != q.gen:
		return int(p.gen) - int(q.gen)
	default:
		return int(p.depth) - int(q.depth)
	}
}

// valid refuses bits beyond the depth.
func (p path) valid() bool { return p.depth <= Depth && p.cut(p.depth) == p }

type node struct {
	at   path
	seed Seed
}

type absent struct {
	at   path
	kind Kind
	log  uint64
}

// page is what is left of one prefix of 12 bits that was punctured.
type page struct {
	nodes   []node   // ascending, disjoint
	absents []absent // ascending
	epoch   uint64   // of the stored object
	key     [32]byte
	digest  [sha256.Size]byte
	dirty   bool
}

// State is the tree of one root as of one epoch. Deriving is safe from several
// goroutines; Puncture and Seal are not, and not beside it. A tree and the one
// that a puncture made of it share the pages that were not touched: seal one
// before the other is punctured again.
type State struct {
	vault   allod.GUID
	root    uint64
	epoch   uint64
	nodes   []node // depth ≤ 12, untouched by punctures
	absents []absent
	pages   map[uint16]*page
	fresh   bool // not sealed since it came of another
	rand    io.Reader
}

// New returns a fresh tree with a random seed, epoch 1. rnd nil = crypto/rand.
func New(vault allod.GUID, root uint64, rnd io.Reader) (*State, error) {
	if rnd == nil {
		rnd = rand.Reader
	}
	s := &State{vault: vault, root: root, epoch: 1, pages: map[uint16]*page{}, rand: rnd}
	var seed Seed
	if _, err := io.ReadFull(rnd, seed[:]); err != nil {
		return nil, allod.Errorf(allod.Internal, "make a key tree: %w", err)
	}
	s.nodes = []node{{seed: seed}}
	return s, nil
}

// Root returns the root id.
func (s *State) Root() uint64 { return s.root }

// Epoch returns the epoch.
func (s *State) Epoch() uint64 { return s.epoch }

// Punctures returns how many entries the absent list has.
func (s *State) Punctures() int {
	n := len(s.absents)
	for _, p := range s.pages {
		n += len(p.absents)
	}
	return n
}

// prg holds the fixed first block of the PRG input: prefix ‖ seed.
type prg [47]byte

func (s *State) prg() prg {
	var b prg
	copy(b[:7], "allodG1")
	copy(b[7:23], s.vault[:])
	binary.BigEndian.PutUint64(b[23:31], s.root)
	return b
}

// descend walks from a node to a descendant.
func (s *State) descend(from node, to path) Seed {
	in := s.prg()
	copy(in[31:], from.seed[:])
	for level := from.at.depth; level < to.depth; level++ {
		sum := sha256.Sum256(in[:])
		if to.bit(level) {
			copy(in[31:], sum[SeedSize:])
		} else {
			copy(in[31:], sum[:SeedSize])
		}
	}
	return Seed(in[31:])
}

func (s *State) lists(leaf Leaf) (nodes []node, absents []absent) {
	if p := s.pages[uint16(uint64(leaf)>>(LeafDepth-PageDepth))]; p != nil {
		return p.nodes, p.absents
	}
	return s.nodes, s.absents
}

// cover returns the index of the node that contains p, or of the first node
// behind p.
func cover(nodes []node, p path) (i int, found bool) {
	i = sort.Search(len(nodes), func(i int) bool { return nodes[i].at.compare(p) > 0 })
	if i > 0 && nodes[i-1].at.contains(p) {
		return i - 1, true
	}
	return i, false
}

// Seed returns the seed of one generation of a leaf. An AbsentError (kind
// NotFound) says that it is gone by an act on record; Corrupt that it is gone
// without one.
func (s *State) Seed(leaf Leaf, generation uint8) (Seed, error) {
	p := path{leaf: uint64(leaf), gen: generation, depth: Depth}
	nodes, absents := s.lists(leaf)
	if i, ok := cover(nodes, p); ok && listed(absents, p) < 0 {
		return s.descend(nodes[i], p), nil
	}
	return Seed{}, s.why(leaf, p)
}

// Current returns the lowest generation that can be derived, and its seed.
func (s *State) Current(leaf Leaf) (uint8, Seed, error) {
	p := path{leaf: uint64(leaf), depth: Depth}
	nodes, absents := s.lists(leaf)
	i, ok := cover(nodes, p)
	if ok && listed(absents, p) < 0 {
		return 0, s.descend(nodes[i], p), nil
	}
	if !ok && i < len(nodes) && nodes[i].at.leaf == uint64(leaf) && nodes[i].at.depth > LeafDepth {
		p.gen = nodes[i].at.gen
		return p.gen, s.descend(nodes[i], p), nil
	}
	return 0, Seed{}, s.why(leaf, p)
}

// listed returns the index of the listing that covers p, -1 for none. What is
// listed is refused whether or not it can be derived: a new root is begun with
// the records that the one before it refuses, and not punctured for them.
func listed(absents []absent, p path) int {
	i := sort.Search(len(absents), func(i int) bool { return absents[i].at.compare(p) > 0 })
	if i > 0 && absents[i-1].at.contains(p) {
		return i - 1
	}
	return -1
}

// why explains the absence of p.
func (s *State) why(leaf Leaf, p path) error {
	_, absents := s.lists(leaf)
	if i := listed(absents, p); i >= 0 {
		return &allod.Error{Kind: allod.NotFound, Err: &AbsentError{Kind: absents[i].kind, Log: absents[i].log}}
	}
	return allod.Errorf(allod.Corrupt, "derive a key under root %d: it is neither derivable nor listed as absent", s.root)
}

// Target is what to puncture: a whole record, or one generation of it.
type Target struct {
	Leaf       Leaf
	Generation int // -1 = the whole record
}

func (t Target) path() path {
	if t.Generation < 0 {
		return path{leaf: uint64(t.Leaf), depth: LeafDepth}
	}
	return path{leaf: uint64(t.Leaf), gen: uint8(t.Generation), depth: Depth}
}

// Begin returns a fresh tree for the root after s, one epoch later as Puncture.
// It lists the records that are absent from s as a whole, and refuses them, but
// is not punctured for them: nothing was ever sealed under it. rnd nil =
// crypto/rand.
func (s *State) Begin(rnd io.Reader) (*State, error) {
	n, err := New(s.vault, s.root+1, rnd)
	if err != nil {
		return nil, err
	}
	n.epoch, n.fresh = s.later().epoch, true
	for number, p := range s.pages {
		var whole []absent
		for _, a := range p.absents {
			if a.at.depth == LeafDepth && a.kind != Superseded {
				whole = append(whole, a)
			}
		}
		if len(whole) > 0 {
			q := n.materialise(number)
			q.absents, q.dirty = whole, true
		}
	}
	return n, nil
}

// Puncture returns a copy of the tree, one epoch later than the last that was
// sealed, from which the targets
// cannot be derived, and lists them as absent with the kind and the log number.
// A target that is absent already changes its listing when it covers at least
// as much; but what was erased stays so, and what was superseded as a whole does
// not become restricted or held.
// Invalid for a generation beyond 255. The old State still derives them:
// forget it.
func (s *State) Puncture(targets []Target, kind Kind, logNumber uint64) (*State, error) {
	if kind < Erased || kind > Held {
		return nil, allod.Errorf(allod.Invalid, "puncture the key tree: unknown kind %d", kind)
	}
	n := s.later()
	for _, t := range targets {
		if t.Generation > 255 {
			return nil, allod.Errorf(allod.Invalid, "puncture the key tree: generation %d needs a new root", t.Generation)
		}
		n.touch(s, uint16(uint64(t.Leaf)>>(LeafDepth-PageDepth))).puncture(n, t.path(), kind, logNumber)
	}
	return n, nil
}

// Advance sets the epoch of a tree that Puncture or PutBack returned and that
// was not sealed since: an earlier attempt may have left objects of the epochs
// before it. Invalid unless it is at least the tree's.
func (s *State) Advance(epoch uint64) error {
	if epoch < s.epoch {
		return allod.Errorf(allod.Invalid, "advance the key tree to epoch %d: it stands at %d", epoch, s.epoch)
	}
	s.epoch = epoch
	return nil
}

// Forget overwrites the seeds and page keys of s that next, which came of it,
// does not hold too. s must not be used afterwards. What the run time has moved
// or copied stays until its memory is used again (THREATS.md).
func (s *State) Forget(next *State) {
	clear(s.nodes)
	for number, p := range s.pages {
		if next == nil || next.pages[number] != p {
			clear(p.nodes)
			clear(p.key[:])
		}
	}
}

// later returns a copy that shares the pages, at the epoch after the last that
// was sealed.
func (s *State) later() *State {
	n := *s
	if !s.fresh {
		n.epoch++
		n.fresh = true
	}
	n.nodes, n.absents = slices.Clone(s.nodes), slices.Clone(s.absents)
	n.pages = maps.Clone(s.pages)
	return &n
}

// touch returns the page of a number to be changed: a copy of its own, if it is
// still that of the tree before.
func (s *State) touch(before *State, number uint16) *page {
	p := s.pages[number]
	switch {
	case p == nil:
		p = s.materialise(number)
	case p == before.pages[number]:
		q := *p
		q.nodes, q.absents = slices.Clone(p.nodes), slices.Clone(p.absents)
		p = &q
		s.pages[number] = p
	}
	p.dirty = true
	return p
}

// materialise moves the prefix of a page out of the root page.
func (s *State) materialise(number uint16) *page {
	at := path{leaf: uint64(number) << (LeafDepth - PageDepth), depth: PageDepth}
	p := &page{}
	if i, ok := cover(s.nodes, at); ok {
		seed, rest := s.split(s.nodes[i], at)
		s.nodes = slices.Replace(s.nodes, i, i+1, rest...)
		p.nodes = []node{{at: at, seed: seed}}
	}
	s.pages[number] = p
	return p
}

// split returns the seed at "at" below from, and the nodes that cover
// everything else below from, ascending.
func (s *State) split(from node, at path) (Seed, []node) {
	in := s.prg()
	seed := from.seed
	var rest []node
	for level := from.at.depth; level < at.depth; level++ {
		copy(in[31:], seed[:])
		sum := sha256.Sum256(in[:])
		left, right := Seed(sum[:SeedSize]), Seed(sum[SeedSize:])
		other := at.cut(level + 1).sibling()
		if at.bit(level) {
			seed = right
			rest = append(rest, node{at: other, seed: left})
		} else {
			seed = left
			rest = append(rest, node{at: other, seed: right})
		}
	}
	slices.SortFunc(rest, func(a, b node) int { return a.at.compare(b.at) })
	return seed, rest
}

func (p *page) puncture(s *State, at path, kind Kind, logNumber uint64) {
	if j := listed(p.absents, at); j >= 0 {
		was, stays := p.absents[j].kind, kind == Restricted || kind == Held
		switch {
		case p.absents[j].at != at:
			return // the wider listing stays
		case was == Erased && kind != Erased, was == Superseded && stays:
			return // nothing is left that could be put back
		case stays:
			p.absents[j].kind, p.absents[j].log = kind, logNumber
			return
		}
	}
	if i, ok := cover(p.nodes, at); ok {
		_, rest := s.split(p.nodes[i], at)
		p.nodes = slices.Replace(p.nodes, i, i+1, rest...)
	} else { // parts of it are gone already: drop what is left below it
		p.nodes = slices.DeleteFunc(p.nodes, func(n node) bool { return at.contains(n.at) })
	}
	p.absents = slices.DeleteFunc(p.absents, func(a absent) bool { return at.contains(a.at) })
	i, _ := slices.BinarySearchFunc(p.absents, at, func(a absent, q path) int { return a.at.compare(q) })
	p.absents = slices.Insert(p.absents, i, absent{at: at, kind: kind, log: logNumber})
}
