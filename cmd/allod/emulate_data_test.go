package main

import (
	"os"
	"path/filepath"
	"testing"

	"allod"
	"allod/internal/cli"
)

// The folder of --data goes on where it was left; what another emulator put
// there, or what is damaged, is left alone.
func TestDataFolder(t *testing.T) {
	dir := t.TempDir()
	begin := func(o cli.EmulateOptions) (*dataFolder, error) {
		d := &dataFolder{dir: dir}
		o.Data = dir
		_, err := buildServer(o, d)
		return d, err
	}
	first, err := begin(cli.EmulateOptions{Scale: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := first.save(); err != nil {
		t.Fatal(err)
	}
	want := rowCount(first.server)
	second, err := begin(cli.EmulateOptions{Empty: true, Scale: 1})
	if err != nil {
		t.Fatal(err)
	}
	if got := rowCount(second.server); got != want || want < 1000 {
		t.Errorf("%d rows, want the %d that were saved", got, want)
	}
	if err := second.save(); err != nil {
		t.Fatal(err)
	}
	if err := first.save(); allod.KindOf(err) != allod.Conflict {
		t.Errorf("the first one overwrites the second: %v", err)
	}
	if _, err := begin(cli.EmulateOptions{AppUsers: 2}); allod.KindOf(err) != allod.Invalid {
		t.Errorf("another number of application users: %v", err)
	}
	path := filepath.Join(dir, dataFile)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := begin(cli.EmulateOptions{}); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("damaged: %v", err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("%d files are left, want one (%v)", len(files), err)
	}
}
