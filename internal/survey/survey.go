// Package survey says what an administrator should know of an environment
// before relying on a backup of it: rights that are missing, tables that cannot
// be followed, logic that a restore would set off, clocks that run out, and
// what lies outside. Look gathers facts; Findings decides, and is pure.
package survey

import (
	"context"
	"time"

	"allod"
	"allod/internal/source"
)

// Severity of a finding.
type Severity string

// Severities, the gravest first.
const (
	Problem Severity = "problem" // a backup lacks something, or soon will
	Warning Severity = "warning" // works, but not as it should, or a restore would surprise
	Note    Severity = "note"    // good to know
)

// Topic says what a finding is about; scripts may rely on it.
type Topic string

// Topics of findings, in the order in which they are told.
const (
	RightsMissing  Topic = "rights-missing"
	ReadDepth      Topic = "read-depth"
	ColumnSecured  Topic = "column-secured"
	RightsUnknown  Topic = "rights-unknown"
	Administrator  Topic = "administrator"
	TokenAge       Topic = "token-age"
	TrackingOff    Topic = "tracking-off"
	TrackingNever  Topic = "tracking-never"
	Excluded       Topic = "excluded"
	Classes        Topic = "classes"
	Fires          Topic = "fires"
	FiresUnknown   Topic = "fires-unknown"
	NativeLastDay  Topic = "native-last-day"
	OutsideBackups Topic = "outside"
)

// Item is one table or column a finding is about.
type Item struct {
	Name   string `json:"name"`             // TABLE or TABLE.COLUMN
	Detail string `json:"detail,omitempty"` // e.g. the privilege to grant
}

// Finding is one thing to know.
type Finding struct {
	Severity Severity `json:"severity"`
	Topic    Topic    `json:"topic"`
	What     string   `json:"what"`           // one sentence
	Why      string   `json:"why"`            // why it matters
	Next     string   `json:"next,omitempty"` // what to do; "" = nothing
	Items    []Item   `json:"items,omitempty"`
}

// Facts are what Findings decides on.
type Facts struct {
	Environment string
	Now         time.Time // UTC
	Schema      *allod.Schema
	Rights      *source.Rights       // nil = the source cannot say
	Around      *source.Surroundings // nil = the source cannot say
	Excluded    []string             // TABLE or TABLE.COLUMN, by configuration
	OldestToken time.Time            // of change tracking, UTC; zero = none
	TokenLife   time.Duration        // 0 = tokens do not expire
	LastGood    time.Time            // end of the last complete capture, UTC; zero = never
}

// Look asks the source for what Facts need of it: Schema, Rights, Around and
// TokenLife. What the caller knows of the vault is in known already.
func Look(ctx context.Context, src source.Source, known Facts) (*Facts, error) {
	f := known
	f.TokenLife = src.Capabilities().DeltaLife
	var err error
	if f.Schema, err = src.Describe(ctx); err != nil {
		return nil, err
	}
	if r, ok := src.(source.RightsReader); ok {
		if f.Rights, err = r.Rights(ctx, f.Schema); err != nil {
			return nil, err
		}
	}
	if i, ok := src.(source.Inspector); ok {
		if f.Around, err = i.Inspect(ctx, f.Schema); err != nil {
			return nil, err
		}
	}
	return &f, nil
}

// Gaps are what a backup would lack for want of rights.
func Gaps(f *Facts) []allod.Gap {
	var gaps []allod.Gap
	if f.Rights == nil {
		return nil
	}
	for i := range f.Schema.Tables {
		t := &f.Schema.Tables[i]
		if t.Unreadable != "" {
			continue
		}
		switch d := f.Rights.Depth[t.Name]; {
		case d == source.DepthNone:
			gaps = append(gaps, allod.Gap{Table: t.Name, Kind: allod.GapTableUnreadable, Reason: "the application user may not read this table"})
		case d != source.DepthGlobal:
			gaps = append(gaps, allod.Gap{Table: t.Name, Kind: allod.GapReadDepth, Reason: "the application user sees only part of the rows"})
		}
		for _, c := range f.Rights.Hidden[t.Name] {
			gaps = append(gaps, allod.Gap{Table: t.Name, Column: c, Kind: allod.GapColumnSecured, Reason: "column security hides its values"})
		}
	}
	return gaps
}
