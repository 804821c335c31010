package main

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"allod"
	"allod/internal/cli"
	"allod/internal/demo"
	"allod/internal/emulator"
	"allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/entity/export"
	"allod/internal/emulator/dataverse/fill"
	"allod/internal/emulator/dataverse/protect"
	"allod/internal/emulator/dataverse/sample"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/powerplatform"
	"allod/internal/odata/csdl"
	"allod/internal/source/dataverse/metadata"
)

// emulate starts the local server that o describes; it ends with ctx.
func emulate(ctx context.Context, o cli.EmulateOptions) (*cli.Emulator, error) {
	if o.Kind != "dataverse" {
		return nil, allod.WithHint(allod.Errorf(allod.Invalid, "emulate %q: this version emulates dataverse only", o.Kind), "`allod emulate dataverse`")
	}
	data := &dataFolder{dir: o.Data}
	server, err := buildServer(o, data)
	if err == nil && o.Data != "" { // at once: a folder that cannot be written to shows now
		err = data.save()
	}
	if err != nil {
		return nil, fmt.Errorf("emulate dataverse: %w", err)
	}
	dir := "" // for the certificate authority
	if o.TLS {
		if dir, err = os.MkdirTemp("", "allod-emulator-"); err != nil {
			return nil, &allod.Error{Kind: allod.Unavailable, Err: fmt.Errorf("make a folder for the emulator: %w", err)}
		}
	}
	platform, err := servePlatform(ctx, o, server)
	if err != nil {
		return nil, fmt.Errorf("emulate the Power Platform: %w", err)
	}
	running, err := emulator.Listen(ctx, emulator.ListenOptions{Addr: o.Listen, TLS: o.TLS, Dir: dir}, server.Handler())
	if err != nil {
		return nil, fmt.Errorf("emulate dataverse: %w", err)
	}
	return &cli.Emulator{URL: running.URL, CAFile: running.CAFile, PowerPlatform: platform, Rows: rowCount(server), Wait: func() error {
		wait := running.Wait
		if o.Data != "" {
			wait = func() error { return data.keep(running.Wait) }
		}
		err := wait()
		if dir != "" {
			err = errors.Join(err, os.RemoveAll(dir))
		}
		return err
	}}, nil
}

// servePlatform serves the platform's own backups of the server's organisation,
// if that is wanted, until ctx ends.
func servePlatform(ctx context.Context, o cli.EmulateOptions, server *dataverse.Server) (url string, err error) {
	if o.PowerPlatform == "" {
		return "", nil
	}
	if o.TLS {
		return "", allod.Errorf(allod.Invalid, "serve it with --tls: only plain http on this machine is possible")
	}
	p, err := powerplatform.New(powerplatform.Options{
		Authority: server.Authority(),
		Environments: []powerplatform.Environment{{
			ID: server.EnvironmentID(), Name: server.Name(), Kind: powerplatform.Sandbox, Dynamics: true, Region: "europe",
			Keep: server.Keep, Administer: server.Administer,
			Take: func(_ allod.GUID, point string, keepAudit bool) error { return server.TakeBack(point, keepAudit) },
		}},
	})
	if err != nil {
		return "", err
	}
	running, err := emulator.Listen(ctx, emulator.ListenOptions{Addr: o.PowerPlatform}, p.Handler())
	if err != nil {
		return "", err
	}
	return running.URL, nil
}

func buildServer(o cli.EmulateOptions, data *dataFolder) (*dataverse.Server, error) {
	model, err := loadModel(o.Metadata)
	if err != nil {
		return nil, err
	}
	opts := dataverse.Options{
		Model: model, Seed: o.Seed, Auth: o.Auth, Limits: o.Limits, Latency: o.Latency, Servers: o.Servers, TimeScale: o.TimeScale, JobTime: o.JobTime,
		AppUsers: dataverse.DefaultAppUsers(max(o.AppUsers, 1)), Assume: map[string]string{},
	}
	for _, a := range o.Assume {
		key, value, ok := strings.Cut(a, "=")
		if !ok {
			return nil, allod.Errorf(allod.Invalid, "read --assume %q: want KEY=VALUE", a)
		}
		opts.Assume[key] = value
	}
	if opts.Cost, err = loadCost(o.Cost); err != nil {
		return nil, err
	}
	if o.Faults != "" {
		if err := readJSON(o.Faults, &opts.Faults); err != nil {
			return nil, err
		}
	}
	server, err := dataverse.New(opts)
	if err != nil {
		return nil, err
	}
	data.server = server
	if o.Data != "" {
		if loaded, err := data.load(); loaded || err != nil {
			return server, err
		}
	}
	own := keys(server.Store())
	if len(o.Metadata) > 0 {
		err = fill.Fill(model, server.Store(), fill.Options{Seed: o.Seed, Scale: o.Scale})
	} else {
		_, err = sample.Load(model, server.Store(), sample.Options{Seed: o.Seed, Scale: o.Scale})
	}
	if err != nil {
		return nil, err
	}
	if o.Empty {
		server.Store().Empty(func(table string) bool { return restored(model.Table(table)) }, own)
	}
	return server, nil
}

