package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/windows/svc"

	"allod/internal/service"
)

// asService runs the command as a service if the system has started it as one,
// and reports whether it has: the command line of the service says so. A service
// has no stderr: its lines go to log\serve.log in the folder of the Allod.
func asService(command func(context.Context, io.Writer) int) (int, bool) {
	if !slices.Contains(os.Args, "--"+service.Flag) {
		return 0, false
	}
	h := &handler{command: command}
	if err := svc.Run(service.Name, h); err != nil {
		_, _ = os.Stderr.WriteString("allod: run as a service: " + err.Error() + "\n  --" + service.Flag + " is for the service manager; leave it out.\n") // nobody else could be told
		return 1, true
	}
	return h.code, true
}

// handler answers the service manager.
type handler struct {
	command func(context.Context, io.Writer) int
	code    int
}

// Execute implements svc.Handler: it runs until the command ends, and ends the
// command when the manager says so.
func (h *handler) Execute(_ []string, requests <-chan svc.ChangeRequest, say chan<- svc.Status) (bool, uint32) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	log := serviceLog()
	done := make(chan int, 1)
	go func() { done <- h.command(ctx, log) }()
	running := svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown}
	say <- running
	for {
		select {
		case h.code = <-done:
			say <- svc.Status{State: svc.StopPending}
			return h.code != 0, uint32(h.code)
		case r := <-requests:
			switch r.Cmd {
			case svc.Interrogate:
				say <- running
			case svc.Stop, svc.Shutdown:
				running = svc.Status{State: svc.StopPending, WaitHint: 120_000}
				say <- running
				cancel()
			}
		}
	}
}

// serviceLog opens the log of the folder that the command line names; nowhere
// when that cannot be done.
func serviceLog() io.Writer {
	i := slices.Index(os.Args, "--dir")
	if i < 0 || i+1 >= len(os.Args) {
		return io.Discard
	}
	dir := filepath.Join(os.Args[i+1], "log")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return io.Discard
	}
	f, err := os.OpenFile(filepath.Join(dir, "serve.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return io.Discard
	}
	return f // closed by the end of the process
}
