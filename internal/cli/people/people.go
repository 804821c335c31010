// Package people holds the commands for those whose word counts: who may approve,
// what waits for them, and their signatures.
package people

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"allod"
	"allod/internal/act"
	"allod/internal/act/people"
	"allod/internal/cli/text"
	"allod/internal/durable"
	"allod/internal/govern/approve"
)

// Console is what the commands need of the command line around them. All fields
// are required.
type Console struct {
	In     io.Reader
	Out    io.Writer
	Getenv func(string) string
	JSON   func() bool                                                  // machine-readable output was asked for
	Print  func(v any)                                                  // one JSON object to stdout
	With   func(ctx context.Context, f func(o *act.Office) error) error // opens the Allod

	// OwnKey is the annotation of a flag named key that is not what opens the
	// vault.
	OwnKey string
}

const maxInput = 1 << 16 // bytes of a file of keys, or of a signature

// Commands are the commands.
func (c *Console) Commands() []*cobra.Command {
	user := &cobra.Command{Use: "user", Short: "Say who may approve what two people are needed for", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	user.AddCommand(c.addCommand(), c.listCommand(), c.removeCommand())
	return []*cobra.Command{user, c.approvalsCommand(), c.approveCommand()}
}

func (c *Console) outf(format string, args ...any) { fmt.Fprintf(c.Out, format, args...) }

func (c *Console) para(indent, format string, args ...any) {
	text.Paragraph(c.Out, indent, fmt.Sprintf(format, args...))
}

// read reads a small file, or the standard input for "-".
func (c *Console) read(path string) ([]byte, error) {
	in := c.In
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, durable.Wrap(err, "read %s", path)
		}
		defer func() { _ = f.Close() }() // only read
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	if err != nil {
		return nil, durable.Wrap(err, "read %s", path)
	}
	if len(b) > maxInput {
		return nil, allod.Errorf(allod.Invalid, "read %s: more than %d bytes", path, maxInput)
	}
	return b, nil
}

// ownKey says that --key of the command is an SSH key.
func (c *Console) ownKey(cmd *cobra.Command) {
	_ = cmd.Flags().SetAnnotation("key", c.OwnKey, []string{}) // only fails for a flag that is not there
}

func (c *Console) addCommand() *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Register somebody with the SSH keys they sign with", Args: cobra.ExactArgs(1), Example: "  allod user add alice --key alice.pub",
		Long: `Register somebody who may approve, with SSH public keys: ed25519, ecdsa, RSA of
3072 bits and more, and security keys. age keys cannot sign. Everybody needs a
key of their own. Once two people are registered, acts that need two people need
the signatures of two, and so does registering or removing anybody.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := c.read(key)
			if err != nil {
				return err
			}
			keys, err := approve.ParseKeys(b)
			if err != nil {
				return err
			}
			return c.With(cmd.Context(), func(o *act.Office) error {
				u, err := people.Add(cmd.Context(), o, args[0], keys)
				if err != nil {
					return err
				}
				if c.JSON() {
					c.Print(shown(u))
					return nil
				}
				c.para("  ", "%s may approve, with %s.", u.Name, strings.Join(prints(u), ", "))
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "`FILE` of SSH public keys; - for the standard input")
	_ = cmd.MarkFlagRequired("key") // only fails for a flag that is not there
	c.ownKey(cmd)
	return cmd
}

// user is a user as it is printed.
type user struct {
	ID      allod.GUID `json:"id"`
	Name    string     `json:"name"`
	Keys    []string   `json:"keys"` // fingerprints
	Added   time.Time  `json:"added"`
	Removed time.Time  `json:"removed,omitzero"`
}

func shown(u approve.User) user { return user{u.ID, u.Name, prints(u), u.Added, u.Removed} }

func prints(u approve.User) []string {
	out := []string{}
	for _, k := range u.Keys {
		out = append(out, k.Fingerprint())
	}
	return out
}

func (c *Console) listCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List who may approve", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.With(cmd.Context(), func(o *act.Office) error {
				users, err := people.Users(cmd.Context(), o)
				if err != nil {
					return err
				}
				if c.JSON() {
					out := []user{}
					for _, u := range users {
						out = append(out, shown(u))
					}
					c.Print(out)
					return nil
				}
				active := 0
				for _, u := range users {
					state := "since " + u.Added.Format(time.DateOnly)
					if u.Active() {
						active++
					} else {
						state = "removed " + u.Removed.Format(time.DateOnly)
					}
					c.outf("%s, %s\n", u.Name, state)
					for _, p := range prints(u) {
						c.outf("  %s\n", p)
					}
				}
				if active < approve.Needed {
					c.para("", "%d of %d: what needs two people is done by one, and says so. `allod user add NAME --key FILE` registers somebody.", active, approve.Needed)
				}
				return nil
			})
		},
	}
}

func (c *Console) removeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Short: "Take from somebody the right to approve", Args: cobra.ExactArgs(1), Example: "  allod user remove alice",
		Long: `Take from somebody the right to approve. Signatures that they gave for what is
