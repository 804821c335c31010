package people

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"allod"
	"allod/internal/act"
	"allod/internal/govern/approve"
)

// maxName is the most characters of a user's name.
const maxName = 64

// Users lists who may approve, by name, and those who were removed, last.
func Users(ctx context.Context, o *act.Office) ([]approve.User, error) {
	d, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	s, err := d.load(ctx)
	if err != nil {
		return nil, err
	}
	return append([]approve.User{}, s.users...), nil
}

// Add registers somebody with the keys they sign with. Once two people are
// registered two of them have to approve it: Denied, with the next step, until
// they have. Conflict when the name or a key is taken.
func Add(ctx context.Context, o *act.Office, name string, keys []approve.Key) (approve.User, error) {
	if err := checkName(name); err != nil {
		return approve.User{}, err
	}
	var prints []string
	for _, k := range keys {
		prints = append(prints, k.Fingerprint())
	}
	if len(keys) == 0 || slices.Contains(prints, "") {
		return approve.User{}, allod.Errorf(allod.Invalid, "register %s: without an SSH public key nobody can approve", name)
	}
	d, err := open(ctx, o)
	if err != nil {
		return approve.User{}, err
	}
	u := approve.User{ID: d.deps.NewID(), Name: name, Keys: keys, Added: d.now()}
	slices.Sort(prints)
	says := "register " + name + " with " + strings.Join(prints, ", ")
	if utf8.RuneCountInString(says) > approve.MaxSays {
		return approve.User{}, allod.WithHint(allod.Errorf(allod.Invalid, "register %s: too many keys to show in one line", name), "Register fewer of them.")
	}
	return u, d.changeUsers(ctx, "user-added", says, func(s *state) ([]allod.Row, error) {
		for _, other := range s.users {
			if !other.Active() {
				continue
			}
			if strings.EqualFold(other.Name, name) {
				return nil, allod.WithHint(allod.Errorf(allod.Conflict, "register %s: somebody of that name is registered", name), "Remove them first, or name another.")
			}
			for _, k := range keys {
				if slices.Contains(other.Keys, k) {
					return nil, allod.WithHint(allod.Errorf(allod.Conflict, "register %s: the key %s is registered for somebody else", name, k.Fingerprint()), "Everybody needs a key of their own: two signatures by one key are not two people.")
				}
			}
		}
		return []allod.Row{userRow(u)}, nil
	})
}

// byRecovery is how the vault is opened by who holds its recovery key (act.Deps).
const byRecovery = "paper"

// Remove takes from somebody the right to approve; signatures that they gave
// count no more. Approval is needed as for Add, unless the vault was opened with
// its recovery key: where one of two people is gone, or their key is, nobody could
// approve anything any more. That is on record as such. NotFound when nobody of
// that name is registered.
func Remove(ctx context.Context, o *act.Office, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	d, err := open(ctx, o)
	if err != nil {
		return err
	}
	remove := func(s *state) ([]allod.Row, error) {
		for _, u := range s.users {
			if u.Active() && u.Name == name {
				u.Removed = d.now()
				return []allod.Row{userRow(u)}, nil
			}
		}
		return nil, allod.WithHint(allod.Errorf(allod.NotFound, "remove %s: nobody of that name is registered", name), "`allod user list` shows who is.")
	}
	if d.deps.Key == byRecovery {
		return d.change(ctx, "user-removed-by-recovery", remove)
	}
	return d.changeUsers(ctx, "user-removed", "remove "+name, remove)
}

// changeUsers changes who is registered. Where two people are, it takes two of
// them: whoever could add a second key of their own would be two people. The
// request is spent in the commit of the change.
func (d *desk) changeUsers(ctx context.Context, word, says string, decide func(*state) ([]allod.Row, error)) error {
	s, err := d.load(ctx)
	if err != nil {
		return err
	}
	if _, err := decide(s); err != nil {
		return err
	}
	plan := approve.Digest(sha256.Sum256(fmt.Appendf(nil, "allod change users v1\n%s\n", says)))
	var r approve.Request
	if needsTwo(s) {
		if r, _, err = d.require(ctx, approve.ChangeUsers, plan, says); err != nil {
			return err
		}
	}
	return d.change(ctx, word, func(s *state) ([]allod.Row, error) {
		rows, err := decide(s)
		if err != nil || !needsTwo(s) {
			return rows, err
		}
		now, err := s.request(r.ID)
		if err != nil || !d.decide(s, now, plan).Granted { // others have changed the users since
			return nil, allod.WithHint(allod.Errorf(allod.Conflict, "%s: who is registered has changed meanwhile", word), "Run the command again.")
		}
		now.Spent = d.now()
		return append(rows, requestRow(now)), nil
	})
}

func needsTwo(s *state) bool {
	n := 0
	for _, u := range s.users {
		if u.Active() {
			n++
		}
	}
	return n >= approve.Needed
}

// checkName refuses names that could be taken for others.
func checkName(name string) error {
	bad := utf8.RuneCountInString(name) > maxName || !utf8.ValidString(name) || strings.TrimSpace(name) != name || name == "" || strings.HasPrefix(name, "-") ||
		strings.ContainsFunc(name, func(r rune) bool {
			return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(" ._@'-", r)
		})
	if bad {
		return allod.WithHint(allod.Errorf(allod.Invalid, "name a user %q", name), "Use up to %d letters, digits, spaces and ._@'-, for example \"alice\" or alice@example.com.", maxName)
	}
	return nil
}
