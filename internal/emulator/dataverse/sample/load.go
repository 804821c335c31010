package sample

import (
	"math/rand/v2"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/fill"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/sampleorg"
)

// Options say how big the company is.
type Options struct {
	Seed  uint64
	Scale int // 1 = about 300 accounts, 900 contacts and 600 cases

	// Now is the moment the company's history leads up to, UTC; default
	// 2026-01-15T12:00:00Z, so that equal seeds give equal rows.
	Now time.Time
}

// Cast names the rows that stories are told about.
type Cast struct {
	// Subject is a contact whose traces run through two dozen tables.
	Subject     allod.GUID
	SubjectName string
	// Account has contacts, cases, notes and activities, and nothing that
	// restricts its deletion.
	Account     allod.GUID
	AccountName string
	// Leaver is the user who owns Account and is about to leave; Left is one
	// who has gone and is disabled; Importer runs imports.
	Leaver, Left, Importer allod.GUID
}

// Load writes the company's rows into s, whose tables have the columns of m,
// made by Model, in its order. An organisation, root business unit and currency
// that are there already are taken over. Tables the company has no story for
// get a few made rows. Errors are those of the store.
func Load(m *entity.Model, s *store.Store, o Options) (Cast, error) {
	if o.Scale <= 0 {
		o.Scale = 1
	}
	if o.Now.IsZero() {
		o.Now = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	}
	org := sampleorg.New(o.Seed)
	l := &loader{m: m, s: s, o: o, org: org, rng: org.Rand("company", -1), made: map[string][]allod.GUID{}, names: map[allod.GUID]string{}}
	for _, step := range []func(){
		l.organisation, l.people, l.goods, l.customers, l.cast, l.sales, l.service, l.talk, l.field, l.marketing, l.cards, l.pairs, l.components, l.besides,
	} {
		step()
		if l.err != nil {
			return Cast{}, l.err
		}
	}
	rows := map[string]int{"audit": 0, "bulkdeleteoperation": 0, "bulkdeletefailure": 0, "sdkmessage": 0, "sdkmessagefilter": 0, "retentionconfig": 0, "retentionoperation": 0, "retentionoperationdetail": 0, "retentionfailuredetail": 0} // nothing has happened yet
	for table := range l.made {
		rows[table] = 0 // nothing beside the story
	}
	if err := fill.Fill(m, s, fill.Options{Seed: o.Seed, Scale: 1, Rows: rows, Now: o.Now}); err != nil {
		return Cast{}, err
	}
	l.privileges()
	if l.employees(); l.err != nil {
		return Cast{}, l.err
	}
	return l.who, audited(s)
}

// audited makes the company one that keeps an audit log, from now on, whose fiscal
// years begin in July and whose managers see what their people see.
func audited(s *store.Store) error {
	return s.Update(func(tx *store.Tx) error {
		for _, r := range tx.Page("organization", nil, 1) {
			cells := tx.Cells(r)
			for column, v := range map[string]allod.Value{
				"isauditenabled": allod.BooleanValue(true), "fiscalcalendarstart": allod.TextValue(allod.DateTime, "2025-07-01T00:00:00Z"), "fiscalperiodtype": allod.IntegerValue(2002),
				"ishierarchicalsecuritymodelenabled": allod.BooleanValue(true), "maxdepthforhierarchicalsecuritymodel": allod.IntegerValue(3),
			} {
				cells = append(cells, store.Cell{Column: tx.Column("organization", column), Value: v})
			}
			tx.Rewrite("organization", r.Key, cells)
		}
		return nil
	})
}

type loader struct {
	m     *entity.Model
	s     *store.Store
	o     Options
	org   *sampleorg.Org
	rng   *rand.Rand
	made  map[string][]allod.GUID // keys by table, in order
	names map[allod.GUID]string   // primary names of customers and users
	staff []allod.GUID            // users who work there
	who   Cast
	err   error // the first; later steps do nothing

	unit, currency allod.GUID
}

// n scales a number of rows.
func (l *loader) n(rows int) int { return rows * l.o.Scale }

// some returns one of the rows made for a table.
func (l *loader) some(table string) ref {
	keys := l.made[table]
	if len(keys) == 0 {
		return ref{}
	}
	return ref{table, keys[l.rng.IntN(len(keys))]}
}

func (l *loader) at(table string, i int) ref {
	keys := l.made[table]
	if len(keys) == 0 {
		return ref{}
	}
	return ref{table, keys[i%len(keys)]}
}

// moment is some time in the last days before now.
func (l *loader) moment(days int) time.Time {
	return l.o.Now.Add(-time.Duration(l.rng.IntN(days*24*3600)) * time.Second).Truncate(time.Second)
}
