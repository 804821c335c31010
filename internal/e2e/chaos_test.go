package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"allod"
	"allod/internal/act"
	"allod/internal/capture"
	emu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/fill"
	"allod/internal/emulator/dataverse/sample"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/source"
	"allod/internal/source/dataverse"
)

// TestChaos captures an environment while its rows change and everything that
// can go wrong goes wrong: refusals, cut and damaged answers, pages twice and
// out of order, expired tokens, another schema, another role, a clock that
// jumps, a native restore. When the storm is over, one quiet backup must leave
// a snapshot that equals the source row by row, older snapshots as they were, a
// vault that verifies clean, and no deletion that did not happen.
//
// ALLOD_SEED repeats the draws of one seed (answers that cross each other may
// still come in another order), ALLOD_CHAOS=SEEDSxROWS chooses how many of what
// size, ALLOD_CHAOS_RESULT names a file for the result.
func TestChaos(t *testing.T) {
	seeds, rows := 1, 800
	if os.Getenv("ALLOD_INTEGRATION") != "" {
		seeds, rows = 20, 10_000
	}
	storms(t, seeds, rows, false)
}

// TestChaosOfSecurity is a storm in which the security of columns and the rights
// of the reader change all the time.
func TestChaosOfSecurity(t *testing.T) {
	integration(t)
	storms(t, 4, 400, true)
}

