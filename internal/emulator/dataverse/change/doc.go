// Package change answers writes: rows, references, files and the messages that
// act on rows (protocols/dataverse.md §6, §8). What a write does to the rest of
// the organisation is platform's.
package change
