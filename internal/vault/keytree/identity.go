package keytree

import (
	"encoding/hex"

	"allod"
)

// AppendIdentity appends the identity of a record to b (FORMAT.md §4): a row is
// named by its key, a row of an intersect table by the pair that it joins.
// Tags and leaves are made of it.
func AppendIdentity(b []byte, environment, table uint32, key allod.GUID, pair [2]allod.GUID) []byte {
	u32 := func(n uint32) { b = append(b, byte(n>>24), byte(n>>16), byte(n>>8), byte(n)) }
	u32(environment)
	u32(table)
	if pair == [2]allod.GUID{} {
		b = append(b, 0, 16)
		return append(b, key[:]...)
	}
	b = append(b, 0, 4)
	u32(table) // the relationship number is that of its intersect table
	b = append(append(b, 0, 16), pair[0][:]...)
	return append(append(b, 0, 16), pair[1][:]...)
}

// MarshalText writes the tag as 32 hex digits.
func (t Tag) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, t[:]), nil }

// UnmarshalText reads what MarshalText wrote; Invalid for anything else.
func (t *Tag) UnmarshalText(b []byte) error {
	if len(b) != 2*TagSize {
		return allod.Errorf(allod.Invalid, "read a tag: %d bytes are not 32 hex digits", len(b))
	}
	if _, err := hex.Decode(t[:], b); err != nil {
		return allod.Errorf(allod.Invalid, "read a tag: it is not 32 hex digits")
	}
	return nil
}