// storms tries seeds storms, unless ALLOD_CHAOS and ALLOD_SEED say otherwise.
func storms(t *testing.T, seeds, rows int, security bool) {
	t.Helper()
	if s := os.Getenv("ALLOD_CHAOS"); s != "" {
		if _, err := fmt.Sscanf(s, "%dx%d", &seeds, &rows); err != nil {
			t.Fatalf("ALLOD_CHAOS=%s: want SEEDSxROWS, e.g. 50x100000", s)
		}
	}
	list := make([]uint64, seeds)
	for i := range list {
		list[i] = uint64(i + 1)
	}
	if s := os.Getenv("ALLOD_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		list = []uint64{n}
	}
	report := &stormReport{began: time.Now(), rows: rows, did: map[string]int{}}
	// Not by t.Parallel: a parent keeps its parallel subtests, and they what
	// their clean-ups named, until the last one has ended.
	next := make(chan uint64, len(list))
	for _, seed := range list {
		next <- seed
	}
	close(next)
	t.Run("storms", func(t *testing.T) {
		var work sync.WaitGroup
		for range runtime.GOMAXPROCS(0) {
			work.Go(func() {
				for seed := range next {
					t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
						s := newStorm(t, seed, rows)
						if security {
							s.security = []int{3, 10, 30}[seed%3]
							s.administrator(false)
						}
						s.rage()
						report.add(s)
					})
				}
			})
		}
		work.Wait()
	})
	t.Log(report.String())
	if path := os.Getenv("ALLOD_CHAOS_RESULT"); path != "" {
		if err := os.WriteFile(path, []byte(report.markdown(len(list), t.Failed())), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// storm is one run of the machine. mu guards what changes the source; the
// handler takes it, so that a change happens between two answers.
type storm struct {
	t     *testing.T
	seed  uint64
	rows  int
	began time.Time
	rnd   *rand.Rand // under mu once the server answers
	clock *clock
	skew  atomic.Int64 // nanoseconds that Allod's clock is ahead of the service's
	co    *company
	inner http.Handler
	desk  *desk

	mu       sync.Mutex
	on       bool
	token    string // of the users who change rows
	keys     map[string][]string
	dead     map[string][]string // ids of deleted rows by table
	absent   map[string]bool     // what was truly gone at some moment
	dropped  map[string]bool     // tables that were dropped in this round
	added    []string            // columns added to contact
	roles    map[string]bool     // tables with a depth of their own
	plain    bool                // Allod's user is no administrator now
	security int                 // columns are secured and opened at one request in so many; 0 = now and then
	secured  map[string]int      // table → the request before which its text column is opened again
	marks    int
	did      map[string]int
	requests int
	snaps    []snapFacts
	story    []string
}

// The tables of the storm and their share of the rows, in percent. The others
// are there because these refer to them.
var stormRows = map[string]int{"account": 10, "contact": 25, "incident": 10, "task": 34, "lead": 10, "annotation": 1, "alp_loyaltycard": 10}

var stormTables = []string{
	"organization", "businessunit", "transactioncurrency", "systemuser", "team", "role", "roletemplate", "systemuserroles", "privilege", "roleprivileges",
	"retentionconfig", "retentionoperation", "retentionoperationdetail", "fieldsecurityprofile", "fieldpermission", "principal", "activitypointer", "activityparty",
	"accountleads", "contactleads", "alp_store", "alp_contact_alp_store", "customeraddress",
}

// stormModel is the part of the sample company's schema that the storm uses.
func stormModel(t *testing.T) *entity.Model {
	t.Helper()
	m, err := sample.Model()
	if err != nil {
		t.Fatal(err)
	}
	keep := func(name string) bool { return stormRows[name] > 0 || slices.Contains(stormTables, name) }
	m.Tables = slices.DeleteFunc(m.Tables, func(t *entity.Table) bool { return !keep(t.LogicalName) })
	for _, t := range m.Tables {
		t.Columns = slices.DeleteFunc(t.Columns, func(c *entity.Column) bool {
			c.Targets = slices.DeleteFunc(c.Targets, func(n string) bool { return !keep(n) })
			return strings.HasPrefix(c.LogicalName, "address2_") || strings.HasPrefix(c.LogicalName, "address1_") && c.LogicalName != "address1_city" ||
				strings.Contains(c.LogicalName, "yomi") || strings.HasSuffix(c.LogicalName, "_base") ||
				// Files and images cost a request each; those of notes are enough.
				slices.ContainsFunc([]string{"entityimage", "alp_creditreport", "alp_contract", "alp_photo"}, func(s string) bool { return strings.HasPrefix(c.LogicalName, s) })
		})
	}
	m.Relationships = slices.DeleteFunc(m.Relationships, func(r *entity.Relationship) bool {
		if r.Intersect != "" {
			return !keep(r.Intersect) || !keep(r.Entity1) || !keep(r.Entity2)
		}
		return !keep(r.Referenced) || !keep(r.Referencing)
	})
	m.Seal()
	return m
}

func newStorm(t *testing.T, seed uint64, rows int) *storm {
	t.Helper()
	s := &storm{
		t: t, seed: seed, rows: rows, began: time.Now(), rnd: rand.New(rand.NewPCG(seed, 0xc4a05)), clock: &clock{},
		keys: map[string][]string{}, dead: map[string][]string{}, absent: map[string]bool{}, dropped: map[string]bool{}, roles: map[string]bool{}, secured: map[string]int{}, did: map[string]int{},
	}
	m := stormModel(t)
	share := []int{50, 20, 10, 5, 2}[s.rnd.IntN(5)] // of a page; tables have a hundredth to a third of the rows
	server, err := emu.New(emu.Options{Model: m, Seed: seed, Now: s.clock.Now, Auth: "strict", AppUsers: emu.DefaultAppUsers(2), PageSize: max(20, rows/share)})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"customeraddress": 0, "systemuserroles": 0}
	for table, share := range stormRows {
		want[table] = rows * share / 100
	}
	if err := fill.Fill(m, server.Store(), fill.Options{Seed: seed, Rows: want}); err != nil {
		t.Fatal(err)
	}
	s.inner = server.Handler()
	h := httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(h.Close)
	s.co = &company{t: t, server: server, url: h.URL, user: server.Users()[0]}
	deps := deskDeps(s.clock)
	deps.Now = s.now
	deps.OpenSource = func(_ context.Context, env string, c act.Connection) (source.Source, error) {
		return dataverse.New(dataverse.Options{
			Environment: env, URL: c.URL, Now: s.now, Sleep: s.clock.sleep, Credential: &secretCredential{s},
		})
	}
	s.desk = newDeskIn(t, s.clock, filepath.Join(t.TempDir(), "allod"), deps, act.InitOptions{Key: "file:keys/test.key"})
	s.desk.connect("storm", s.co.url)
	s.learn()
	return s
}

// now is the clock of the machine that Allod runs on.
func (s *storm) now() time.Time { return s.clock.Now().Add(time.Duration(s.skew.Load())) }

// secretCredential signs in with the first user's secret, each time anew.
type secretCredential struct{ s *storm }

// GetToken implements azcore.TokenCredential.
func (c *secretCredential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	token, life := c.s.signIn(c.s.co.server.Users()[0])
	return azcore.AccessToken{Token: token, ExpiresOn: c.s.now().Add(life)}, nil
}

func (s *storm) signIn(u emu.AppUser) (token string, life time.Duration) {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {u.ClientID}, "client_secret": {u.Secret}, "scope": {s.co.url + "/.default"}}
	r := httptest.NewRequest(http.MethodPost, "/tenant/oauth2/v2.0/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	s.inner.ServeHTTP(w, r)
	var out struct {
		Token string `json:"access_token"`
		Life  int    `json:"expires_in"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || out.Token == "" {
		panic(fmt.Sprintf("no token: %s", w.Body))
	}
	return out.Token, time.Duration(out.Life) * time.Second
}

// serve answers Allod, and lets something happen before.
func (s *storm) serve(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/api/") {
		s.before()
	}
	s.inner.ServeHTTP(w, r)
}

func (s *storm) before() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	if s.on {
		s.tick()
	}
}

// send carries out a request of somebody else, with pairs of header names and
// values, and gives its status.
func (s *storm) send(method, path string, body any, header ...string) (int, map[string]any) {
	text := ""
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			panic(err)
		}
		text = string(b)
	}
	if !strings.HasPrefix(path, "/") {
		path = "/api/data/v9.2/" + path
	}
	for range 10 { // Allod's waits push the clock on, perhaps beyond the life of a token
		r := httptest.NewRequest(method, "http://"+strings.TrimPrefix(s.co.url, "http://")+path, strings.NewReader(text))
		r.Header.Set("Authorization", "Bearer "+s.token)
		r.Header.Set("Content-Type", "application/json")
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		s.inner.ServeHTTP(w, r)
		if w.Code == http.StatusUnauthorized {
			s.token, _ = s.signIn(s.co.server.Users()[1])
			continue
		}
		out := map[string]any{}
		if b := w.Body.Bytes(); len(b) > 0 && b[0] == '{' {
			if err := json.Unmarshal(b, &out); err != nil {
				panic(err)
			}
		}
		if id := w.Header().Get("OData-EntityId"); id != "" {
			out["made"] = strings.TrimSuffix(id[strings.LastIndexByte(id, '(')+1:], ")")
		}
		return w.Code, out
	}
	s.t.Errorf("seed %d: %s %s: cannot sign in", s.seed, method, path)
	return http.StatusUnauthorized, nil
}

// action runs an action of the emulator; it must succeed.
func (s *storm) action(name string, body map[string]any) {
	if status, out := s.send(http.MethodPost, "/_emulator/actions/"+name, body); status >= 300 {
		s.t.Errorf("seed %d: %s %v: status %d: %v", s.seed, name, body, status, out)
	}
}

// present lists what the source holds now: table and key, or the two ends of a
// pair.
func (s *storm) present() map[string]bool {
	out := map[string]bool{}
	m := s.co.server.Model()
	s.co.server.Store().View(func(tx *store.Tx) {
		for _, t := range m.Tables {
			rel := m.OfIntersect(t.LogicalName)
			for _, r := range tx.Page(t.LogicalName, nil, 1<<30) {
				key := r.Key.String()
				if t.Intersect && len(rel) > 0 {
					key = pairName(tx.Value(t.LogicalName, r, rel[0].Attribute1).GUID(), tx.Value(t.LogicalName, r, rel[0].Attribute2).GUID())
				}
				out[t.LogicalName+" "+key] = true
			}
		}
	})
	return out
}

func pairName(a, b allod.GUID) string {
	if slices.Compare(a[:], b[:]) > 0 {
		a, b = b, a
	}
	return a.String() + " " + b.String()
}

// learn lists the keys that changes are made to.
func (s *storm) learn() {
	s.co.server.Store().View(func(tx *store.Tx) {
		for table := range stormRows {
			s.keys[table] = s.keys[table][:0]
			for _, r := range tx.Page(table, nil, 1<<30) {
				s.keys[table] = append(s.keys[table], r.Key.String())
			}
		}
	})
}

// rage is the whole story.
func (s *storm) rage() {
	for range 2 {
		s.round()
	}
	s.calm()
	s.check()
}

// round is one backup in the storm. It may fail, if it says why.
func (s *storm) round() {
	s.mu.Lock()
	s.mark()
	s.learn()
	for range s.rnd.IntN(1 + s.rows/200) {
		s.change()
	}
	for range s.rnd.IntN(3) {
		s.happen()
	}
	if s.rnd.IntN(3) == 0 {
		s.did["native restore"]++
		s.restore()
		for range s.rnd.IntN(1 + s.rows/100) { // life goes on, perhaps beyond the old row versions
			s.change()
		}
	}
	if err := s.co.server.SetFaults(s.someFaults()); err != nil {
		s.t.Fatal(err)
	}
	o := capture.Options{Checkpoint: int64(s.rows/15 + 1), CommitBytes: 1 << 20, Parallel: 1 + s.rnd.IntN(4), Full: s.rnd.IntN(4) == 0}
	s.on = true
	s.mu.Unlock()
	res, err := s.desk.Backup(s.t.Context(), "storm", o)
	s.mu.Lock()
	s.on = false
	s.tell("a backup ended: %v", err)
	if res != nil {
		for _, m := range res.PerTable {
			if stormRows[m.Table] > 0 {
				s.tell("%s: %s by %q, %d rows, %d deleted", m.Table, m.State, m.Method, m.Rows, m.Deleted)
			}
		}
		for _, g := range res.Gaps {
			s.tell("gap %s %s %s", g.Table, g.Kind, g.Reason)
		}
	}
	s.struck()
	s.mu.Unlock()
	switch kind := allod.KindOf(err); {
	case err == nil:
		s.did["backup that ended"]++
	case kind == allod.Partial && s.did["native restore"] > 0:
		s.did["backup that met a native restore"]++
	case kind == allod.Unavailable || kind == allod.Denied || kind == allod.NotFound || kind == allod.Invalid:
		s.did["backup that broke off"]++
		s.t.Logf("seed %d: a backup broke off: %v", s.seed, err)
	default:
		s.t.Errorf("seed %d: a backup in the storm: %v", s.seed, err)
	}
	s.take()
}

// calm ends the storm: rights and clocks are as they were at first.
func (s *storm) calm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.co.server.SetFaults(nil); err != nil {
		s.t.Fatal(err)
	}
	s.skew.Store(0)
	for _, table := range slices.Sorted(maps.Keys(s.roles)) {
		s.depth(table, emu.DepthGlobal)
	}
	s.administrator(true)
	for _, table := range slices.Sorted(maps.Keys(s.dropped)) {
		if !s.co.server.Store().Has(table) {
			s.action("create-table", map[string]any{"table": table})
		}
	}
	s.clock.advance(15 * time.Minute) // Allod's clock may have been ahead
}

func (s *storm) depth(table, depth string) {
	s.action("set-depth", map[string]any{"client_id": s.co.user.ClientID, "table": table, "depth": depth})
	s.plain = s.plain || depth != emu.DepthGlobal
	s.tell("depth of %s: %s", table, depth)
}

// stormReport adds storms up.
type stormReport struct {
	mu    sync.Mutex
	began time.Time
	rows  int
	seeds int
	bad   []uint64
	snaps int
	reqs  int
	did   map[string]int
	times []time.Duration
}

func (r *stormReport) add(s *storm) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seeds++
	r.snaps += len(s.snaps)
	r.reqs += s.requests
	r.times = append(r.times, time.Since(s.began))
	if s.t.Failed() {
		r.bad = append(r.bad, s.seed)
	}
	for what, n := range s.did {
		r.did[what] += n
	}
}

func (r *stormReport) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d seeds of %d rows in %.1f s, %d snapshots, %d requests; seeds that failed: %v", r.seeds, r.rows, time.Since(r.began).Seconds(), r.snaps, r.reqs, r.bad)
	for _, what := range slices.Sorted(maps.Keys(r.did)) {
		fmt.Fprintf(&b, "\n  %6d %s", r.did[what], what)
	}
	return b.String()
}

func (r *stormReport) markdown(asked int, failed bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Chaos\n\n`make chaos` wrote this page on %s: Go %s, %s/%s, %d processors.\n\n", time.Now().UTC().Format("2006-01-02"), strings.TrimPrefix(runtime.Version(), "go"), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0))
	fmt.Fprintf(&b, "Seeds 1 to %d of %d rows each were tried; the target is 50 seeds of 100,000 rows.\n\n", asked, r.rows)
	slices.Sort(r.times)
	var median time.Duration
	if len(r.times) > 0 {
		median = r.times[len(r.times)/2]
	}
	result := "passed"
	if failed {
		result = fmt.Sprintf("failed: seeds %v", r.bad)
	}
	fmt.Fprintf(&b, "| what | figure |\n|---|---|\n| result | %s |\n| seeds that ran to their end | %d |\n| took | %.0f s |\n| median of a seed | %.1f s |\n| snapshots compared | %d |\n| requests of Allod | %d |\n",
		result, r.seeds, time.Since(r.began).Seconds(), median.Seconds(), r.snaps, r.reqs)
	for _, what := range slices.Sorted(maps.Keys(r.did)) {
		fmt.Fprintf(&b, "| %s | %d |\n", what, r.did[what])
	}
	return b.String()
}
