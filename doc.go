// Package allod holds the nouns of Allod: tenants, environments, tables,
// columns, rows, values, changes, gaps, actors, purposes and the vocabulary of
// errors. It does no I/O and imports the standard library only, so that every
// other package can speak these words without pulling anything in.
//
// Two rules hold for every type here. A value keeps what its source sent,
// losslessly: absent, null and empty are three different things. And a zero
// value means "nothing was said", never "no" or "none".
package allod
