package job

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"sync"
	"time"

	"allod"
	"allod/internal/act"
	"allod/internal/act/keys"
	"allod/internal/capture"
	"allod/internal/runlog"
	"allod/internal/vault/lease"
)

// usualTerm is for how long a task is left to a process that was not heard of:
// it is taken over that long after its process was killed.
const usualTerm = 2 * time.Minute

// claims is what a Desk knows of leases. Its zero value knows none.
type claims struct {
	book  *lease.Book
	store string            // that the book is of, as the configuration names it
	names map[string]string // lease by name of the task

	mu   sync.Mutex
	done map[string]int64 // how far the task at hand is
}

// progress remembers how far a capture is.
func (c *claims) progress(p capture.Progress) {
	c.set(map[string]int64{runlog.Rows: p.Rows, runlog.Tables: int64(p.Tables), runlog.Read: int64(p.TablesDone)})
}

func (c *claims) set(counts map[string]int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done = counts
}

func (c *claims) state(context.Context) lease.State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return lease.State{Counts: c.done}
}

// openBook makes the book of leases of an open Allod, and names those of its
// tasks: by pseudonyms, and marked with a key of the vault's that serves for
// nothing else.
func (d *Desk) openBook(ctx context.Context, o *act.Office, tasks []*history) error {
	c := &d.claims
	_, _, l, _ := o.Inside()
	if c.book == nil || c.store != o.Config().Store {
		s, err := keys.Store(ctx, d.Dir, o.Config(), d.Deps)
		if err != nil {
			return err
		}
		key := []byte(l.Opaque("lease", "mark"))
		c.store, c.book = o.Config().Store, &lease.Book{Store: s, Holder: keys.NewHolder(), Now: d.Deps.Now, Mark: func(text string) string {
			m := hmac.New(sha256.New, key)
			_, _ = io.WriteString(m, text) // a hash takes every write
			return hex.EncodeToString(m.Sum(nil)[:16])
		}}
	}
	c.names = map[string]string{}
	for _, t := range tasks {
		c.names[t.Name()] = lease.Task + "/" + l.Opaque("task", t.Name())
	}
	return nil
}

// readLeases adds to tasks what their leases tell of other processes.
func (d *Desk) readLeases(ctx context.Context, o *act.Office, tasks []*history) error {
	if err := d.openBook(ctx, o, tasks); err != nil {
		return err
	}
	all, err := d.claims.book.All(ctx, lease.Task)
	if err != nil {
		return err
	}
	for _, h := range tasks {
		for _, l := range all {
			if l.Name == d.claims.names[h.Name()] && l.Holder != d.claims.book.Holder {
				free, until := d.claims.book.Free(l)
				h.heed(l, free, until)
			}
		}
	}
	return nil
}

// heed takes the newest lease of the task that another process has, or had.
func (h *history) heed(l lease.Lease, free bool, until time.Time) {
	if !free {
		h.Past.Held = until
		h.Live = &runlog.Live{Process: l.Holder[:12], Since: l.Since, Heard: l.Stored, Counts: l.Counts}
		return
	}
	// The clocks of its machine, and of the store, label what is compared here.
	began := !h.Past.Begun.Before(l.Since.Add(-lease.Slack)) && !h.Past.Begun.After(l.Stored.Add(l.Term+lease.Slack))
	h.Past.Gone = h.Past.Open && l.Term > 0 && began
}

// Alone calls do under the lease of a task, and reports whether it has; it does
// not while another process has the lease. The context of do ends when another
// process has taken it over: because this one was not heard of for the term.
func (d *Desk) Alone(ctx context.Context, t Task, do func(ctx context.Context) error) (bool, error) {
	c := &d.claims
	if c.book == nil {
		return false, allod.Errorf(allod.Internal, "take %s: nobody has looked at it", t.Name())
	}
	c.set(nil)
	term := lease.Term(d.Term, usualTerm)
	h, err := c.book.Take(ctx, c.names[t.Name()], term, lease.State{})
	if errors.Is(err, lease.ErrHeld) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, h.While(ctx, lease.Rhythm{Every: term / 3}, c.state, do)
}
