package s3

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"allod"
	"allod/internal/blob"
)

func TestParseAddress(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want Address
		ok   bool
	}{
		{"s3://bucket", Address{Bucket: "bucket"}, true},
		{"s3://my.bucket-1/allod/prod/", Address{Bucket: "my.bucket-1", Prefix: "allod/prod"}, true},
		{"s3://bucket?region=eu-central-1&profile=allod", Address{Bucket: "bucket", Region: "eu-central-1", Profile: "allod"}, true},
		{"s3://bucket/p?endpoint=https://s3.example.org:9000&region=x&ca-file=/etc/ca.pem", Address{Bucket: "bucket", Prefix: "p", Endpoint: "https://s3.example.org:9000", Region: "x", CAFile: "/etc/ca.pem", PathStyle: true}, true},
		{"s3://bucket?endpoint=https%3A%2F%2Fs3.example.org&path-style=false", Address{Bucket: "bucket", Endpoint: "https://s3.example.org"}, true},
		{"s3://bucket?endpoint=http://127.0.0.1:7070", Address{Bucket: "bucket", Endpoint: "http://127.0.0.1:7070", PathStyle: true}, true},
		{"s3://bucket?endpoint=http://localhost:7070", Address{Bucket: "bucket", Endpoint: "http://localhost:7070", PathStyle: true}, true},
		{"s3://bucket?endpoint=http://[::1]:7070", Address{Bucket: "bucket", Endpoint: "http://[::1]:7070", PathStyle: true}, true},
		{in: "s3://bucket?endpoint=http://s3.example.org"},          // not encrypted
		{in: "s3://bucket?endpoint=http://127.0.0.1.example.org"},   // not this machine
		{in: "s3://bucket?endpoint=https://key:secret@example.org"}, // a secret
		{in: "s3://key:secret@bucket"},
		{in: "s3://key@bucket"},
		{in: "s3://bucket?endpoint=ftp://example.org"},
		{in: "s3://bucket?endpoint="},
		{in: "s3://bucket?region=a&region=b"},
		{in: "s3://bucket?secret-key=x"},
		{in: "s3://bucket?path-style=yes"},
		{in: "s3://Bucket"},
		{in: "s3://b"},
		{in: "s3://"},
		{in: "s3://bucket:80/x"},
		{in: "s3://bucket/../x"},
		{in: "s3://bucket/a//b"},
		{in: "s3://bucket/A"},
		{in: "s3://bucket/a#b"},
		{in: "s3://bucket?%zz"},
		{in: "https://bucket"},
		{in: "bucket"},
		{in: ""},
	} {
		got, err := ParseAddress(tc.in)
		if (err == nil) != tc.ok {
			t.Errorf("ParseAddress(%q) = %v, want ok %v", tc.in, err, tc.ok)
			continue
		}
		if err != nil && (allod.KindOf(err) != allod.Invalid || allod.HintOf(err) == "" || strings.Contains(err.Error(), "secret@")) {
			t.Errorf("ParseAddress(%q): %v (kind %v, hint %q), want invalid with a hint and without the secret", tc.in, err, allod.KindOf(err), allod.HintOf(err))
		}
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("ParseAddress(%q): -want +got\n%s", tc.in, d)
		}
	}
}

// FuzzParseAddress: what is accepted names a bucket, a prefix that objects may
// have, and an endpoint that is encrypted or on this machine.
func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"s3://bucket/p?endpoint=https://x&region=y", "s3://bucket?endpoint=http://127.0.0.1:1", "s3://u:p@bucket", "s3://bucket/%2e%2e/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		a, err := ParseAddress(in)
		if err != nil {
			return
		}
		if !bucketName.MatchString(a.Bucket) || a.Prefix != "" && blob.CheckName(a.Prefix) != nil {
			t.Errorf("ParseAddress(%q) = %+v", in, a)
		}
		if a.Endpoint != "" && !strings.HasPrefix(strings.ToLower(a.Endpoint), "https://") && !strings.HasPrefix(strings.ToLower(a.Endpoint), "http://") {
			t.Errorf("ParseAddress(%q) accepts the endpoint %q", in, a.Endpoint)
		}
		again, err := ParseAddress(a.String())
		if err != nil || again.Bucket != a.Bucket || again.Prefix != a.Prefix {
			t.Errorf("ParseAddress(%q) is called %s, which is read as %+v, %v", in, a, again, err)
		}
	})
}
