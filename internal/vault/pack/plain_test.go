package pack

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// This file reads the plain bytes of a pack from FORMAT.md §6 alone: it uses
// nothing of the package but the test that compares both. It proves that the
// description suffices.

type plainRow struct {
	table      uint32
	tag        [16]byte
	capture    uint64
	generation uint8
	meta       [18]byte
	sealed     []byte
}

type plainPack struct {
	environment      uint32
	rows             []plainRow
	files            map[[16]byte][]byte
	schema, manifest []byte
	filter           []byte
}

// readPlain reads all of b; it panics on nothing and trusts nothing.
func readPlain(b []byte) (p plainPack, err error) {
	defer func() {
		if e := recover(); e != nil {
			err = fmt.Errorf("not a pack: %v", e)
		}
	}()
	u32, u64 := binary.BigEndian.Uint32, binary.BigEndian.Uint64
	must := func(ok bool, what string) {
		if !ok {
			panic(what)
		}
	}
	must(string(b[:8]) == "allodPK1", "header")
	p.environment = u32(b[8:])
	t := b[len(b)-388:]
	must(string(t[:8]) == "allodTR1" && string(t[380:]) == "allodEND" && u32(t[8:]) == p.environment, "trailer")
	wantRows := u64(t[16:])
	var sections [5][]byte
	for i := range sections {
		s := t[88+48*i:]
		sections[i] = b[u64(s):][:u64(s[8:])]
		sum := sha256.Sum256(sections[i])
		must(bytes.Equal(sum[:], s[16:48]), "section hash")
	}
	index, files := sections[0], sections[2]
	p.filter, p.schema, p.manifest = sections[1], sections[3], sections[4]
	for ; len(index) > 0; index = index[57:] {
		block := b[u64(index[29:]):][:u32(index[37:])]
		sum := sha256.Sum256(block)
		must(bytes.Equal(sum[:16], index[41:57]), "block hash")
		var row plainRow
		for first := true; len(block) > 0; first = false {
			flags := block[0]
			must(!first || flags == 0, "first entry with flags")
			block = block[1:]
			if flags&1 == 0 {
				row.table, block = u32(block), block[4:]
			}
			copy(row.tag[:], block)
			block = block[16:]
			if flags&2 == 0 {
				row.capture, row.generation, block = ^u64(block), ^block[8], block[9:]
			}
			if flags&4 == 0 {
				copy(row.meta[:], block)
				block = block[18:]
			}
			n, w := binary.Uvarint(block)
			must(w > 0, "length")
			row.sealed, block = bytes.Clone(block[w:][:n]), block[w+int(n):]
			p.rows = append(p.rows, row)
		}
	}
	must(uint64(len(p.rows)) == wantRows, "number of rows")
	p.files = map[[16]byte][]byte{}
	for ; len(files) > 0; files = files[28:] {
		p.files[[16]byte(files)] = b[u64(files[16:]):][:u32(files[24:])]
	}
	return p, nil
}

// mayHold is the Bloom filter as FORMAT.md describes it.
func (p *plainPack) mayHold(tag [16]byte) (bool, error) {
	if len(p.filter) == 0 {
		return false, nil
	}
	bits := binary.BigEndian.Uint64(p.filter)
	if bits%64 != 0 || bits/8 != uint64(len(p.filter)-8) {
		return false, errors.New("filter")
	}
	a, b := binary.BigEndian.Uint64(tag[:]), binary.BigEndian.Uint64(tag[8:])|1
	for i := range uint64(7) {
		bit := (a + i*b) % bits
		if p.filter[8+bit/8]>>(bit%8)&1 == 0 {
			return false, nil
		}
	}
	return true, nil
}
