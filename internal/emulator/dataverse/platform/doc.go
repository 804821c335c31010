// Package platform is what Dataverse does by itself when rows are written:
// ids, owners, stamps, states, cascades, addresses of accounts, alternate keys,
// limits of length (protocols/dataverse.md §6). HTTP stays outside.
package platform
