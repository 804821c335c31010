package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"allod"
	"allod/internal/durable"
	"allod/internal/emulator/dataverse"
)

// dataFile holds a saved organisation in the folder of --data.
const dataFile = "organization"

// dataEvery is how often a running emulator saves what changed. A kill loses
// what came after the last time.
const dataEvery = time.Minute

// dataFolder is the folder of --data.
type dataFolder struct {
	dir    string
	server *dataverse.Server
	last   os.FileInfo // of the file as it was loaded or saved here; nil = there was none
}

func (d *dataFolder) file() string { return filepath.Join(d.dir, dataFile) }

// load makes the server what was saved; false when nothing was.
func (d *dataFolder) load() (bool, error) {
	f, err := os.Open(d.file())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, durable.Wrap(err, "open the data of the emulator")
	}
	defer func() { _ = f.Close() }() // only read
	if d.last, err = f.Stat(); err != nil {
		return false, durable.Wrap(err, "open the data of the emulator")
	}
	if err := d.server.Load(f); err != nil {
		return false, fmt.Errorf("%s: %w", d.file(), err)
	}
	return true, nil
}

// save writes the server in place of what was saved before, once all of it is on
// disk. What another emulator saved there since is not overwritten: Conflict.
func (d *dataFolder) save() error {
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return durable.Wrap(err, "make the folder %s", d.dir)
	}
	f, err := os.CreateTemp(d.dir, dataFile+".*")
	if err != nil {
		return durable.Wrap(err, "save the data of the emulator")
	}
	err = d.server.Save(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = d.publish(f.Name())
	}
	if err != nil {
		return fmt.Errorf("save the data of the emulator: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

func (d *dataFolder) publish(temp string) error {
	now, err := os.Stat(d.file())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return durable.Wrap(err, "look at what is there")
	}
	if err == nil && (d.last == nil || !os.SameFile(now, d.last)) {
		return allod.WithHint(allod.Errorf(allod.Conflict, "another emulator saved its own in %s", d.dir), "Give each emulator a --data folder of its own.")
	}
	if d.last, err = os.Stat(temp); err != nil {
		return durable.Wrap(err, "look at what was written")
	}
	return durable.Wrap(os.Rename(temp, d.file()), "put %s in place", dataFile)
}

// keep saves now and then until wait returns, and once more. What went wrong on
// the way is of no account if the last time goes well.
func (d *dataFolder) keep(wait func() error) error {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(dataEvery)
		defer tick.Stop()
		saved := d.server.Store().Version()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			if v := d.server.Store().Version(); v != saved && d.save() == nil {
				saved = v
			}
		}
	}()
	err := wait()
	close(stop)
	<-done
	return errors.Join(err, d.save())
}
