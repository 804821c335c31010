// Package connection holds what allod.yaml says of one environment.
package connection

import (
	"time"

	"allod/internal/source/pace"
)

// Connection says how an environment is reached. Secrets are named by file or
// environment variable, never held.
type Connection struct {
	Kind             string   `yaml:"kind" json:"kind"` // dataverse
	URL              string   `yaml:"url" json:"url"`
	Auth             string   `yaml:"auth,omitempty" json:"auth,omitempty"` // loopback, secret, certificate, managed-identity, workload-identity
	TenantID         string   `yaml:"tenant_id,omitempty" json:"tenant_id,omitempty"`
	ClientID         string   `yaml:"client_id,omitempty" json:"client_id,omitempty"`
	ClientSecretFile string   `yaml:"client_secret_file,omitempty" json:"client_secret_file,omitempty"`
	Certificate      string   `yaml:"certificate,omitempty" json:"certificate,omitempty"`
	Authority        string   `yaml:"authority,omitempty" json:"authority,omitempty"`
	CAFile           string   `yaml:"ca_file,omitempty" json:"ca_file,omitempty"`
	Proxy            string   `yaml:"proxy,omitempty" json:"proxy,omitempty"`
	PowerPlatform    string   `yaml:"power_platform,omitempty" json:"power_platform,omitempty"` // URL of its API; "" = the public cloud's
	Production       *bool    `yaml:"production,omitempty" json:"production,omitempty"`         // nil = as source.StandingOf finds
	SameAs           string   `yaml:"same_as,omitempty" json:"same_as,omitempty"`
	Exclude          []string `yaml:"exclude,omitempty" json:"exclude,omitempty"`
	Presets          []string `yaml:"presets,omitempty" json:"presets,omitempty"` // what is read; none = everything
	// Applications are further application users with the same rights; the service
	// limits each by itself. They sign in as the first does, but for what is named.
	Applications []Application `yaml:"applications,omitempty" json:"applications,omitempty"`
	// Pace is what backups may take of it; others keep to MaxConcurrency alone, so
	// that no restore waits for a window or a day.
	Pace   pace.Pace       `yaml:"pace,omitempty" json:"pace,omitzero"`
	Counts string          `yaml:"-" json:"-"` // folder that counts requests, see pace.Day
	Paused func(time.Time) `yaml:"-" json:"-"` // told until when a window is shut; nil = nobody

	Schedule      string `yaml:"schedule,omitempty" json:"schedule,omitempty"`             // when `allod serve` backs it up, see job.Parse
	SecretExpires string `yaml:"secret_expires,omitempty" json:"secret_expires,omitempty"` // day, e.g. 2027-03-01; of a certificate it is read from its file
}

// Application is one more application user of an environment.
type Application struct {
	ClientID         string `yaml:"client_id" json:"client_id"`
	ClientSecretFile string `yaml:"client_secret_file,omitempty" json:"client_secret_file,omitempty"`
	Certificate      string `yaml:"certificate,omitempty" json:"certificate,omitempty"`
}
