package s3

import (
	"net"
	"net/url"
	"regexp"
	"strings"

	"allod"
	"allod/internal/blob"
)

// Scheme begins the address of a bucket.
const Scheme = "s3"

// Address says where objects lie. It holds no secret.
type Address struct {
	Bucket    string
	Prefix    string // "" or a name without a slash at its end, e.g. "allod/prod"
	Endpoint  string // URL of another store than Amazon's; "" = Amazon's in Region
	Region    string // "" = as the environment or the shared configuration says
	PathStyle bool   // the bucket stands in the path and not in the host name
	CAFile    string // PEM file of an own certificate authority
	Profile   string // of the shared configuration; "" = the default one
}

// bucketName is what Amazon's documentation allows for new buckets, "Bucket
// naming rules".
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// ParseAddress reads an address such as
//
//	s3://bucket/prefix?endpoint=https://s3.example.org&region=eu-1&path-style=true&ca-file=/etc/ca.pem&profile=allod
//
// in which everything from the prefix on may be left out. Invalid for anything
// else: secrets in an address, unknown parameters, an endpoint without
// encryption that is not on this machine.
func ParseAddress(s string) (Address, error) {
	bad := func(format string, args ...any) (Address, error) {
		err := allod.Errorf(allod.Invalid, "read the address of a store: "+format, args...)
		return Address{}, allod.WithHint(err, "Write it as s3://BUCKET/PREFIX?endpoint=URL&region=REGION; all but the bucket may be left out (docs/stores.md).")
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != Scheme {
		return bad("it is not an s3:// address")
	}
	if u.User != nil {
		return bad("it holds a user or a password, which belong into the environment or the shared configuration")
	}
	a := Address{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/")}
	if !bucketName.MatchString(a.Bucket) {
		return bad("%q is not the name of a bucket", a.Bucket)
	}
	if a.Prefix != "" && blob.CheckName(a.Prefix) != nil || u.Fragment != "" {
		return bad("its prefix may have segments of a-z, 0-9 and \"-_.@\" only")
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return bad("its parameters cannot be read")
	}
	for name, values := range q {
		v := values[0]
		if len(values) > 1 || v == "" {
			return bad("%s is empty or given twice", name)
		}
		switch name {
		case "endpoint":
			a.Endpoint = v
		case "region":
			a.Region = v
		case "ca-file":
			a.CAFile = v
		case "profile":
			a.Profile = v
		case "path-style":
			if v != "true" && v != "false" {
				return bad("path-style is true or false")
			}
			a.PathStyle = v == "true"
		default:
			return bad("it knows no parameter %q", name)
		}
	}
	if a.Endpoint == "" {
		return a, nil
	}
	if _, given := q["path-style"]; !given {
		a.PathStyle = true // what stores other than Amazon's all understand
	}
	e, err := url.Parse(a.Endpoint)
	if err != nil || e.Host == "" || e.User != nil || e.RawQuery != "" || e.Scheme != "https" && e.Scheme != "http" {
		return bad("its endpoint is not the https address of a server")
	}
	if e.Scheme == "http" && !loopback(e.Hostname()) {
		return bad("its endpoint is not encrypted: http is for servers on this machine only")
	}
	return a, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// String returns the bucket and the prefix, for messages.
func (a Address) String() string {
	return Scheme + "://" + strings.TrimSuffix(a.Bucket+"/"+a.Prefix, "/")
}
