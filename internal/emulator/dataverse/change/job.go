package change

import (
	"time"

	"allod"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/request"
	"allod/internal/emulator/dataverse/rows"
	"allod/internal/emulator/dataverse/wire"
)

// Work is what a job does, once it has started. Its error ends the job as
// failed, with the message.
type Work func(c Writer, job allod.GUID, started time.Time) error

// Job makes a job of the kind and does it: at once, or, where the jobs of the
// organisation take time, in the course of the first request after that
// (protocols/dataverse.md §6.12, §11.1). What can be refused at once is the
// caller's to find before. A job that was cancelled meanwhile does nothing.
func (c Writer) Job(kind int, name string, work Work) (allod.GUID, error) {
	var job allod.GUID
	err := c.Update(func(a *platform.Act) (err error) {
		job, err = a.Begin(kind, name)
		return err
	})
	if err != nil {
		return job, err
	}
	if c.Org.JobTime <= 0 {
		return job, c.do(job, c.Org.Now(), work)
	}
	start := c.Org.Now().Add(c.Org.JobTime / 2)
	call := *c.Call
	call.Tx = nil
	c.Org.Later(start, func(s *wire.Schema) {
		_, _ = c.with(call, s).begin(job) // asked again when it is to be done
	})
	c.Org.Later(start.Add(c.Org.JobTime-c.Org.JobTime/2), func(s *wire.Schema) {
		_ = c.with(call, s).do(job, start, work) // writing the end of a job does not fail
	})
	return job, nil
}

// with is a writer for a call of its own, under the schema.
func (c Writer) with(call request.Call, s *wire.Schema) Writer {
	call.Schema = s
	return Writer{rows.Reader{Call: &call}, c.uploads}
}

func (c Writer) begin(job allod.GUID) (there bool, err error) {
	err = c.Update(func(a *platform.Act) error {
		there = a.Started(job)
		return nil
	})
	return there, err
}

func (c Writer) do(job allod.GUID, started time.Time, work Work) error {
	there, err := c.begin(job)
	if err != nil || !there {
		return err
	}
	message := ""
	if failed := work(c, job, started); failed != nil {
		message = wire.AsError(failed).Message
	}
	return c.Update(func(a *platform.Act) error {
		a.End(job, message)
		return nil
	})
}
