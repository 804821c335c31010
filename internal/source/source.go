// Package source holds the contracts between Allod and the systems it
// protects: Source reads, Target writes, and a few further abilities that are
// found by assertion. Adapters live in subpackages, one per product; the checks
// that every adapter must pass live in sourcecheck.
package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"allod"
)

// Source reads one environment. Methods may be called from several goroutines.
// Errors carry a Kind and name environment, table and request, never content.
// Retries of what is safe to retry happen inside; an error that comes out is
// final for that call.
type Source interface {
	// Describe reads the schema: every table, also those that cannot be read
	// (Table.Unreadable says why), with its class and reason.
	Describe(ctx context.Context) (*allod.Schema, error)

	// Read yields the pages of one table in the source's order, in the
	// caller's goroutine. After an error nothing more is yielded. The last
	// page has Last set; a sequence that ends without it and without an error
	// does not occur. A row may come twice; the later one counts.
	Read(ctx context.Context, req ReadRequest) iter.Seq2[Page, error]

	// Capabilities says what this source can do. It does no I/O.
	Capabilities() Capabilities
}

// Close ends the use of a source that keeps something beside its connection.
func Close(s Source) error {
	if c, ok := s.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// ReadRequest asks for the rows of one table.
type ReadRequest struct {
	Table   *allod.Table // from the Schema of Describe
	Columns []string     // logical names to read; nil = all readable stored columns
	Cursor  Cursor       // where to begin; zero = everything from the start
	// Track asks for a token to follow changes from here (Page.Delta on the
	// last page). Ignored where the table has no change tracking.
	Track bool
	// PageSize caps rows per page; 0 = the source's own choice.
	PageSize int
	// Divide asks a Divider for the table in parts that are read at once; nil =
	// as a whole. Ignored with Track, and for deltas. Their pages come mixed; a
	// cursor between them holds the places of all. A read that goes on at such a
	// cursor uses AtOnce alone.
	Divide *Division
}

// Division says how a table is read in parts.
type Division struct {
	Sample []allod.Value // values of the column that DivideBy names, of rows all over the table
	Parts  int           // into how many, at most
	AtOnce int           // how many are read at once: so many pages may be held besides the one yielded; 0 = 1
}

// Divider is a source that can read a long table in parts at once. Each row
// that does not change meanwhile belongs to exactly one part.
type Divider interface {
	// DivideBy names the column whose values tell parts of the table apart; "" =
	// it can be read as a whole only. It does no I/O.
	DivideBy(t *allod.Table) string
}

// Cursor is a place to go on reading. It is opaque to everybody but the
// adapter that made it and is stored sealed, since it can hold keys of rows.
type Cursor struct {
	Kind  CursorKind `json:"kind,omitempty"`
	Token string     `json:"token,omitempty"`
}

// CursorKind tells the two kinds of cursor apart.
type CursorKind string

// Kinds of cursor; the empty kind is the beginning of a full read.
const (
	CursorStart CursorKind = ""
	CursorNext  CursorKind = "next"  // the rest of a read that was cut off; lives as long as the source allows
	CursorDelta CursorKind = "delta" // what changed since; lives a limited time, see Capabilities.DeltaLife
)

// Page is a run of rows. The receiver owns it.
type Page struct {
	Rows    []allod.Row
	Deleted []allod.GUID // said by the source to be deleted; delta reads only. May name rows never seen
	Next    Cursor       // where to go on after this page if the read is cut off; zero on the last page
	Delta   Cursor       // on the last page of a tracked or delta read: where the next delta begins
	Last    bool
	// Mixed says that the values of one column come from several answers, so that
	// one of them proves nothing about the nulls of other rows.
	Mixed bool
	// WireBytes is what the page took on the network, decompressed; 0 = not known.
	WireBytes int64
}

// ErrDeltaExpired is wrapped by the error of a delta read whose token is too
// old or belongs to another line: read everything again.
var ErrDeltaExpired = allod.Errorf(allod.Invalid, "the change-tracking token is no longer valid")

// SignInRefused reports whether err says that the credential was not taken, also
// when a fresh token was tried: it has expired, was revoked or replaced. That is
// no fault of the table that was asked for.
func SignInRefused(err error) bool {
	var s interface{ SignInRefused() bool }
	return errors.As(err, &s) && s.SignInRefused()
}

// Capabilities of a source. The zero value is a source that can only read.
type Capabilities struct {
	Kind        string        // "dataverse"
	Environment string        // name given by allod connect
	URL         string        // base URL, no secrets
	DeltaLife   time.Duration // how long a delta token lives; 0 = no change tracking
	Loopback    bool          // the environment is on this machine: an emulator
	Parallel    int           // tables worth reading at once
	Budget      Budget        // what it may be asked
}

// Budget is what a source allows one reader; zero fields are without limit.
type Budget struct {
	PerDay    int64   // requests a day that the licence entitles to; more are no error
	PerSecond float64 // requests a second, in the long run
	Busy      float64 // seconds of the source's work a second, in the long run
}

// Rights is what the reader may see, as of one moment.
type Rights struct {
	// Depth of read per table, by logical name; a table that is missing here
	// may not be read at all.
	Depth map[string]Depth
	// Hidden lists secured columns whose values the reader does not get,
	// table → columns. Their nulls say nothing.
	Hidden map[string][]string
	// RetentionRuns lists tables with rows moved to long-term retention,
	// with the time of the last run by this machine's clock.
	RetentionRuns map[string]time.Time
	// Grants names the privileges that reading a table takes, all of them;
	// none = not known, or not needed.
	Grants map[string][]string
	// Administrator is whether the reader may do everything, also write.
	Administrator bool
}

// Depth is how much of a table a reader sees.
type Depth uint8

// Depths, in rising order, with Dataverse's names.
const (
	DepthNone   Depth = 0
	DepthBasic  Depth = 1 // own rows
	DepthLocal  Depth = 2 // rows of the business unit
	DepthDeep   Depth = 3 // the unit and those below
	DepthGlobal Depth = 4 // every row: only this proves absence
)

// RightsReader is a source that can say what its caller may read. Capture asks
// before and after each full read; a source without it never proves absence.
type RightsReader interface {
	Rights(ctx context.Context, schema *allod.Schema) (*Rights, error)
}

// TriggerKind is a kind of logic that runs by itself when rows are written.
type TriggerKind string

// The kinds of triggers.
const (
	TriggerFlow     TriggerKind = "cloud flow"
	TriggerWorkflow TriggerKind = "workflow"
	TriggerRule     TriggerKind = "business rule"
	TriggerStep     TriggerKind = "plug-in step"
	TriggerWebhook  TriggerKind = "webhook" // or a message to a service bus
)

// Trigger is one piece of logic that writing rows sets off.
type Trigger struct {
	Kind    TriggerKind `json:"kind"`
	Name    string      `json:"name"`              // as its maker called it: configuration, no content of rows
	Table   string      `json:"table,omitempty"`   // whose rows set it off; "" = not known, or several
	Managed bool        `json:"managed,omitempty"` // part of a managed solution
	// Messages are what sets it off, by Dataverse's names ("Create", "Update" …);
	// none = not known, or everything.
	Messages []string `json:"messages,omitempty"`
}

// Surroundings is what stands around the rows of an environment and decides
// what a backup and a restore of it are worth.
type Surroundings struct {
	// Triggers would run during a restore; sorted by kind, table and name.
	Triggers []Trigger
	// Unlisted are tables that tell of triggers and could not be read.
	Unlisted []string
	// NeverTracked are tables without change tracking for which it cannot be
	// switched on; sorted.
	NeverTracked []string
	// NativeDays is how many days back the platform's own backups reach; 0 =
	// the source does not say.
	NativeDays int
	// Outside is what belongs to the environment and lies elsewhere.
	Outside []Outside
}

// Outside is one kind of data that no backup of the rows holds.
type Outside struct {
	What  string `json:"what"`
	Table string `json:"table"`          // that tells of it
	Of    string `json:"of"`             // what Count counts, e.g. "document locations"
	Count int64  `json:"count"`          // -1 = not known
	More  bool   `json:"more,omitempty"` // there are more than Count
}

// Text says how much there is; "" = not known.
func (o *Outside) Text() string {
	switch {
	case o.Count < 0:
		return ""
	case o.More:
		return fmt.Sprintf("more than %d %s", o.Count, o.Of)
	}
	return fmt.Sprintf("%d %s", o.Count, o.Of)
}

// Outsider is a source that can say what belongs to its environment and lies
// elsewhere. What its caller may not read is not counted; an error is returned
// only when the source could not be reached.
type Outsider interface {
	Outside(ctx context.Context, schema *allod.Schema) ([]Outside, error)
}

// Inspector is a source that can say what stands around its rows. What its
// caller may not read is left out and named; an error is returned only when
// the source could not be reached.
type Inspector interface {
	Inspect(ctx context.Context, schema *allod.Schema) (*Surroundings, error)
}

// Finder reads single rows.
type Finder interface {
	// Get returns the rows that exist among keys, in any order. Rows that
	// the source has not are left out; that is no proof of deletion by
	// itself. nil columns = all readable stored columns.
	Get(ctx context.Context, table *allod.Table, keys []allod.GUID, columns []string) ([]allod.Row, error)
	// Query yields the rows for which filter (in the source's own language:
	// OData $filter for Dataverse) holds.
	Query(ctx context.Context, table *allod.Table, filter string, columns []string) iter.Seq2[allod.Row, error]
	// Count returns the number of rows, exact or as of at most 24 h ago;
	// -1 when the source does not say.
	Count(ctx context.Context, table *allod.Table) (int64, error)
}

// FileReader reads the bytes of File cells.
type FileReader interface {
	// OpenFile opens the file that the row's column refers to, reading in
	// ranges and resuming after a cut. NotFound when there is none any more.
	OpenFile(ctx context.Context, table *allod.Table, row *allod.Row, column string) (io.ReadCloser, error)
}

// FileSize is how many files a table has and how long they are together, in
// bytes; -1 = not known.
type FileSize struct{ Files, Bytes int64 }

// FileSizer is a source that can say how long its files are without reading
// them. A table that is missing in the answer is not known.
type FileSizer interface {
	FileSizes(ctx context.Context, schema *allod.Schema) (map[string]FileSize, error)
}

// OpKind says what an Op does.
type OpKind string

// The kinds of writes.
const (
	OpCreate       OpKind = "create"          // insert with the given key; Conflict if it exists
	OpUpdate       OpKind = "update"          // change the given cells; Conflict if Version is not the current one
	OpDelete       OpKind = "delete"          // remove; Conflict if Version is not the current one
	OpAssociate    OpKind = "associate"       // add a pair of a many-to-many relationship; existing pair = done
	OpDissociate   OpKind = "dissociate"      // remove a pair; missing pair = done
	OpState        OpKind = "state"           // set statecode and statuscode, by the message the table wants
	OpFile         OpKind = "file"            // upload the bytes of one file or image column; nil Content removes it
	OpReplaceParty OpKind = "replace-parties" // set the whole list of activity parties of one activity
)

// Op is one write.
type Op struct {
	Kind  OpKind
	Table *allod.Table
	Key   allod.GUID
	// Cells to write by column name. Null clears; Absent is refused. Lookups
	// are given as values: the adapter finds the navigation property.
	Cells map[string]allod.Value
	// Version is the row version the op was planned against; 0 = do not ask.
	// Ignored for OpCreate, which never overwrites.
	Version uint64
	// FromBin is for create: the row is taken out of the source's recycle bin first,
	// then Cells are written, nulls included; where that cannot be done it is made.
	FromBin bool
	// CreatedOn backdates a created row where the source allows it; zero = not.
	CreatedOn time.Time

	Relationship *allod.Relationship // associate, dissociate
	Other        allod.GUID          // associate, dissociate: the row of Table2 (Key is that of Table1)

	Column  string                        // file
	File    allod.FileRef                 // file: name, type, size
	Content func() (io.ReadCloser, error) // file: opened once per attempt

	// Closing is the row that the service makes of itself when a state op
	// closes this one; the service is asked to make it with these values.
	// nil = with its own. ClosingTable is its table.
	Closing      map[string]allod.Value
	ClosingTable *allod.Table

	Parties    []allod.Row // replace-parties: rows of the party table, in order; PartyTable is their table
	PartyTable *allod.Table
}

// Result of one Op, in the order of the ops.
type Result struct {
	Err     error  // nil = done
	Version uint64 // the row version after it, 0 = not known
	Note    string // what the source did otherwise than asked ("" = nothing)
}

// WriteOptions hold for all ops of one Apply.
type WriteOptions struct {
	Tag    string   // written to the source's logs where it can be: "allod:<restore id>"
	Bypass []string // "plugins", "flows": custom logic to keep from running
}

// Target writes. Apply carries out ops in order, possibly several at once where
// their order does not matter to the adapter's knowledge: ops of one call are
// independent of each other, except that ops on the same row keep their order.
// It returns one Result per op; the error is for a call that could not begin.
// A write whose answer was lost is asked about (by reading) before it is
// repeated, so that nothing is done twice.
type Target interface {
	Apply(ctx context.Context, opts WriteOptions, ops []Op) ([]Result, error)
}

// View is rows at one moment: a snapshot in the vault, or the live source.
// Methods may be called from several goroutines.
type View interface {
	// Name is how people refer to it, e.g. "contoso@42" or "contoso@live".
	Name() string
	Schema() *allod.Schema
	// Rows yields every row of the table, each once, in no promised order.
	Rows(ctx context.Context, table string) iter.Seq2[allod.Row, error]
	// Get returns the rows that exist among refs, in any order.
	Get(ctx context.Context, table string, refs []allod.RecordRef) ([]allod.Row, error)
	// OpenFile opens the bytes of a File cell.
	OpenFile(ctx context.Context, row *allod.Row, column string) (io.ReadCloser, error)
}