still to be done count no more. Where two people are registered, two of them
have to approve this too; if one of them is gone, or their key is, the recovery
key does it alone: allod user remove NAME --key paper`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.With(cmd.Context(), func(o *act.Office) error {
				if err := people.Remove(cmd.Context(), o, args[0]); err != nil {
					return err
				}
				if c.JSON() {
					c.Print(map[string]string{"removed": args[0]})
					return nil
				}
				c.para("  ", "%s may not approve any more.", args[0])
				return nil
			})
		},
	}
}

func (c *Console) approvalsCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "approvals", Short: "List what waits for the signatures of people", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.With(cmd.Context(), func(o *act.Office) error {
				pending, err := people.Requests(cmd.Context(), o, all)
				if err != nil {
					return err
				}
				if c.JSON() {
					c.Print(pending)
					return nil
				}
				for _, p := range pending {
					c.show(p)
				}
				if len(pending) == 0 {
					c.outf("Nothing waits for approval.\n")
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "also what was done or has expired")
	return cmd
}

// show writes a request and where it stands.
func (c *Console) show(p people.Pending) {
	c.outf("%s  %s\n", p.ID, p.Act)
	c.para("  ", "  %s", p.Says)
	c.para("  ", "  Asked by %s on %s, until %s.", p.By, p.At.Format("2006-01-02 15:04 MST"), p.Expires.Format("2006-01-02 15:04 MST"))
	c.outf("  Plan %s\n", p.Plan)
	state := "Not granted"
	if p.Outcome.Granted {
		state = "Granted"
	}
	c.para("  ", "  %s: %s.", state, strings.Join(append(p.Outcome.Reasons, p.Outcome.Missing...), "; "))
	for _, who := range p.Outcome.People {
		c.para("    ", "  Signed by %s on %s with %s", who.Name, who.At.Format("2006-01-02 15:04 MST"), who.Key)
	}
}

func (c *Console) approveCommand() *cobra.Command {
	var key, signature string
	var statement bool
	cmd := &cobra.Command{
		Use: "approve ID", Short: "Approve a request with an SSH key", Args: cobra.ExactArgs(1), Example: "  allod approve 5f0c1d2e-0000-4000-8000-00000000abcd --key ~/.ssh/id_ed25519",
		Long: `Sign a request with your SSH key: a private key, with ALLOD_SSH_PASSPHRASE if it
is encrypted, or one that your agent holds (--key may then name the .pub file).
Or sign elsewhere:

  allod approve ID --show > statement
  ssh-keygen -Y sign -n allod-approve@1 -f KEY statement
  allod approve ID --signature statement.sig

What is signed names the plan by its digest: a plan that changes needs to be
asked for and approved again.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := allod.ParseGUID(args[0])
			if err != nil {
				return allod.WithHint(allod.Errorf(allod.Invalid, "approve %s: it is not the id of a request", args[0]), "`allod approvals` lists them.")
			}
			ways := 0
			for _, given := range []bool{key != "", signature != "", statement} {
				if given {
					ways++
				}
			}
			if ways != 1 {
				return allod.WithHint(allod.Errorf(allod.Invalid, "approve %s: name one of --key, --signature and --show", id), "For example: `allod approve %s --key ~/.ssh/id_ed25519`.", id)
			}
			return c.With(cmd.Context(), func(o *act.Office) error {
				if statement {
					return c.statement(cmd.Context(), o, id)
				}
				return c.approve(cmd.Context(), o, id, key, signature)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&key, "key", "", "`FILE` of the SSH key to sign with")
	f.StringVar(&signature, "signature", "", "`FILE` of a signature made by ssh-keygen; - for the standard input")
	f.BoolVar(&statement, "show", false, "print what has to be signed, and sign nothing")
	c.ownKey(cmd)
	return cmd
}

func (c *Console) statement(ctx context.Context, o *act.Office, id allod.GUID) error {
	b, err := people.Statement(ctx, o, id)
	if err != nil {
		return err
	}
	if c.JSON() {
		c.Print(map[string]string{"statement": string(b), "namespace": approve.Namespace})
		return nil
	}
	_, err = c.Out.Write(b)
	return err
}

func (c *Console) approve(ctx context.Context, o *act.Office, id allod.GUID, key, signature string) error {
	var armored string
	if signature != "" {
		b, err := c.read(signature)
		if err != nil {
			return err
		}
		armored = string(b)
	} else {
		b, err := people.Statement(ctx, o, id)
		if err != nil {
			return err
		}
		if armored, err = people.Sign(b, key, c.Getenv("SSH_AUTH_SOCK"), c.Getenv("ALLOD_SSH_PASSPHRASE")); err != nil {
			return withID(err, id)
		}
	}
	p, err := people.Approve(ctx, o, id, armored)
	if err != nil {
		return err
	}
	if c.JSON() {
		c.Print(p)
		return nil
	}
	c.show(p)
	return nil
}

// withID puts the id of the request into a hint that speaks of any.
func withID(err error, id allod.GUID) error {
	return allod.WithHint(err, "%s", strings.ReplaceAll(allod.HintOf(err), "approve ID", "approve "+id.String()))
}
