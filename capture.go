package allod

import "time"

// GapKind says what a snapshot could not read. Part of --json.
type GapKind string

// The kinds of gaps.
const (
	GapTableUnreadable     GapKind = "table-unreadable"     // no right, or the source refuses to list it
	GapTableFailed         GapKind = "table-failed"         // reading broke off; the former rows stay
	GapColumnSecured       GapKind = "column-secured"       // stored as absent, never as null
	GapDeletionsUnproven   GapKind = "deletions-unproven"   // rows missing, but absence proves nothing; the former rows stay
	GapRetention           GapKind = "moved-to-retention"   // rows went to long-term retention
	GapExcluded            GapKind = "excluded"             // left out by configuration
	GapFileUnread          GapKind = "file-unread"          // a file's bytes could not be, or were not, read
	GapSchemaChanged       GapKind = "schema-changed"       // the schema changed during the run
	GapTableDropped        GapKind = "table-dropped"        // the table is gone from the source; its rows stay
	GapOutside             GapKind = "outside"              // belongs to the environment but lies elsewhere (SharePoint, Exchange …)
	GapReadDepth           GapKind = "read-depth"           // the reader sees only part of the table
	GapErasedReturned      GapKind = "erased-returned"      // an erased record came back in the source; not stored
	GapEscrowMissing       GapKind = "escrow-missing"       // rows of restricted or held records whose escrow is gone; not stored
	GapDerived             GapKind = "derived"              // not stored because it follows from what is
	GapTrackingExpired     GapKind = "tracking-expired"     // the delta token was too old; deletes lie between two moments
	GapNotAsked            GapKind = "not-asked"            // the run was told to read other tables; the former rows stay
	GapConcurrentlyChanged GapKind = "concurrently-changed" // changed while being read, and not settled before the end
)

// Gap is something that a snapshot does not hold although somebody might think
// it does. It names tables and columns, never content.
type Gap struct {
	Table  string  `json:"table"`
	Column string  `json:"column,omitempty"`
	Kind   GapKind `json:"kind"`
	Reason string  `json:"reason"`         // one sentence
	Rows   int64   `json:"rows,omitempty"` // how many rows it concerns; 0 = not known
	// Accepted gaps are what was asked, configuration or nature (not-asked, excluded, derived, outside);
	// they are listed but do not make a run partial.
	Accepted bool `json:"accepted,omitempty"`
}

// TableState says how a snapshot came by the rows of a table. Part of --json.
type TableState string

// The states of a table in a snapshot.
const (
	TableFull    TableState = "read-full"
	TableDelta   TableState = "read-delta"
	TableCarried TableState = "carried" // not read in this capture: the rows of an earlier one hold
	TableGone    TableState = "absent-in-source"
	TableDenied  TableState = "no-right"
	TableFailed  TableState = "failed"
)

// SnapshotID names a snapshot: the vault's log entry number that committed it,
// e.g. "42". Snapshots of all environments share the numbers.
type SnapshotID uint64

// Snapshot describes one capture as others see it. Times are UTC.
type Snapshot struct {
	ID          SnapshotID `json:"id"`
	Environment string     `json:"environment"`
	Capture     uint64     `json:"capture"` // capture number within the environment
	Run         string     `json:"run"`     // captures of one run share it
	Line        uint64     `json:"line"`    // 1 for the first line of the environment
	From        time.Time  `json:"from"`    // first read started
	To          time.Time  `json:"to"`      // last read finished
	Rows        int64      `json:"rows"`    // rows alive as of this snapshot
	Created     int64      `json:"created"`
	Updated     int64      `json:"updated"`
	Deleted     int64      `json:"deleted"`
	StoredBytes int64      `json:"stored_bytes"` // bytes this capture added to the store
	Complete    bool       `json:"complete"`     // false until the entry that closes the run
}

// TableManifest is what a snapshot says of one table. Times are UTC.
type TableManifest struct {
	Table     string     `json:"table"`
	State     TableState `json:"state"`
	Rows      int64      `json:"rows"`
	Created   int64      `json:"created"`
	Updated   int64      `json:"updated"`
	Deleted   int64      `json:"deleted"`
	Started   time.Time  `json:"started,omitzero"`
	Finished  time.Time  `json:"finished,omitzero"`
	HighWater uint64     `json:"high_water"`       // highest row version read; 0 = none
	Method    string     `json:"method,omitempty"` // e.g. "full", "delta", "key-delta+get"
}

// Actor names who acts: in embedded mode the operating-system user, e.g.
// "os:alice". Opaque in the ledger.
type Actor string

// Purpose says what stored content is wanted for. The shipped policy decides
// by it (mission §1).
type Purpose string

// The purposes. Operate to ServiceMessages come from the shipped matrix;
// the rest are the customer's own instructions.
const (
	PurposeOperate         Purpose = "operate"
	PurposeSecurity        Purpose = "security"
	PurposeServiceMessages Purpose = "service-communications"
	PurposeImprove         Purpose = "improve"
	PurposeAdvertise       Purpose = "advertise"
	PurposeLawEnforcement  Purpose = "voluntary-disclosure"
	PurposeDirectMarketing Purpose = "direct-marketing"
	PurposeRestore         Purpose = "restore"
	PurposeTroubleshoot    Purpose = "troubleshoot"
	PurposeAnswerRequest   Purpose = "answer-request"
	PurposeLitigation      Purpose = "litigation"
)

// DataClass is the class of data the shipped policy tells apart (mission 0.5).
type DataClass string

// The classes of data.
const (
	ClassCustomerData DataClass = "customer-data" // customer data other than content
	ClassContent      DataClass = "content"       // mail bodies, attachments, files, chat; and every unclassified column
)
