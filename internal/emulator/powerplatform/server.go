// Package powerplatform is a local server for the part of the Power Platform
// API that makes, lists and restores the platform's own backups
// (protocols/dataverse.md §12). It knows environments by what they can do and
// nothing of what they hold.
package powerplatform

import (
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"allod"
	"allod/internal/emulator"
)

// Kinds of an environment, as restore rules tell them apart (§12.1).
const (
	Production = "Production"
	Sandbox    = "Sandbox"
	Default    = "Default" // takes no manual backups
)

// Environment is what the platform can do with one of its environments.
type Environment struct {
	ID       allod.GUID
	Name     string // display name
	Kind     string
	Dynamics bool   // has Dynamics 365 apps: backups of production are kept 28 days, else 7
	Region   string // backups are restored within a region
	Managed  bool   // backups of a managed environment are restored into managed ones
	Key      string // whose key encrypts it; "" = the platform's. Source and target have the same.
	Full     bool   // less than 1 GB of capacity is left: nothing is restored into it
	// Keep remembers the present under a name.
	Keep func(point string)
	// Take makes what source kept under the name this environment's present;
	// nil where nothing can be restored into.
	Take func(source allod.GUID, point string, keepAudit bool) error
	// Administer begins and ends administration mode; nil where there is none.
	Administer func(on bool)
}

// retention is how long a backup is kept (§12.1).
func (e *Environment) retention() time.Duration {
	if e.Kind == Production && e.Dynamics {
		return 28 * 24 * time.Hour
	}
	return 7 * 24 * time.Hour
}

// Options say what the server is.
type Options struct {
	Environments []Environment
	// Authority issues and checks tokens; required.
	Authority *emulator.Authority
	// Ready is how long a restore runs; default 2 s. The real one takes
	// minutes to hours.
	Ready time.Duration
	// PageSize is the number of backups in an answer; default 50.
	PageSize int
	Now      func() time.Time // default time.Now
}

// Server answers for all environments of one tenant. Its methods may be called
// concurrently. Nothing is durable.
type Server struct {
	o  Options
	mu sync.Mutex
	// backups by environment, oldest first.
	backups    map[allod.GUID][]backup
	operations map[string]*operation
}

type backup struct {
	ID      string    `json:"id"`
	Label   string    `json:"label"`
	Point   time.Time `json:"backupPointDateTime"`
	Expiry  time.Time `json:"backupExpiryDateTime"`
	Creator principal `json:"createdBy"`
}

type principal struct {
	DisplayName string `json:"displayName"`
	TenantID    string `json:"tenantId"`
	Type        string `json:"type"`
	UserID      string `json:"userId"`
}

type operation struct {
	done   time.Time
	failed string
}

// New makes a server without backups.
func New(o Options) (*Server, error) {
	if o.Authority == nil {
		return nil, allod.Errorf(allod.Invalid, "start emulator: no authority")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Ready <= 0 {
		o.Ready = 2 * time.Second
	}
	if o.PageSize <= 0 {
		o.PageSize = 50
	}
	return &Server{o: o, backups: map[allod.GUID][]backup{}, operations: map[string]*operation{}}, nil
}

const (
	root       = "/environmentmanagement/environments/"
	operations = "/environmentmanagement/operations/"
	maxBody    = 1 << 20
)

// Handler answers requests.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if s.o.Authority.Serve(w, r) {
		return
	}
	w.Header().Set("x-ms-correlation-id", newID())
	client, ok := s.o.Authority.Check(r)
	if !ok {
		refuse(w, http.StatusUnauthorized, "Unauthorized", "", "")
		return
	}
	if v := r.URL.Query().Get("api-version"); v != "2024-10-01" && v != "2022-03-01-preview" {
		refuse(w, http.StatusBadRequest, "InvalidApiVersion", "api-version", "The api-version is missing or unknown.")
		return
	}
	if id, ok := strings.CutPrefix(r.URL.Path, operations); ok {
		s.operation(w, r, id)
		return
	}
	rest, ok := strings.CutPrefix(r.URL.Path, root)
	id, rest, _ := strings.Cut(rest, "/")
	e := s.environment(id)
	if !ok || e == nil {
		refuse(w, http.StatusNotFound, "EnvironmentNotFound", "", "")
		return
	}
	what, name, _ := strings.Cut(rest, "/")
	switch {
	case what == "backups" && name == "" && r.Method == http.MethodGet:
		s.list(w, r, e)
	case what == "backups" && name == "" && r.Method == http.MethodPost:
		s.create(w, r, e, client)
	case what == "backups" && r.Method == http.MethodDelete:
		s.remove(w, e, name)
	case what == "restoreCandidates" && name == "" && r.Method == http.MethodGet:
		s.candidates(w, e)
	case what == "restore" && name == "" && r.Method == http.MethodPost:
		s.restore(w, r, e)
	case (what == "Disable" || what == "Enable") && name == "" && r.Method == http.MethodPost && e.Administer != nil:
		e.Administer(what == "Disable")
		s.accepted(w, r, &operation{done: s.o.Now()})
	default:
		refuse(w, http.StatusNotFound, "NotFound", "", "")
	}
}

