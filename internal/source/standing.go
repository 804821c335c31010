package source

import "context"

// Standing is whether an environment is production, and why it is taken for it,
// as the rest of a sentence about it.
type Standing struct {
	Production bool   `json:"production"`
	Why        string `json:"production_because"`
}

// Stander is a source that can say whether its environment is production.
type Stander interface {
	// Standing returns nil when the service does not say, or not clearly; an
	// error only when it could not be reached.
	Standing(ctx context.Context) (*Standing, error)
}

// StandingOf says whether an environment counts as production: set does, where
// somebody has set it; else what the service says of itself; else everything is
// production but what runs on this machine. An error is one of a service that
// could not be reached.
func StandingOf(ctx context.Context, src Source, set *bool) (Standing, error) {
	if set != nil {
		return Standing{*set, "allod.yaml says so"}, nil
	}
	if s, ok := src.(Stander); ok {
		switch said, err := s.Standing(ctx); {
		case err != nil:
			return Standing{}, err
		case said != nil:
			return *said, nil
		}
	}
	if src.Capabilities().Loopback {
		return Standing{false, "it runs on this machine, and does not say that it is"}, nil
	}
	return Standing{true, "it does not say what it is, and what is not on this machine counts as production"}, nil
}
