package s3

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"allod"
	"allod/internal/blob"
)

// tokenKey is the name of the metadata that holds the token of the put.
const tokenKey = "allod-put"

// maxParts of one upload (Amazon S3 multipart upload limits).
const maxParts = 10000

// Put implements blob.Store. An object of more than Options.Part bytes goes up
// in parts, of which one is held in memory; the request that joins them is the
// conditional one. A request that was answered too late to be heard and is
// tried again finds its own object: it bears a token of the put.
func (s *Store) Put(ctx context.Context, name string, r io.Reader, size int64, opts blob.PutOptions) error {
	key, err := s.key(ctx, "put", name)
	if err != nil {
		return err
	}
	if !opts.RetainUntil.IsZero() && !s.canLock(ctx) { // asked before: a store may refuse the lock and keep the object
		return noLock("put " + name)
	}
	limit := s.part
	if size >= 0 {
		limit = min(limit, size)
	}
	first, err := io.ReadAll(io.LimitReader(r, limit+1)) // one more byte tells whether there are more
	if err != nil {
		return allod.Errorf(allod.KindOf(err), "put %s: %w", name, err)
	}
	p := &upload{s: s, name: name, key: key, opts: opts, token: token()}
	if int64(len(first)) > s.part {
		return p.parts(ctx, io.MultiReader(bytes.NewReader(first), r), size)
	}
	if size >= 0 && int64(len(first)) != size {
		return wrongSize(name, size)
	}
	return p.whole(ctx, first)
}

func wrongSize(name string, size int64) error {
	return allod.Errorf(allod.Invalid, "put %s: size differs from the %d bytes announced", name, size)
}

// Replace implements blob.Mutable. On a versioned bucket what was there stays
// behind as a version until Delete or DeleteVersion removes it.
func (s *Store) Replace(ctx context.Context, name string, data []byte) error {
	key, err := s.key(ctx, "replace", name)
	if err != nil {
		return err
	}
	_, err = s.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.at.Bucket, Key: key, Body: bytes.NewReader(data), ContentLength: aws.Int64(int64(len(data))), ContentMD5: digest(data),
	})
	return wrap(err, "replace "+name)
}

// digest is the checksum that every store knows, and that Object Lock asks for:
// it protects the bytes on their way, not against anybody.
func digest(data []byte) *string {
	sum := md5.Sum(data)
	return aws.String(base64.StdEncoding.EncodeToString(sum[:]))
}

// upload is one Put on its way.
type upload struct {
	s     *Store
	name  string
	key   *string
	opts  blob.PutOptions
	token string
}

func (p *upload) lock() (types.ObjectLockMode, *time.Time) {
	if p.opts.RetainUntil.IsZero() {
		return "", nil
	}
	return types.ObjectLockModeCompliance, aws.Time(p.opts.RetainUntil.UTC())
}

// whole puts an object in one request.
func (p *upload) whole(ctx context.Context, data []byte) error {
	mode, until := p.lock()
	_, err := p.s.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &p.s.at.Bucket, Key: p.key, Body: bytes.NewReader(data), ContentLength: aws.Int64(int64(len(data))), ContentMD5: digest(data),
		IfNoneMatch: aws.String("*"), Metadata: map[string]string{tokenKey: p.token}, ObjectLockMode: mode, ObjectLockRetainUntilDate: until,
	})
	return p.outcome(ctx, err)
}

