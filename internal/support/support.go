// Package support gathers what somebody who helps needs to know of an Allod,
// into one zip file: versions, the shape of the configuration, how runs ended,
// counts. It holds no content, no names of tables, columns, people or
// addresses, no paths and no secrets: only names of environments, times, numbers
// and words that this program itself chose.
package support

import (
	"archive/zip"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/job"
	"allod/internal/runlog"
)

// Options of Write. All fields are required.
type Options struct {
	Dir     string // of the Allod
	Open    func(ctx context.Context) (*act.Office, error)
	Now     func() time.Time
	Local   *time.Location
	Version string
	Getenv  func(string) string
	Free    func(path string) (uint64, error) // see job.FreeSpace
}

// Bounds of what is told of the past.
const (
	maxRuns = 1000
	maxPast = 100 * 24 * time.Hour
)

// Write writes the bundle. What could not be found out stands in it as the kind
// of the error: a bundle is most wanted when something does not work. The error
// is for a bundle that could not be written.
func Write(ctx context.Context, w io.Writer, o Options) error {
	z := zip.NewWriter(w)
	b := &bundle{ctx: ctx, o: o, zip: z, failed: map[string]string{}}
	b.part("about.json", b.about)
	config, err := act.ReadConfig(o.Dir)
	b.part("config.json", func() (any, error) {
		if err != nil {
			return nil, err
		}
		return configOf(config, o), nil
	})
	office, err := o.Open(ctx)
	if err != nil {
		b.failed["vault"] = allod.KindOf(err).String()
	} else {
		b.inside(office)
		if err := office.Close(); err != nil {
			b.failed["close"] = allod.KindOf(err).String()
		}
	}
	b.part("failed.json", func() (any, error) { return b.failed, nil })
	if b.err != nil {
		return fmt.Errorf("write the bundle: %w", b.err)
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	return nil
}

type bundle struct {
	ctx    context.Context
	o      Options
	zip    *zip.Writer
	failed map[string]string // part → kind of the error
	err    error             // of writing
}

// part adds a file of the bundle.
func (b *bundle) part(name string, make func() (any, error)) {
	v, err := make()
	if err != nil {
		b.failed[name] = allod.KindOf(err).String()
		return
	}
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		b.failed[name] = allod.KindOf(err).String()
		return
	}
	f, err := b.zip.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: b.o.Now().UTC()})
	if err == nil {
		_, err = f.Write(append(text, '\n'))
	}
	b.err = cmp.Or(b.err, err)
}

// about describes the program and the machine.
func (b *bundle) about() (any, error) {
	modules := []string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			modules = append(modules, m.Path+" "+m.Version)
		}
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	zone, offset := b.o.Now().In(b.o.Local).Zone()
	set := []string{}
	for _, name := range []string{"ALLOD_DIR", "ALLOD_PASSPHRASE", "ALLOD_HOLDER_PASSPHRASE", "ALLOD_CLIENT_SECRET", "ALLOD_CERTIFICATE_PASSWORD", "ALLOD_KEY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"} {
		if b.o.Getenv(name) != "" {
			set = append(set, name)
		}
	}
	return map[string]any{
		"version": b.o.Version, "vault_format": 1, "made": b.o.Now().UTC(),
		"go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH, "cpus": runtime.NumCPU(), "goroutines": runtime.NumGoroutine(),
		"memory_bytes": mem.Sys, "heap_bytes": mem.HeapAlloc, "zone": zone, "zone_seconds": offset, "environment_set": set, "modules": modules,
	}, nil
}

// connection is what may be told of a connection.
type connection struct {
	Kind          string `json:"kind"`
	Auth          string `json:"auth"`
	Cloud         string `json:"cloud"` // the last part of its address that many share, e.g. crm4.dynamics.com
	Authority     bool   `json:"authority"`
	CAFile        bool   `json:"ca_file"`
	Proxy         bool   `json:"proxy"`
	Exclude       int    `json:"exclude"`
	Schedule      string `json:"schedule,omitempty"`
	SecretExpires string `json:"secret_expires,omitempty"`
}

// configOf is the shape of a configuration: words that this program gives
// meaning to, numbers, and whether something is set.
func configOf(c *act.Config, o Options) any {
	environments := map[string]connection{}
	for _, name := range slices.Sorted(maps.Keys(c.Environments)) {
		e := c.Environments[name]
		if act.CheckName(name) != nil {
			name = fmt.Sprintf("(not a name) %d", len(environments))
		}
		environments[name] = connection{
			Kind: known(e.Kind, "dataverse"), Auth: known(e.Auth, "loopback", "secret", "certificate", "managed-identity", "workload-identity"), Cloud: cloud(e.URL),
			Authority: e.Authority != "", CAFile: e.CAFile != "", Proxy: e.Proxy != "", Exclude: len(e.Exclude),
			Schedule: schedule(e.Schedule), SecretExpires: day(e.SecretExpires),
		}
	}
	key, _, _ := strings.Cut(c.Key, ":")
	m := map[string]any{
		"store_outside": filepath.IsAbs(strings.TrimPrefix(c.Store, "file://")), "slots": len(c.Slots), "key": known(key, "passphrase", "file"), "verify": schedule(c.Verify),
		"ping": c.Alarms.Ping != "", "webhook": c.Alarms.Webhook != "", "mail": c.Alarms.Mail != nil,
		"max_age": c.Alarms.MaxAge.String(), "disk_days": c.Alarms.DiskDays, "secret_days": c.Alarms.SecretDays, "environments": environments,
	}
	place := strings.TrimPrefix(c.Store, "file://")
	if !filepath.IsAbs(place) {
		place = filepath.Join(o.Dir, place)
	}
	if free, err := o.Free(place); err == nil {
		m["free_bytes"] = free
	}
	return m
}

