package dataverse

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"allod"
	"allod/internal/emulator"
	"allod/internal/emulator/dataverse/attachment"
	"allod/internal/emulator/dataverse/change"
	"allod/internal/emulator/dataverse/describe"
	"allod/internal/emulator/dataverse/discovery"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/formula"
	"allod/internal/emulator/dataverse/protect"
	"allod/internal/emulator/dataverse/request"
	"allod/internal/emulator/dataverse/sdk"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
)

// Options say what the server is. Only Model is required; it must be sealed.
type Options struct {
	Model            *entity.Model
	Seed             uint64
	OrganizationName string        // default "Allod Emulator"
	Auth             string        // "loose" (default) or "strict"
	Limits           string        // "off" (default) or "real": answer 429 beyond the documented limits
	Cost             *protect.Cost // how long requests take; nil = as long as they take
	Latency          time.Duration // added to every answer
	Faults           []emulator.Fault
	Assume           map[string]string // see Assumptions
	AppUsers         []AppUser         // default: one administrator, DefaultAppUsers(1)
	Servers          int               // web servers behind the address, each with limits of its own; default 1
	DOPHint          int               // x-ms-dop-hint; default 48
	PageSize         int               // largest page; default 5000
	Now              func() time.Time  // default time.Now
	JobTime          time.Duration     // how long jobs take on the emulated clock (BulkDelete, exports, imports); 0 = none
	TimeScale        float64           // how much faster than the clock tokens age and the windows of the limits pass; default 1
}

// Server is one organisation behind one address. Its methods may be called
// concurrently.
type Server struct {
	opts         Options
	org          *request.Org
	uploads      *change.Uploads
	authority    *emulator.Authority
	faults       *emulator.Faults
	limiter      *protect.Limiter
	began        time.Time
	jobs         jobs
	administered atomic.Bool   // only administrators are let in
	next         atomic.Uint64 // server that answers a client without affinity
	schema       atomic.Pointer[wire.Schema]

	mu           sync.Mutex
	random       *rand.PCG
	rng          *rand.Rand // over random
	users        []AppUser
	accessed     map[allod.GUID]time.Time // when an access of a user was last written down
	organization allod.GUID
	epochs       map[string]epoch  // what else there was at each mark
	swap         sync.Mutex        // serialises schema changes
	history      *describe.History // of the schema
}

// New builds a server with empty tables for every table of the model, the
// organisation row, the root business unit and the application users.
func New(o Options) (*Server, error) {
	if o.Model == nil {
		return nil, allod.Errorf(allod.Invalid, "start emulator: no model")
	}
	assume, err := checkAssume(o.Assume)
	if err != nil {
		return nil, err
	}
	if err := checkWords(&o); err != nil {
		return nil, err
	}
	defaults(&o)
	s := &Server{
		opts: o, faults: &emulator.Faults{}, limiter: protect.New(o.Limits == "real"),
		random: rand.NewPCG(o.Seed, 0xda7a), began: o.Now(),
		epochs: map[string]epoch{}, accessed: map[allod.GUID]time.Time{}, history: describe.NewHistory(o.Now()),
	}
	s.rng = rand.New(s.random)
	s.org = &request.Org{
		Store: store.New(1_000_000), Counters: &emulator.Counters{}, Cost: o.Cost, PageSize: o.PageSize, Assume: assume, Now: s.now, NewID: s.newID,
		JobTime: o.JobTime, Later: s.jobs.later,
	}
	s.uploads = change.NewUploads(s.newID)
	if err := s.faults.Set(o.Faults); err != nil {
		return nil, err
	}
	s.limiter.Now = s.now
	s.org.Store.Now = s.now
	s.schema.Store(s.newSchema(o.Model))
	for _, t := range o.Model.Tables {
		if !t.Abstract {
			s.org.Store.AddTable(t.LogicalName, columnNames(t))
		}
	}
	s.users = append([]AppUser(nil), o.AppUsers...)
	clients := make([]emulator.Client, len(s.users))
	for i := range s.users {
		clients[i] = emulator.Client{
			ID: s.users[i].ClientID, Secret: s.users[i].Secret, Tenant: s.users[i].Tenant,
			Certificates: s.users[i].Certificates, Workloads: s.users[i].Workloads,
		}
	}
	s.authority = emulator.NewAuthority(o.Auth == "strict", clients)
	s.authority.Now, s.authority.TimeScale = s.now, o.TimeScale
	return s, s.found()
}