// parts puts an object of several parts. When it fails nothing stays behind
// that would have to be paid for.
func (p *upload) parts(ctx context.Context, r io.Reader, size int64) error {
	if _, err := p.s.Stat(ctx, p.name); err == nil { // the condition is asked at the end, after all bytes went up
		return allod.Errorf(allod.Conflict, "put %s: %w", p.name, blob.ErrExists)
	}
	mode, until := p.lock()
	made, err := p.s.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: &p.s.at.Bucket, Key: p.key, Metadata: map[string]string{tokenKey: p.token}, ObjectLockMode: mode, ObjectLockRetainUntilDate: until,
	})
	if err != nil {
		return p.outcome(ctx, err)
	}
	done, err := p.send(ctx, made.UploadId, r, size)
	if err == nil {
		_, err = p.s.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
			Bucket: &p.s.at.Bucket, Key: p.key, UploadId: made.UploadId, IfNoneMatch: aws.String("*"),
			MultipartUpload: &types.CompletedMultipartUpload{Parts: done},
		})
		err = p.outcome(ctx, err)
	}
	if err == nil {
		return nil
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	_, aerr := p.s.client.AbortMultipartUpload(late, &s3.AbortMultipartUploadInput{Bucket: &p.s.at.Bucket, Key: p.key, UploadId: made.UploadId})
	if code, _ := codeOf(aerr); code == "NoSuchUpload" {
		aerr = nil
	}
	if aerr != nil { // err first: it decides the Kind
		return allod.WithHint(allod.Errorf(allod.KindOf(err), "%w; its parts could not be removed: %w", err, wrap(aerr, "abort the upload")),
			"A lifecycle rule that aborts incomplete uploads removes them (docs/stores.md).")
	}
	return err
}

// send sends the parts one after the other.
func (p *upload) send(ctx context.Context, id *string, r io.Reader, size int64) ([]types.CompletedPart, error) {
	var done []types.CompletedPart
	buf := make([]byte, p.s.part)
	total := int64(0)
	for n := int32(1); ; n++ {
		k, err := io.ReadFull(r, buf)
		total += int64(k)
		end := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !end {
			return nil, allod.Errorf(allod.KindOf(err), "put %s: %w", p.name, err)
		}
		if size >= 0 && (total > size || end && total < size) {
			return nil, wrongSize(p.name, size)
		}
		if k > 0 {
			if n > maxParts {
				return nil, allod.Errorf(allod.Invalid, "put %s: it has more than %d bytes", p.name, maxParts*p.s.part)
			}
			out, err := p.s.client.UploadPart(ctx, &s3.UploadPartInput{
				Bucket: &p.s.at.Bucket, Key: p.key, UploadId: id, PartNumber: aws.Int32(n),
				Body: bytes.NewReader(buf[:k]), ContentLength: aws.Int64(int64(k)), ContentMD5: digest(buf[:k]),
			})
			if err != nil {
				return nil, wrap(err, "put "+p.name)
			}
			done = append(done, types.CompletedPart{ETag: out.ETag, PartNumber: aws.Int32(n)})
		}
		if end {
			return done, nil
		}
	}
}

// outcome reads the answer to the request that makes the object.
func (p *upload) outcome(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	what := "put " + p.name
	code, status := codeOf(err)
	switch {
	case status == http.StatusPreconditionFailed, code == "NoSuchUpload":
		// An earlier try of this very request may have made it.
		head, herr := p.s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &p.s.at.Bucket, Key: p.key})
		if herr == nil && head.Metadata[tokenKey] == p.token {
			return nil
		}
		if code == "NoSuchUpload" {
			return allod.Errorf(allod.Unavailable, "%s: the store has lost the upload: %w", what, err)
		}
		return allod.Errorf(allod.Conflict, "%s: %w", what, blob.ErrExists)
	case code == "ConditionalRequestConflict", code == "OperationAborted":
		return allod.Errorf(allod.Unavailable, "%s: others write to the same name: %w", what, err)
	}
	return wrap(err, what)
}

func noLock(what string) error {
	return allod.WithHint(allod.Errorf(allod.Invalid, "%s: %w", what, blob.ErrLockUnsupported), "Object Lock is switched on when a bucket is made (docs/stores.md).")
}

// canLock reports whether the bucket has Object Lock, which nobody can switch
// off again; true if it does not say.
func (s *Store) canLock(ctx context.Context) bool {
	if s.locks.Load() {
		return true
	}
	var f blob.Facts
	err := s.askLocks(ctx, &f)
	if _, status := codeOf(err); err != nil && (status == http.StatusNotImplemented || status == http.StatusBadRequest) {
		return false
	}
	s.locks.Store(f.Locks)
	return f.Locks || err != nil
}