func (s *Server) environment(text string) *Environment {
	id, err := allod.ParseGUID(text)
	if err != nil {
		return nil
	}
	i := slices.IndexFunc(s.o.Environments, func(e Environment) bool { return e.ID == id })
	if i < 0 {
		return nil
	}
	return &s.o.Environments[i]
}

// newID is a random version 4 GUID.
func newID() string {
	var g allod.GUID
	_, _ = rand.Read(g[:]) // never fails
	g[6], g[8] = g[6]&0x0f|0x40, g[8]&0x3f|0x80
	return g.String()
}

// alive forgets backups that expired and returns the others.
func (s *Server) alive(id allod.GUID) []backup {
	now := s.o.Now()
	s.backups[id] = slices.DeleteFunc(s.backups[id], func(b backup) bool { return !b.Expiry.After(now) })
	return s.backups[id]
}

func (s *Server) list(w http.ResponseWriter, r *http.Request, e *Environment) {
	s.mu.Lock()
	all := slices.Clone(s.alive(e.ID))
	s.mu.Unlock()
	from := 0
	if token := r.URL.Query().Get("continuationToken"); token != "" {
		n, err := strconv.Atoi(token)
		if err != nil || n < 0 || n > len(all) {
			refuse(w, http.StatusBadRequest, "InvalidContinuationToken", "continuationToken", "The token is not valid.")
			return
		}
		from = n
	}
	to := min(from+s.o.PageSize, len(all))
	out := map[string]any{"collection": append([]backup{}, all[from:to]...), "continuationToken": nil}
	if to < len(all) {
		out["continuationToken"] = strconv.Itoa(to)
	}
	write(w, http.StatusOK, out)
}

func (s *Server) create(w http.ResponseWriter, r *http.Request, e *Environment, client string) {
	var body struct{ Label string }
	if !read(w, r, &body) {
		return
	}
	switch {
	case strings.TrimSpace(body.Label) == "":
		refuse(w, http.StatusBadRequest, "InvalidRequest", "label", "A label is required.")
		return
	case e.Kind == Default:
		refuse(w, http.StatusBadRequest, "DefaultEnvironment", "", "")
		return
	}
	now := s.o.Now().UTC().Truncate(time.Second)
	b := backup{ID: newID(), Label: body.Label, Point: now, Expiry: now.Add(e.retention()), Creator: principal{DisplayName: client, Type: "Application", UserID: client}}
	e.Keep(b.ID)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.backups[e.ID] = append(s.backups[e.ID], b)
	write(w, http.StatusCreated, b)
}

func (s *Server) remove(w http.ResponseWriter, e *Environment, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.alive(e.ID)
	i := slices.IndexFunc(list, func(b backup) bool { return strings.EqualFold(b.ID, id) })
	if i < 0 {
		refuse(w, http.StatusNotFound, "BackupNotFound", "", "")
		return
	}
	s.backups[e.ID] = slices.Delete(list, i, i+1)
	w.WriteHeader(http.StatusNoContent)
}

// candidates lists where a backup of e may be restored to. The shape of the
// answer is not documented (§16); this one is assumed.
func (s *Server) candidates(w http.ResponseWriter, e *Environment) {
	list := []map[string]any{}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.o.Environments {
		t := &s.o.Environments[i]
		if _, reason := unfit(e, t, &restoreBody{}); t.Kind == Sandbox && t.Take != nil && reason == "" {
			list = append(list, map[string]any{"id": t.ID.String(), "displayName": t.Name, "type": t.Kind})
		}
	}
	write(w, http.StatusOK, map[string]any{"collection": list})
}

type restoreBody struct {
	SourceEnvironmentID  string `json:"sourceEnvironmentId"`
	RestorePointDateTime string `json:"restorePointDateTime"`
	RestoreOptions       struct {
		EnvironmentNameToOverride string `json:"environmentNameToOverride"`
		SecurityGroupIDToOverride string `json:"securityGroupIdToOverride"`
		SkipAuditData             *bool  `json:"skipAuditData"` // nil = true
	} `json:"restoreOptions"`
}