// checkWords refuses words an option does not know: a misspelt one would
// quietly switch off what it asks for.
func checkWords(o *Options) error {
	switch o.Limits {
	case "", "off", "real":
	default:
		return allod.Errorf(allod.Invalid, "start emulator: limits %q: want real or off", o.Limits)
	}
	switch o.Auth {
	case "", "loose", "strict":
		return nil
	}
	return allod.Errorf(allod.Invalid, "start emulator: auth %q: want loose or strict", o.Auth)
}

func defaults(o *Options) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.TimeScale <= 0 {
		o.TimeScale = 1
	}
	if o.OrganizationName == "" {
		o.OrganizationName = "Allod Emulator"
	}
	if len(o.AppUsers) == 0 {
		o.AppUsers = DefaultAppUsers(1)
	}
	o.Servers = max(o.Servers, 1)
	if o.DOPHint == 0 {
		o.DOPHint = 48
	}
	if o.PageSize <= 0 || o.PageSize > 5000 {
		o.PageSize = 5000
	}
}

func columnNames(t *entity.Table) []string {
	out := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		out[i] = c.LogicalName
	}
	return out
}

// now is the emulated time: it runs TimeScale times as fast as the clock from
// the moment the server began.
func (s *Server) now() time.Time {
	at := s.opts.Now()
	if s.opts.TimeScale == 1 {
		return at
	}
	return s.began.Add(time.Duration(float64(at.Sub(s.began)) * s.opts.TimeScale))
}

// newSchema indexes a model for serving.
func (s *Server) newSchema(m *entity.Model) *wire.Schema {
	return wire.NewSchema(m, formula.Env{Now: s.now, NullIsZero: s.org.Assume["calculated-null"] == "zero"})
}

// newID makes the next GUID of the seed's sequence.
func (s *Server) newID() allod.GUID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.idLocked()
}

func (s *Server) idLocked() allod.GUID {
	var g allod.GUID
	hi, lo := s.rng.Uint64(), s.rng.Uint64()
	for i := range 8 {
		g[i], g[8+i] = byte(hi>>(8*i)), byte(lo>>(8*i))
	}
	g[6], g[8] = g[6]&0x0f|0x40, g[8]&0x3f|0x80
	return g
}