// known is a word if it is one of those expected, else "other".
func known(word string, words ...string) string {
	for _, w := range append(words, "") {
		if w == word {
			return word
		}
	}
	return "other"
}

// cloud is the end of an address that many organisations share.
func cloud(address string) string {
	_, host, _ := strings.Cut(address, "://")
	host, _, _ = strings.Cut(host, "/")
	if h, _, ok := strings.Cut(host, ":"); ok {
		host = h
	}
	if host == "127.0.0.1" || host == "localhost" {
		return "this machine"
	}
	_, rest, _ := strings.Cut(host, ".")
	for _, end := range []string{"dynamics.com", "dynamics.cn", "microsoftdynamics.us", "appsplatform.us"} {
		if region, ok := strings.CutSuffix(rest, end); ok && (region == "" || len(region) <= len("crm99.") && strings.HasPrefix(region, "crm")) {
			return rest
		}
	}
	return "other"
}

// schedule is the text of a schedule if it is one.
func schedule(text string) string {
	if _, err := job.Parse(text, time.UTC); err != nil {
		return ""
	}
	return text
}

// day is a date if it is one.
func day(text string) string {
	if _, err := time.Parse(time.DateOnly, text); err != nil {
		return ""
	}
	return text
}

// inside adds what an open Allod tells.
func (b *bundle) inside(o *act.Office) {
	b.part("vault.json", func() (any, error) {
		v, err := o.VaultStatus(b.ctx)
		if err != nil {
			return nil, err
		}
		proved := 0
		for _, s := range v.Slots {
			if !s.Proved.IsZero() {
				proved++
			}
		}
		return map[string]any{
			"format": v.Format, "entries": v.Entries, "packs": v.Packs, "files": v.Files, "bytes": v.Bytes, "erasures_pending": v.ErasuresPending,
			"places": len(v.Places), "slots": len(v.Slots), "slots_proved": proved, "roots": len(v.Roots), "warnings": len(v.Warnings),
		}, nil
	})
	b.part("runs.json", func() (any, error) { return b.runs(o) })
	_, _, _, deps := o.Inside()
	desk := &job.Desk{Dir: b.o.Dir, Deps: deps, Local: b.o.Local, Getenv: b.o.Getenv, Free: b.o.Free}
	b.part("schedules.json", func() (any, error) { return desk.LookAt(b.ctx, o) })
	for _, env := range o.Environments() {
		if act.CheckName(env) != nil {
			continue
		}
		b.part("status-"+env+".json", func() (any, error) { return b.status(o, env) })
		b.part("schema-"+env+".json", func() (any, error) { return b.schema(o, env) })
	}
}

// runs are the newest runs, as the ledger tells of them.
func (b *bundle) runs(o *act.Office) (any, error) {
	out := []runlog.Run{}
	for r, err := range o.Runs(b.ctx, b.o.Now().Add(-maxPast)) {
		if err != nil {
			return nil, err
		}
		if out = append(out, r); len(out) == maxRuns {
			break
		}
	}
	return out, nil
}

// status is how an environment is: its gaps by kind, without what they concern.
func (b *bundle) status(o *act.Office, env string) (any, error) {
	list, err := o.Status(b.ctx, []string{env}, 0)
	if err != nil || len(list) != 1 {
		return nil, err
	}
	s := list[0]
	gaps := map[string]int{}
	for _, g := range s.GapList {
		gaps[string(g.Kind)]++
	}
	c, err := o.Captures(b.ctx, env)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"last_good": s.LastGood, "age_seconds": s.AgeSeconds, "rows": s.Rows, "gaps": gaps, "token_age_seconds": s.TokenAge, "incomplete": s.Incomplete,
		"broken_off": len(s.BrokenOff), "snapshots": len(c.Snapshots),
	}, nil
}

// schema counts tables by class and columns by type.
func (b *bundle) schema(o *act.Office, env string) (any, error) {
	schema, err := o.Schema(b.ctx, act.Moment{Environment: env})
	if err != nil {
		return nil, err
	}
	classes, types := map[string]int{}, map[string]int{}
	custom, unreadable := 0, 0
	for i := range schema.Tables {
		t := &schema.Tables[i]
		classes[string(t.Class)]++
		if t.Unreadable != "" {
			unreadable++
		}
		if strings.Contains(t.Name, "_") { // made by a publisher with a prefix, Microsoft's own solutions among them
			custom++
		}
		for j := range t.Columns {
			types[t.Columns[j].Type.String()]++
		}
	}
	return map[string]any{"tables": len(schema.Tables), "classes": classes, "with_prefix": custom, "unreadable": unreadable, "columns": types}, nil
}