// keys lists the few rows that a server has of itself, such as its currency.
func keys(s *store.Store) map[allod.GUID]bool {
	out := map[allod.GUID]bool{}
	names := s.TableNames()
	s.View(func(tx *store.Tx) {
		for _, name := range names {
			for _, r := range tx.Page(name, nil, 1000) {
				out[r.Key] = true
			}
		}
	})
	return out
}

// restored reports whether a restore writes the rows of the table. This is the
// only place that knows both the emulator's tables and the connector's classes.
func restored(t *entity.Table) bool {
	if t == nil {
		return false
	}
	class, _ := metadata.Classify(&metadata.Entity{
		LogicalName: t.LogicalName, IsIntersect: t.Intersect,
		IsActivity: t.Activity && t.LogicalName != "activitypointer", IsCustomEntity: t.Custom,
	})
	return class == allod.ClassData || class == allod.ClassLink
}

// loadModel reads a real $metadata and the EntityMetadata exports that refine
// it; without files it is the sample company's.
func loadModel(files []string) (*entity.Model, error) {
	if len(files) == 0 {
		return sample.Model()
	}
	var model *entity.Model
	for i, name := range files {
		err := readFile(name, func(r io.Reader) error {
			if i > 0 {
				return export.Refine(model, r)
			}
			doc, err := csdl.ParseCSDL(r)
			if err != nil {
				return err
			}
			model, err = entity.FromCSDL(doc)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read metadata from %s: %w", name, err)
		}
	}
	return model, nil
}

// readFile opens a file, unpacking it if its name ends in .gz.
func readFile(name string, use func(io.Reader) error) error {
	f, err := os.Open(name)
	if err != nil {
		return &allod.Error{Kind: allod.NotFound, Err: err}
	}
	defer f.Close() //nolint:errcheck // only read
	if filepath.Ext(name) != ".gz" {
		return use(f)
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return allod.Errorf(allod.Invalid, "unpack %s: %w", name, err)
	}
	return use(z)
}

func loadCost(name string) (*protect.Cost, error) {
	switch name {
	case "":
		return nil, nil
	case "default":
		return protect.DefaultCost(), nil
	}
	var c protect.Cost
	return &c, readJSON(name, &c)
}

func readJSON(name string, into any) error {
	return readFile(name, func(r io.Reader) error {
		dec := json.NewDecoder(r)
		dec.DisallowUnknownFields()
		if err := dec.Decode(into); err != nil {
			return allod.Errorf(allod.Invalid, "read %s: %w", name, err)
		}
		return nil
	})
}

// demonstrate wires the guided tour.
func demonstrate(deps cli.Deps) func(context.Context, cli.DemoOptions) error {
	return func(ctx context.Context, o cli.DemoOptions) error { return demo.Run(ctx, demoOptions(deps, o)) }
}

func demoOptions(deps cli.Deps, o cli.DemoOptions) demo.Options {
	return demo.Options{Dir: o.Dir, Once: o.Once, Out: deps.Out, Deps: deps.Deps, Start: func(ctx context.Context) (*demo.Company, error) {
		e, err := emulate(ctx, cli.EmulateOptions{Kind: "dataverse", Listen: fmt.Sprintf("127.0.0.1:%d", o.Port), Seed: 1, Scale: o.Scale, Auth: "loose", Limits: "off", AppUsers: 1, Servers: 1})
		if err != nil {
			return nil, err
		}
		return &demo.Company{URL: e.URL, Rows: e.Rows, Wait: e.Wait}, nil
	}}
}

// rowCount is how many rows the server holds.
func rowCount(s *dataverse.Server) int64 {
	var n int64
	s.Store().View(func(tx *store.Tx) {
		for _, t := range s.Model().Tables {
			n += int64(tx.Len(t.LogicalName))
		}
	})
	return n
}
