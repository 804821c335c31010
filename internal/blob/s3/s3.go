// Package s3 keeps objects in a bucket of Amazon S3 or of a store that speaks
// its protocol. Puts are conditional (If-None-Match), locks are those of
// Object Lock in compliance mode, and old versions are reached by their ids.
// The facts of the protocol are those of the Amazon S3 API reference.
package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"allod"
	"allod/internal/blob"
)

// Store is a bucket, or what lies under a prefix of it. Use Open. Methods may
// be called from several goroutines.
type Store struct {
	client *s3.Client
	at     Address
	prefix string // of keys: "" or ending in "/"
	keeps  bool
	part   int64
	locks  atomic.Bool // the bucket is known to have Object Lock
}

var (
	_ blob.Mutable   = (*Store)(nil)
	_ blob.Versioned = (*Store)(nil)
	_ blob.Locker    = (*Store)(nil)
	_ blob.Describer = (*Store)(nil)
)

// Options of a Store. The zero value works.
type Options struct {
	Attempts int   // how often a request is tried; 0 = 5
	Part     int64 // bytes of a part, and of the largest object put in one request; 0 = 16 MiB, at least 5 MiB
}

// Open opens the bucket of an address (ParseAddress). It makes none: how a
// bucket keeps versions and locks is decided when it is made. Credentials and,
// unless the address says so, the region come from where the AWS tools take
// them: environment, shared configuration, identity of the machine. NotFound
// without the bucket, Denied without credentials or rights, Unavailable if the
// store does not answer.
func Open(ctx context.Context, address string, o Options) (*Store, error) {
	at, err := ParseAddress(address)
	if err != nil {
		return nil, err
	}
	cfg, err := configuration(ctx, at, o)
	if err != nil {
		return nil, err
	}
	s := &Store{at: at, part: max(o.Part, 5<<20)}
	if o.Part == 0 {
		s.part = 16 << 20
	}
	if at.Prefix != "" {
		s.prefix = at.Prefix + "/"
	}
	s.client = s3.NewFromConfig(cfg, func(c *s3.Options) {
		c.UsePathStyle = at.PathStyle
		if at.Endpoint != "" {
			c.BaseEndpoint = &at.Endpoint
		}
		// Not every store knows the newer checksums: what is put bears its MD5,
		// and the signature covers its SHA-256.
		c.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		c.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	})
	return s, s.look(ctx)
}

// configuration gathers what the client needs.
func configuration(ctx context.Context, at Address, o Options) (aws.Config, error) {
	attempts := o.Attempts
	if attempts == 0 {
		attempts = 5
	}
	client := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.ResponseHeaderTimeout = 2 * time.Minute })
	if at.CAFile != "" {
		pem, err := os.ReadFile(at.CAFile)
		pool := x509.NewCertPool()
		if err == nil && !pool.AppendCertsFromPEM(pem) {
			err = errors.New("it holds no certificate")
		}
		if err != nil {
			return aws.Config{}, allod.Errorf(allod.Invalid, "read the certificate authority of %s: %w", at, err)
		}
		client = client.WithTransportOptions(func(t *http.Transport) { t.TLSClientConfig.RootCAs = pool })
	}
	load := []func(*config.LoadOptions) error{
		config.WithHTTPClient(client),
		config.WithRetryer(func() aws.Retryer {
			// 409 is not 412: nothing is decided yet, and the same request again decides it.
			return retry.AddWithErrorCodes(retry.AddWithMaxAttempts(retry.NewStandard(), attempts), "ConditionalRequestConflict", "OperationAborted")
		}),
	}
	if at.Region != "" {
		load = append(load, config.WithRegion(at.Region))
	}
	if at.Profile != "" {
		load = append(load, config.WithSharedConfigProfile(at.Profile))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return cfg, allod.Errorf(allod.Invalid, "read the configuration for %s: %w", at, err)
	}
	if cfg.Region == "" {
		if at.Endpoint == "" {
			return cfg, allod.WithHint(allod.Errorf(allod.Invalid, "open %s: no region is named", at), "Name it with region=… in the address, or in AWS_REGION.")
		}
		cfg.Region = "us-east-1" // what stores without regions sign for
	}
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		if ctx.Err() != nil {
			return cfg, wrap(ctx.Err(), "open "+at.String())
		}
		return cfg, allod.WithHint(allod.Errorf(allod.Denied, "open %s: there are no credentials: %w", at, &answer{"neither the environment nor the shared configuration nor the machine gives any", err}),
			"Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile with profile=… in the address, or give the machine a role.")
	}
	return cfg, nil
}

// look makes sure that the bucket is there and learns whether it keeps versions.
func (s *Store) look(ctx context.Context) error {
	v, err := s.client.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &s.at.Bucket})
	if err == nil {
		s.keeps = v.Status != ""
		return nil
	}
	s.keeps = true // unless the store says otherwise
	if wrapped := wrap(err, "open "+s.at.String()); allod.KindOf(wrapped) != allod.Denied && allod.KindOf(wrapped) != allod.Invalid {
		return wrapped
	}
	_, err = s.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &s.at.Bucket, Prefix: &s.prefix, MaxKeys: aws.Int32(1)})
	return wrap(err, "open "+s.at.String())
}

// String returns the bucket and the prefix.
func (s *Store) String() string { return s.at.String() }

// KeepsVersions implements blob.Versioned, as of Open.
func (s *Store) KeepsVersions() bool { return s.keeps }

// key returns the key of an object.
func (s *Store) key(ctx context.Context, what, name string) (*string, error) {
	if err := blob.CheckName(name); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, allod.Errorf(allod.Unavailable, "%s %s: %w", what, name, err)
	}
	return aws.String(s.prefix + name), nil
}