// restore makes the target what the source was. Continuous backups cannot be
// had here: the latest manual backup at or before the point is taken.
func (s *Server) restore(w http.ResponseWriter, r *http.Request, target *Environment) {
	var body restoreBody
	if !read(w, r, &body) {
		return
	}
	source := s.environment(body.SourceEnvironmentID)
	at, err := time.Parse(time.RFC3339, body.RestorePointDateTime)
	now := s.o.Now()
	switch {
	case source == nil:
		refuse(w, http.StatusBadRequest, "InvalidRequest", "sourceEnvironmentId", "There is no such environment.")
		return
	case err != nil || at.After(now) || !at.Add(source.retention()).After(now):
		refuse(w, http.StatusBadRequest, "InvalidRequest", "restorePointDateTime", "The point lies outside of the retention period.")
		return
	case target.Kind != Sandbox || target.Take == nil:
		refuse(w, http.StatusBadRequest, "InvalidRequest", "environmentId", "The target must be a sandbox or developer environment.")
		return
	}
	if field, text := unfit(source, target, &body); text != "" {
		refuse(w, http.StatusBadRequest, "InvalidRequest", field, text)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.operations {
		if o.done.After(now) {
			refuse(w, http.StatusConflict, "OperationInProgress", "", "")
			return
		}
	}
	point := ""
	for _, b := range s.alive(source.ID) {
		if !b.Point.After(at) {
			point = b.ID
		}
	}
	if point == "" {
		refuse(w, http.StatusBadRequest, "InvalidRequest", "restorePointDateTime", "There is no backup of that time.")
		return
	}
	if strings.EqualFold(r.URL.Query().Get("ValidateOnly"), "true") {
		write(w, http.StatusOK, map[string]any{})
		return
	}
	o, skip := &operation{done: now.Add(s.o.Ready)}, body.RestoreOptions.SkipAuditData
	if err := target.Take(source.ID, point, skip != nil && !*skip); err != nil {
		o.failed = "RestoreFailed"
	} else if name := body.RestoreOptions.EnvironmentNameToOverride; name != "" {
		target.Name = name
	}
	s.acceptedLocked(w, r, o)
}

// unfit says why a backup of the source cannot be brought into the target
// (§12.1), and which field of the request is to blame; text "" when it can.
func unfit(source, target *Environment, body *restoreBody) (field, text string) {
	group := body.RestoreOptions.SecurityGroupIDToOverride
	_, err := allod.ParseGUID(group)
	switch {
	case target.Region != source.Region:
		return "environmentId", "The target lies in another region."
	case source.Managed && !target.Managed:
		return "environmentId", "The target is not a managed environment."
	case target.Key != source.Key:
		return "environmentId", "The target is encrypted with another key."
	case target.Full:
		return "environmentId", "The target needs 1 GB of free capacity."
	case group != "" && err != nil:
		return "securityGroupIdToOverride", "The id of the group is not valid."
	}
	return "", ""
}

func (s *Server) accepted(w http.ResponseWriter, r *http.Request, o *operation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acceptedLocked(w, r, o)
}

// acceptedLocked answers that the operation has begun, and where it tells how it goes.
func (s *Server) acceptedLocked(w http.ResponseWriter, r *http.Request, o *operation) {
	id := newID()
	s.operations[id] = o
	w.Header().Set("Operation-Location", scheme(r)+r.Host+operations+id+"?api-version=2024-10-01")
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(http.StatusAccepted)
}

// operation tells how a restore is going. Its shape is observed, not documented
// (§12.2 [O]).
func (s *Server) operation(w http.ResponseWriter, r *http.Request, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.operations[id]
	switch {
	case o == nil || r.Method != http.MethodGet:
		refuse(w, http.StatusNotFound, "NotFound", "", "")
	case o.done.After(s.o.Now()):
		w.Header().Set("Retry-After", "1")
		write(w, http.StatusOK, map[string]any{"id": id, "state": map[string]string{"id": "Running"}})
	case o.failed != "":
		write(w, http.StatusOK, map[string]any{"id": id, "state": map[string]string{"id": "Failed"}, "errorDetail": map[string]string{"code": o.failed}})
	default:
		write(w, http.StatusOK, map[string]any{"id": id, "state": map[string]string{"id": "Succeeded"}})
	}
}

func scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https://"
	}
	return "http://"
}

func read(w http.ResponseWriter, r *http.Request, v any) bool {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil || json.Unmarshal(b, v) != nil {
		refuse(w, http.StatusBadRequest, "InvalidRequest", "body", "The body is not valid.")
		return false
	}
	return true
}

func write(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b) // the client may be gone
}

// refuse answers with the documented error body (§12.2).
func refuse(w http.ResponseWriter, status int, code, field, text string) {
	detail := map[string]any{"code": code}
	if field != "" {
		detail["fieldErrors"] = map[string]any{field: map[string]any{"errorMessages": []string{text}}}
	}
	write(w, status, map[string]any{"errorDetail": detail})
}
