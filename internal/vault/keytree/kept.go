package keytree

import (
	"slices"

	"allod"
)

// Kept is all that one root derives of a record, and which generations of it
// are gone: what is sealed to a container or a hold before the record is
// punctured, and put back when it is lifted.
type Kept struct {
	Nodes   []KeptNode   // at least one, ascending, disjoint
	Absents []KeptAbsent // ascending
}

// KeptNode is a node at or below the record's own: depth 64 to 72, and the bits
// of the generation down to there.
type KeptNode struct {
	Depth      uint8
	Generation uint8
	Seed       Seed
}

// KeptAbsent is an entry of the absent list below the record's node.
type KeptAbsent struct {
	Depth      uint8
	Generation uint8
	Kind       Kind
	Log        uint64 // log entry that made it absent
}

// Keep returns what s derives of a record. AbsentError or Corrupt as Seed, when
// that is nothing.
func (s *State) Keep(leaf Leaf) (Kept, error) {
	own := path{leaf: uint64(leaf), depth: LeafDepth}
	nodes, absents := s.lists(leaf)
	if i, ok := cover(nodes, own); ok && listed(absents, own) < 0 {
		return Kept{Nodes: []KeptNode{{Depth: LeafDepth, Seed: s.descend(nodes[i], own)}}}, nil
	}
	var k Kept
	for _, n := range nodes {
		if own.contains(n.at) && listed(absents, n.at) < 0 {
			k.Nodes = append(k.Nodes, KeptNode{n.at.depth, n.at.gen, n.seed})
		}
	}
	for _, a := range absents {
		if own.contains(a.at) && a.at != own {
			k.Absents = append(k.Absents, KeptAbsent{a.at.depth, a.at.gen, a.kind, a.log})
		}
	}
	if len(k.Nodes) == 0 {
		return Kept{}, s.why(leaf, path{leaf: uint64(leaf), depth: Depth})
	}
	return k, nil
}

// Whole returns how the whole record is listed as absent; nil when it is not.
func (s *State) Whole(leaf Leaf) *AbsentError {
	_, absents := s.lists(leaf)
	own := path{leaf: uint64(leaf), depth: LeafDepth}
	for _, a := range absents {
		if a.at.contains(own) {
			return &AbsentError{Kind: a.kind, Log: a.log}
		}
	}
	return nil
}

// Kinds counts the entries of the absent list by kind.
func (s *State) Kinds() map[Kind]int {
	out := map[Kind]int{}
	count := func(absents []absent) {
		for _, a := range absents {
			out[a.kind]++
		}
	}
	count(s.absents)
	for _, p := range s.pages {
		count(p.absents)
	}
	return out
}

// Return is a record that is put back.
type Return struct {
	Leaf Leaf
	Kept Kept
}

// PutBack returns a copy of the tree, one epoch later as Puncture, with what Keep returned
// of records that were then punctured as restricted or held. Invalid if one was
// not, or has something that Keep does not return.
func (s *State) PutBack(back []Return) (*State, error) {
	n := s.later()
	for _, r := range back {
		own := path{leaf: uint64(r.Leaf), depth: LeafDepth}
		if err := r.Kept.check(own); err != nil {
			return nil, err
		}
		number := uint16(uint64(r.Leaf) >> (LeafDepth - PageDepth))
		if n.pages[number] == nil {
			return nil, allod.Errorf(allod.Invalid, "put a key back: it is not absent")
		}
		if err := n.touch(s, number).putBack(own, r.Kept); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// Admit returns a copy of the tree, one epoch later as Puncture, that refuses no
// longer a record which it has listed as restricted or held since it was begun,
// and whose node it has: nothing is to be put back. It returns s itself for a
// record that is not listed so; Invalid for one that must be put back.
func (s *State) Admit(leaf Leaf) (*State, error) {
	own := path{leaf: uint64(leaf), depth: LeafDepth}
	nodes, absents := s.lists(leaf)
	i := listed(absents, own)
	if i < 0 || absents[i].at != own || absents[i].kind != Restricted && absents[i].kind != Held {
		return s, nil
	}
	if _, ok := cover(nodes, own); !ok {
		return nil, allod.Errorf(allod.Invalid, "put a key back under root %d: what was kept of it was not given", s.root)
	}
	n := s.later()
	p := n.touch(s, uint16(uint64(leaf)>>(LeafDepth-PageDepth)))
	p.absents = slices.Delete(p.absents, i, i+1)
	return n, nil
}

func (p *page) putBack(own path, k Kept) error {
	i := slices.IndexFunc(p.absents, func(a absent) bool { return a.at == own && (a.kind == Restricted || a.kind == Held) })
	if i < 0 {
		return allod.Errorf(allod.Invalid, "put a key back: it is not restricted or held")
	}
	if _, ok := cover(p.nodes, own); ok {
		return allod.Errorf(allod.Invalid, "put a key back: it was never taken out")
	}
	var absents []absent
	for _, a := range k.Absents {
		absents = append(absents, absent{at: a.path(own), kind: a.Kind, log: a.Log})
	}
	p.absents = slices.Replace(p.absents, i, i+1, absents...)
	var nodes []node
	for _, n := range k.Nodes {
		nodes = append(nodes, node{at: n.path(own), seed: n.Seed})
	}
	j, _ := slices.BinarySearchFunc(p.nodes, own, func(a node, q path) int { return a.at.compare(q) })
	p.nodes = slices.Insert(p.nodes, j, nodes...)
	return nil
}

func (k KeptNode) path(own path) path {
	return path{leaf: own.leaf, gen: k.Generation, depth: k.Depth}
}

func (k KeptAbsent) path(own path) path {
	return path{leaf: own.leaf, gen: k.Generation, depth: k.Depth}
}

// check refuses what Keep never returns: it came out of a seal, from a program
// that may have erred.
func (k Kept) check(own path) error {
	bad := allod.Errorf(allod.Invalid, "put a key back: what was kept of it makes no sense")
	var all []path
	for _, n := range k.Nodes {
		all = append(all, n.path(own))
	}
	for _, a := range k.Absents {
		if a.Kind < Erased || a.Kind > Held {
			return bad
		}
		all = append(all, a.path(own))
	}
	if len(k.Nodes) == 0 || !slices.IsSortedFunc(all[:len(k.Nodes)], path.compare) || !slices.IsSortedFunc(all[len(k.Nodes):], path.compare) {
		return bad
	}
	for i, p := range all {
		if !p.valid() || !own.contains(p) || len(k.Absents) > 0 && p == own {
			return bad
		}
		for _, q := range all[:i] {
			if p.contains(q) || q.contains(p) {
				return bad
			}
		}
	}
	return nil
}