// found writes the rows every organisation has.
func (s *Server) found() error {
	s.organization, s.org.Unit, s.org.Currency = s.newID(), s.newID(), s.newID()
	return s.org.Store.Update(func(tx *store.Tx) error {
		stamp := allod.TextValue(allod.DateTime, wire.Stamp(s.now()))
		put := func(table string, id allod.GUID, values map[string]allod.Value) {
			if !tx.Has(table) {
				return
			}
			values["createdon"], values["modifiedon"] = stamp, stamp
			var cells []store.Cell
			for c, v := range values {
				if i := tx.Column(table, c); i >= 0 {
					cells = append(cells, store.Cell{Column: i, Value: v})
				}
			}
			tx.Put(table, id, cells)
		}
		name := allod.StringValue(s.opts.OrganizationName)
		unit := allod.LookupValue("businessunit", s.org.Unit)
		put("organization", s.organization, map[string]allod.Value{
			"name": name, "languagecode": allod.IntegerValue(1033), "maxuploadfilesize": allod.IntegerValue(5242880),
			"expirechangetrackingindays": allod.IntegerValue(7), "expiresubscriptionsindays": allod.IntegerValue(90),
			"basecurrencyid": allod.LookupValue("transactioncurrency", s.org.Currency), "isauditenabled": allod.BooleanValue(false),
			"blockedattachments": allod.StringValue(attachment.Blocked), "isuseraccessauditenabled": allod.BooleanValue(false), "useraccessauditinginterval": allod.IntegerValue(4),
			"fiscalcalendarstart": allod.TextValue(allod.DateTime, s.now().UTC().Format("2006")+"-01-01T00:00:00Z"), "fiscalperiodtype": allod.IntegerValue(2002),
			"ishierarchicalsecuritymodelenabled": allod.BooleanValue(false), "maxdepthforhierarchicalsecuritymodel": allod.IntegerValue(3),
		})
		put("businessunit", s.org.Unit, map[string]allod.Value{"name": name, "isdisabled": allod.BooleanValue(false)})
		put("transactioncurrency", s.org.Currency, map[string]allod.Value{
			"currencyname": allod.StringValue("US Dollar"), "isocurrencycode": allod.StringValue("USD"), "currencysymbol": allod.StringValue("$"),
			"currencyprecision": allod.IntegerValue(2), "exchangerate": allod.TextValue(allod.Decimal, "1.000000000000"),
			"statecode": allod.IntegerValue(0), "statuscode": allod.IntegerValue(1),
		})
		for i := range s.users {
			u := &s.users[i]
			if u.User.IsZero() {
				u.User = s.newID()
			}
			app, _ := allod.ParseGUID(u.ClientID) // not every client id is a GUID; then there is none to show
			put("systemuser", u.User, map[string]allod.Value{
				"fullname": allod.StringValue(u.Name), "firstname": allod.StringValue("#"), "lastname": allod.StringValue(u.Name),
				"applicationid": allod.IDValue(app), "businessunitid": unit, "isdisabled": allod.BooleanValue(false),
				"azureactivedirectoryobjectid": allod.IDValue(app), "accessmode": allod.IntegerValue(4),
			})
			if u.Administrator {
				if err := s.putAdministrator(tx, u.User, true); err != nil {
					return err
				}
			}
		}
		sdk.Add(tx, wire.Stamp(s.now()), s.opts.Model.Tables...) // last: their number is that of the tables
		return nil
	})
}

// Store returns the rows, for loading them in bulk.
func (s *Server) Store() *store.Store { return s.org.Store }

// Model returns the model in force; it is not to be changed.
func (s *Server) Model() *entity.Model { return s.schema.Load().Model }

// Organization returns the organisation id WhoAmI shows.
func (s *Server) Organization() allod.GUID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.organization
}

// RootUnit returns the root business unit.
func (s *Server) RootUnit() allod.GUID { return s.org.Unit }

// Currency returns the base currency.
func (s *Server) Currency() allod.GUID { return s.org.Currency }

// Users returns the application users with their systemuser ids.
func (s *Server) Users() []AppUser {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]AppUser(nil), s.users...)
}

// Counters returns what was counted so far by name: requests, requests:<route>,
// rows, rows:<table>, throttled, status:<code>, bytes.
func (s *Server) Counters() map[string]int64 { return s.org.Counters.Snapshot() }

// SetFaults replaces the injected faults.
func (s *Server) SetFaults(list []emulator.Fault) error { return s.faults.Set(list) }

// Handler answers the API, the token endpoint and /_emulator/.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// serve routes a request by its path.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasPrefix(r.URL.Path, "/_emulator"):
		s.admin(w, r)
	case s.authority.Serve(w, r):
		s.org.Counters.Add("tokens", 1)
	case strings.HasPrefix(r.URL.Path, discovery.Path):
		s.discover(w, r)
	default:
		version, rest, ok := splitRoot(r.URL.EscapedPath())
		if !ok {
			http.NotFound(w, r)
			return
		}
		first, _, _ := strings.Cut(rest, "/")
		first, _, _ = strings.Cut(first, "(")
		s.faults.Serve(w, r, first, func(w http.ResponseWriter, r *http.Request) { s.api(w, r, version, rest) })
	}
}

// splitRoot takes /api/data/v9.2/rest apart.
func splitRoot(path string) (version, rest string, ok bool) {
	after, ok := strings.CutPrefix(path, "/api/data/v")
	if !ok {
		return "", "", false
	}
	version, rest, _ = strings.Cut(after, "/")
	switch version {
	case "9.0", "9.1", "9.2":
		return version, rest, true
	}
	return "", "", false
}