// Get implements blob.Store. A connection that breaks is taken up again where
// it broke, if the object is still the same.
func (s *Store) Get(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	return s.get(ctx, name, nil, off, n)
}

// GetVersion implements blob.Versioned.
func (s *Store) GetVersion(ctx context.Context, name, id string, off, n int64) (io.ReadCloser, error) {
	return s.get(ctx, name, &id, off, n)
}

func (s *Store) get(ctx context.Context, name string, id *string, off, n int64) (io.ReadCloser, error) {
	key, err := s.key(ctx, "get", name)
	if err != nil {
		return nil, err
	}
	if off < 0 {
		return nil, allod.Errorf(allod.Invalid, "get %s: offset %d", name, off)
	}
	b := &body{ctx: ctx, s: s, name: name, in: s3.GetObjectInput{Bucket: &s.at.Bucket, Key: key, VersionId: id}, off: off, end: -1}
	if n >= 0 {
		b.end = off + max(n, 1) // no bytes: ask for one, to learn whether there is such an object
		if b.end < off {
			b.end = -1
		}
	}
	err = b.open()
	if code, status := codeOf(err); code == "InvalidRange" || status == http.StatusRequestedRangeNotSatisfiable {
		return io.NopCloser(bytes.NewReader(nil)), nil
	}
	if id != nil && isMissingVersion(err) {
		return nil, allod.Errorf(allod.NotFound, "get a version of %s: %w", name, blob.ErrNotFound)
	}
	if err != nil {
		return nil, wrap(err, "get "+name)
	}
	if n == 0 {
		return io.NopCloser(bytes.NewReader(nil)), b.Close()
	}
	return b, nil
}

// maxResumes bounds how often one body is taken up again without a byte having
// come in between.
const maxResumes = 3

// body reads an object, or a range of it.
type body struct {
	ctx  context.Context // of the call that opened it
	s    *Store
	name string
	in   s3.GetObjectInput
	rc   io.ReadCloser

	off, end int64 // next byte, and the one behind the last; end -1 = not known
	broken   error // why the connection is to be taken up again
	resumes  int
}

// open asks for the bytes from off on.
func (b *body) open() error {
	b.in.Range = nil
	switch {
	case b.end >= 0:
		b.in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", b.off, b.end-1))
	case b.off > 0:
		b.in.Range = aws.String(fmt.Sprintf("bytes=%d-", b.off))
	}
	out, err := b.s.client.GetObject(b.ctx, &b.in)
	if err != nil {
		return err
	}
	if out.ContentLength == nil || *out.ContentLength < 0 {
		return errors.Join(errors.New("the store does not say how many bytes there are"), out.Body.Close())
	}
	b.rc, b.end, b.in.IfMatch = out.Body, b.off+*out.ContentLength, out.ETag
	return nil
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	for {
		if b.off >= b.end {
			return 0, io.EOF
		}
		if b.broken != nil {
			if b.resumes++; b.resumes > maxResumes || b.ctx.Err() != nil {
				return 0, wrap(errors.Join(b.ctx.Err(), b.broken), "get "+b.name)
			}
			if err := b.open(); err != nil {
				return 0, wrap(err, "get "+b.name)
			}
			b.broken = nil
		}
		n, err := b.rc.Read(p[:min(int64(len(p)), b.end-b.off)])
		b.off += int64(n)
		if n > 0 {
			b.resumes = 0
		}
		if err != nil && b.off < b.end {
			b.broken = errors.Join(fmt.Errorf("it broke off at byte %d", b.off), err, b.rc.Close())
		}
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
}

// Close implements io.Closer.
func (b *body) Close() error {
	_ = b.rc.Close() // nothing was written
	return nil
}

// Stat implements blob.Store.
func (s *Store) Stat(ctx context.Context, name string) (blob.Info, error) {
	key, err := s.key(ctx, "stat", name)
	if err != nil {
		return blob.Info{}, err
	}
	head, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.at.Bucket, Key: key})
	if err == nil {
		return blob.Info{Name: name, Size: aws.ToInt64(head.ContentLength), Modified: aws.ToTime(head.LastModified).UTC()}, nil
	}
	if isMissing(err) {
		// An answer without a body does not say whether it is the object or the
		// bucket that is missing.
		r, gerr := s.get(ctx, name, nil, 0, 1)
		if gerr == nil {
			return blob.Info{}, errors.Join(allod.Errorf(allod.Unavailable, "stat %s: it has come meanwhile", name), r.Close())
		}
		return blob.Info{}, allod.WithHint(allod.Errorf(allod.KindOf(gerr), "stat %s: %w", name, gerr), "%s", allod.HintOf(gerr))
	}
	return blob.Info{}, wrap(err, "stat "+name)
}

// List implements blob.Store. Keys that no object of ours can have are left out.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		if err := blob.CheckPrefix(prefix); err != nil {
			yield(blob.Info{}, err)
			return
		}
		in := &s3.ListObjectsV2Input{Bucket: &s.at.Bucket, Prefix: aws.String(s.prefix + prefix)}
		for pages := s3.NewListObjectsV2Paginator(s.client, in); pages.HasMorePages(); {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(blob.Info{}, wrap(err, "list "+prefix))
				return
			}
			for _, o := range page.Contents {
				name, ok := strings.CutPrefix(aws.ToString(o.Key), s.prefix)
				if !ok || blob.CheckName(name) != nil {
					continue
				}
				if !yield(blob.Info{Name: name, Size: aws.ToInt64(o.Size), Modified: aws.ToTime(o.LastModified).UTC()}, nil) {
					return
				}
			}
		}
	}
}

// token is a mark by which a put knows its own object again.
func token() string { return strings.ToLower(rand.Text()) }
