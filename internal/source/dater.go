package source

// Dater is a source whose tokens tell how far its row versions had come when it
// gave them out. Of two tokens, one asked for when the other had come has no
// lower version, unless the source was put back to an earlier moment in between.
type Dater interface {
	// TokenVersion returns the row version that c, of kind CursorDelta, was given
	// out at; 0 when it does not tell. It does no I/O.
	TokenVersion(c Cursor) uint64
}
