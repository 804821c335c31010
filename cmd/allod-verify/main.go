// Command allod-verify checks what an Allod hands out, for somebody who has no
// Allod, no key and no network: certificates of erasure and rectification, proofs
// from the ledger, checkpoints, and a copy of a vault's log. docs/verify.md is its
// manual.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"allod"
	"allod/internal/ledger"
	"allod/internal/vault/log/stranger"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		os.Exit(int(allod.KindOf(err)))
	}
}

const usage = `allod-verify --vault FILE [--log FOLDER] [--witness KEY]... [FILE...]

Checks, with what stands in the vault object FILE and nothing else:
  a certificate              its signature, the log entry and the ledger proof
                             in it; with --log also that the log has the entry
  a proof (.tlog-proof)      that the ledger has the entry it shows
  a checkpoint               that the ledger signed it; with --witness also that
                             the witness did
  a proof of growth          that the ledger of its checkpoint contains that of
                             an older one, which stands before it in the list,
                             or which the log has seen
  --log FOLDER               chain and signatures of a copy of the vault's log/
Two of them that show the same ledger in two versions are reported.

The vault object is the file named "vault" in the vault's store. Whoever gives
it to you could give you another: compare its fingerprint, which is printed
first, with one that you got in another way.

Exit codes: 0 all of it is so, 2 usage, 5 not found, 7 something is not so.
`

// witnesses is the flag --witness.
type witnesses []ledger.Witness

// String implements flag.Value.
func (w *witnesses) String() string {
	var s []string
	for _, one := range *w {
		s = append(s, one.Name)
	}
	return strings.Join(s, ", ")
}

// Set implements flag.Value.
func (w *witnesses) Set(s string) error {
	one, err := ledger.ParseWitness(s)
	*w = append(*w, one)
	return err
}

// run checks what the arguments name, all of it, and returns the first error.
func run(args []string, out, errs io.Writer) error {
	c := &stranger.Checker{Out: out}
	flags := flag.NewFlagSet("allod-verify", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	vault := flags.String("vault", "", "")
	folder := flags.String("log", "", "")
	flags.Var((*witnesses)(&c.Witnesses), "witness", "")
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		_, err := io.WriteString(out, usage)
		return err
	}
	if err != nil || *vault == "" || *folder == "" && flags.NArg() == 0 {
		if err == nil {
			err = errors.New("name the vault object with --vault, and what is to be checked")
		}
		return complain(errs, allod.Errorf(allod.Invalid, "%w; --help says more", err))
	}
	c.Folder = *folder
	if err := c.Open(*vault); err != nil {
		return complain(errs, err)
	}
	var first error
	keep := func(what string, err error) {
		if err == nil {
			return
		}
		err = complain(errs, fmt.Errorf("%s: %w", what, err))
		if first == nil {
			first = err
		}
	}
	if *folder != "" {
		keep(*folder, c.Log())
	}
	for _, name := range flags.Args() {
		keep(name, c.File(name))
	}
	if first == nil {
		fmt.Fprintln(out, "All of it is so.")
	}
	return first
}

// complain writes an error for people and returns it.
func complain(w io.Writer, err error) error {
	fmt.Fprintf(w, "allod-verify: %v\n", err)
	if hint := allod.HintOf(err); hint != "" {
		fmt.Fprintf(w, "  %s\n", hint)
	}
	return err
}
