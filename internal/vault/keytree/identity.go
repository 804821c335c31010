package keytree

import "allod"

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
