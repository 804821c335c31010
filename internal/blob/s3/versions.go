package s3

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"allod"
	"allod/internal/blob"
)

// Versions implements blob.Versioned.
func (s *Store) Versions(ctx context.Context, prefix string) iter.Seq2[blob.Version, error] {
	return func(yield func(blob.Version, error) bool) {
		if err := blob.CheckPrefix(prefix); err != nil {
			yield(blob.Version{}, err)
			return
		}
		in := &s3.ListObjectVersionsInput{Bucket: &s.at.Bucket, Prefix: aws.String(s.prefix + prefix)}
		for pages := s3.NewListObjectVersionsPaginator(s.client, in); pages.HasMorePages(); {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(blob.Version{}, wrap(err, "list the versions of "+prefix))
				return
			}
			for _, v := range merge(page.Versions, page.DeleteMarkers) {
				name, ok := strings.CutPrefix(v.Name, s.prefix)
				if !ok || blob.CheckName(name) != nil {
					continue
				}
				v.Name = name
				if !yield(v, nil) {
					return
				}
			}
		}
	}
}

// merge puts the two lists of a page, each of which is ascending by key and of
// one key the newest first, back into one. Of a version and a marker of the
// same second the current one is newer; if neither is, their order is not known
// and does not matter: no marker hides what is read by its id.
func merge(versions []types.ObjectVersion, markers []types.DeleteMarkerEntry) []blob.Version {
	all := make([]blob.Version, 0, len(versions)+len(markers))
	for _, v := range versions {
		info := blob.Info{Name: aws.ToString(v.Key), Size: aws.ToInt64(v.Size), Modified: aws.ToTime(v.LastModified).UTC()}
		all = append(all, blob.Version{Info: info, ID: aws.ToString(v.VersionId), Current: aws.ToBool(v.IsLatest)})
	}
	for _, m := range markers {
		info := blob.Info{Name: aws.ToString(m.Key), Modified: aws.ToTime(m.LastModified).UTC()}
		all = append(all, blob.Version{Info: info, ID: aws.ToString(m.VersionId), Current: aws.ToBool(m.IsLatest), Marker: true})
	}
	slices.SortStableFunc(all, func(a, b blob.Version) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		if a.Current != b.Current {
			if a.Current {
				return -1
			}
			return 1
		}
		if a.Marker == b.Marker {
			return 0 // as the store has them: its times are whole seconds
		}
		return b.Modified.Compare(a.Modified)
	})
	return all
}

// Delete implements blob.Store and what blob.Versioned says of it. It needs the
// rights to list and to delete versions.
func (s *Store) Delete(ctx context.Context, name string) error {
	if _, err := s.key(ctx, "delete", name); err != nil {
		return err
	}
	var all []blob.Version
	for v, err := range s.Versions(ctx, name) {
		if err != nil {
			return allod.WithHint(allod.Errorf(allod.KindOf(err), "delete %s: %w", name, err), "%s", allod.HintOf(err))
		}
		if v.Name != name {
			if v.Name > name+"/" {
				break // names that begin with this one
			}
			continue
		}
		all = append(all, v)
	}
	var locked error
	for i, v := range slices.Backward(all) {
		if i == 0 && locked != nil {
			return locked // the newest hides the locked one
		}
		err := s.DeleteVersion(ctx, name, v.ID)
		switch {
		case errors.Is(err, blob.ErrLocked):
			locked = err
		case err != nil:
			return err
		}
	}
	return locked
}

// DeleteVersion implements blob.Versioned.
func (s *Store) DeleteVersion(ctx context.Context, name, id string) error {
	key, err := s.key(ctx, "delete a version of", name)
	if err != nil {
		return err
	}
	_, err = s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.at.Bucket, Key: key, VersionId: &id})
	if err == nil || isMissingVersion(err) {
		return nil
	}
	what := "delete a version of " + name
	if _, status := codeOf(err); status >= 400 && status < 500 {
		// Stores say "denied" for a lock as for a missing right.
		if until, lerr := s.lockOf(ctx, key, &id); lerr == nil && !until.IsZero() {
			return allod.WithHint(allod.Errorf(allod.Denied, "%s: %w", what, blob.ErrLocked), "The lock ends %s.", until.Format(time.RFC3339))
		}
	}
	return wrap(err, what)
}

// Lock implements blob.Locker.
func (s *Store) Lock(ctx context.Context, name string, until time.Time) error {
	key, err := s.key(ctx, "lock", name)
	if err != nil {
		return err
	}
	what := "lock " + name
	_, err = s.client.PutObjectRetention(ctx, &s3.PutObjectRetentionInput{
		Bucket: &s.at.Bucket, Key: key, Retention: &types.ObjectLockRetention{Mode: types.ObjectLockRetentionModeCompliance, RetainUntilDate: aws.Time(until.UTC())},
	})
	if err == nil {
		return nil
	}
	if _, status := codeOf(err); status >= 400 && status < 500 && !isMissing(err) {
		if have, lerr := s.lockOf(ctx, key, nil); lerr == nil && have.After(until) {
			return allod.Errorf(allod.Denied, "%s until %s: it is locked until %s: %w", what, until.UTC().Format(time.RFC3339), have.Format(time.RFC3339), blob.ErrLocked)
		}
		if !s.canLock(ctx) {
			return noLock(what)
		}
	}
	return wrap(err, what)
}

// LockedUntil implements blob.Locker.
func (s *Store) LockedUntil(ctx context.Context, name string) (time.Time, error) {
	key, err := s.key(ctx, "ask for the lock of", name)
	if err != nil {
		return time.Time{}, err
	}
	until, err := s.lockOf(ctx, key, nil)
	return until, wrap(err, "ask for the lock of "+name)
}

// lockOf returns until when a version, nil = the current one, is locked; zero
// if it is not.
func (s *Store) lockOf(ctx context.Context, key, id *string) (time.Time, error) {
	out, err := s.client.GetObjectRetention(ctx, &s3.GetObjectRetentionInput{Bucket: &s.at.Bucket, Key: key, VersionId: id})
	if err == nil {
		if out.Retention == nil {
			return time.Time{}, nil
		}
		return aws.ToTime(out.Retention.RetainUntilDate).UTC(), nil
	}
	code, status := codeOf(err)
	if code == "NoSuchObjectLockConfiguration" || code == "ObjectLockConfigurationNotFoundError" || status == http.StatusBadRequest || status == http.StatusNotImplemented {
		return s.defaultLock(ctx, key, id)
	}
	return time.Time{}, err
}

// defaultLock is until when the bucket's default retention locks a version that
// has no lock of its own: AWS writes one to each new object, others reckon when
// they are asked to delete.
func (s *Store) defaultLock(ctx context.Context, key, id *string) (time.Time, error) {
	var f blob.Facts
	if err := s.askLocks(ctx, &f); err != nil || f.DefaultLockDays == 0 {
		return time.Time{}, nil // neither the object nor the bucket has a lock, or nobody may know
	}
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.at.Bucket, Key: key, VersionId: id})
	if err != nil {
		return time.Time{}, err
	}
	return aws.ToTime(out.LastModified).UTC().AddDate(0, 0, f.DefaultLockDays), nil
}
