// Command allod keeps an organisation's own copy of what it has in Dynamics
// 365. This file wires the concrete adapters; everything else is in internal/.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/signal"
	"os/user"
	"runtime/debug"
	"syscall"
	"time"
	_ "time/tzdata" // time zones of schedules, where the system has none

	"golang.org/x/term"

	"allod"
	"allod/internal/act"
	"allod/internal/cli"
	"allod/internal/durable"
)

func main() { os.Exit(run()) }

func run() int {
	if code, ok := asService(command); ok {
		return code
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return command(ctx, os.Stderr)
}

// command carries out the command line; errs is where what it says goes.
func command(ctx context.Context, errs io.Writer) int {
	disk := &durable.Disk{}
	deps := cli.Deps{
		Deps: act.Deps{
			OpenSource: openSource(os.Getenv), OpenNative: openNative(os.Getenv), OpenStore: openStore, Passphrase: askPassphrase, Holder: askHolder, SSH: askSSH, Services: keyServices(),
			Now: time.Now, Actor: actor(), Disk: disk, NewID: newID,
		},
		In: os.Stdin, Out: os.Stdout, Err: errs, Getenv: os.Getenv,
		Terminal: term.IsTerminal(int(os.Stderr.Fd())), Local: time.Local, Version: version(),
		Emulate: emulate,
	}
	deps.Demo = demonstrate(deps)
	return cli.Run(ctx, os.Args[1:], deps)
}

// newID draws a random id.
func newID() allod.GUID {
	var g allod.GUID
	_, _ = rand.Read(g[:]) // never fails: crypto/rand ends the program instead
	return g
}

// actor is the operating-system user, in embedded mode.
func actor() allod.Actor {
	u, err := user.Current()
	if err != nil {
		return "os:unknown"
	}
	return allod.Actor("os:" + u.Username)
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		v = "devel"
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				v += " " + s.Value[:12]
			}
		}
	}
	return v
}

// askPassphrase takes the passphrase from ALLOD_PASSPHRASE, or asks for it.
func askPassphrase(confirm bool) ([]byte, error) {
	return passphrase("ALLOD_PASSPHRASE", "the vault", "Set ALLOD_PASSPHRASE, or name another key: --key file:PATH, or --key paper for the recovery key.", confirm)
}

// askHolder takes the passphrase of a holder of a container, which is not that
// of the vault, from ALLOD_HOLDER_PASSPHRASE, or asks for it.
func askHolder(confirm bool) ([]byte, error) {
	return passphrase("ALLOD_HOLDER_PASSPHRASE", "the holder", "Set ALLOD_HOLDER_PASSPHRASE, or name another key of a holder: identity:PATH, file:PATH.", confirm)
}

// passphrase takes one from the environment, or from the terminal.
func passphrase(variable, whose, hint string, confirm bool) ([]byte, error) {
	if p := os.Getenv(variable); p != "" {
		return []byte(p), nil
	}
	fd := int(os.Stdin.Fd())
	if !term.IsTerminal(fd) {
		return nil, allod.WithHint(allod.Errorf(allod.Denied, "read the passphrase of %s: nobody is there to type it", whose), "%s", hint)
	}
	p, err := typed(fd, "Passphrase of "+whose+": ")
	if err != nil || !confirm {
		return p, err
	}
	again, err := typed(fd, "The same again: ")
	if err != nil {
		return nil, err
	}
	if string(p) != string(again) {
		return nil, allod.Errorf(allod.Invalid, "read the passphrase of %s: the two differ", whose)
	}
	return p, nil
}

// askSSH takes the passphrase of an SSH key from ALLOD_SSH_PASSPHRASE, or asks
// for it.
func askSSH(file string) ([]byte, error) {
	if p := os.Getenv("ALLOD_SSH_PASSPHRASE"); p != "" {
		return []byte(p), nil
	}
	fd := int(os.Stdin.Fd())
	if !term.IsTerminal(fd) {
		return nil, allod.WithHint(allod.Errorf(allod.Denied, "read the passphrase of %s: nobody is there to type it", file), "Set ALLOD_SSH_PASSPHRASE.")
	}
	return typed(fd, "Passphrase of "+file+": ")
}

func typed(fd int, prompt string) ([]byte, error) {
	fmt.Fprint(os.Stderr, prompt)
	p, err := term.ReadPassword(fd)
	fmt.Fprintln(os.Stderr)
	if err != nil {
		return nil, allod.Errorf(allod.Denied, "read the passphrase: %w", err)
	}
	if len(p) == 0 {
		return nil, allod.Errorf(allod.Invalid, "read the passphrase: it is empty")
	}
	return p, nil
}
