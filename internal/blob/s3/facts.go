package s3

import (
	"context"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"allod/internal/blob"
)

// Describe implements blob.Describer with four questions to the bucket. S3 has
// no soft delete: a version that was deleted by its id is gone (Amazon S3 user
// guide, "Deleting object versions from a versioning-enabled bucket").
func (s *Store) Describe(ctx context.Context) (blob.Facts, error) {
	f := blob.Facts{Kind: "s3", Versions: blob.KeepsUnknown}
	for _, q := range []struct {
		what, right string
		ask         func(context.Context, *blob.Facts) error
	}{
		{"versioning", "s3:GetBucketVersioning", s.askVersioning},
		{"object lock", "s3:GetBucketObjectLockConfiguration", s.askLocks},
		{"replication", "s3:GetReplicationConfiguration", s.askReplication},
		{"lifecycle", "s3:GetLifecycleConfiguration", s.askLifecycle},
	} {
		err := q.ask(ctx, &f)
		if err == nil {
			continue
		}
		code, status := codeOf(err)
		switch {
		case status == http.StatusForbidden:
			f.Unread = append(f.Unread, blob.Unread{What: q.what, Why: "the right " + q.right + " is missing", Refused: true})
		case status == http.StatusNotImplemented || code == "NotImplemented" || status == http.StatusMethodNotAllowed:
			f.Unread = append(f.Unread, blob.Unread{What: q.what, Why: "this store has no such question"})
		default:
			return blob.Facts{}, wrap(err, "ask "+s.at.String()+" for its "+q.what)
		}
	}
	f.Unread = append(f.Unread, blob.Unread{What: "media", Why: "how long the store's own disks and backups keep what was deleted is not told"})
	return f, nil
}

func (s *Store) askVersioning(ctx context.Context, f *blob.Facts) error {
	out, err := s.client.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &s.at.Bucket})
	if err != nil {
		return err
	}
	switch out.Status {
	case types.BucketVersioningStatusEnabled:
		f.Versions = blob.KeepsAll
	case types.BucketVersioningStatusSuspended:
		f.Versions = blob.KeepsSuspended
	case "":
		f.Versions = blob.KeepsNone
	}
	return nil
}

func (s *Store) askLocks(ctx context.Context, f *blob.Facts) error {
	out, err := s.client.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: &s.at.Bucket})
	if code, status := codeOf(err); code == "ObjectLockConfigurationNotFoundError" || status == http.StatusNotFound && code != "NoSuchBucket" {
		return nil
	}
	if err != nil {
		return err
	}
	c := out.ObjectLockConfiguration
	if c == nil {
		return nil
	}
	f.Locks = c.ObjectLockEnabled == types.ObjectLockEnabledEnabled
	if c.Rule != nil && c.Rule.DefaultRetention != nil {
		r := c.Rule.DefaultRetention
		f.DefaultLock = strings.ToLower(string(r.Mode))
		f.DefaultLockDays = int(aws.ToInt32(r.Days)) + 366*int(aws.ToInt32(r.Years))
	}
	return nil
}

func (s *Store) askReplication(ctx context.Context, f *blob.Facts) error {
	out, err := s.client.GetBucketReplication(ctx, &s3.GetBucketReplicationInput{Bucket: &s.at.Bucket})
	if code, _ := codeOf(err); code == "ReplicationConfigurationNotFoundError" {
		return nil
	}
	if err != nil {
		return err
	}
	if out.ReplicationConfiguration == nil {
		return nil
	}
	for _, r := range out.ReplicationConfiguration.Rules {
		if r.Status == types.ReplicationRuleStatusEnabled && r.Destination != nil {
			f.Copies = append(f.Copies, aws.ToString(r.Destination.Bucket))
		}
	}
	return nil
}

// askLifecycle notes the rules that delete objects of this store by themselves.
// Rules that only move them to another class, or abort uploads, keep them.
func (s *Store) askLifecycle(ctx context.Context, f *blob.Facts) error {
	out, err := s.client.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: &s.at.Bucket})
	if code, _ := codeOf(err); code == "NoSuchLifecycleConfiguration" {
		return nil
	}
	if err != nil {
		return err
	}
	for _, r := range out.Rules {
		if rule, ok := ruleOf(r, s.prefix); ok {
			f.Rules = append(f.Rules, rule)
		}
	}
	return nil
}

// ruleOf reads a lifecycle rule; false if it deletes nothing under the prefix.
// A rule for tags or sizes counts as one for all: who may tag may delete.
func ruleOf(r types.LifecycleRule, prefix string) (blob.Rule, bool) {
	rule := blob.Rule{Name: aws.ToString(r.ID), Prefix: aws.ToString(r.Prefix)} //nolint:staticcheck // old rules have it there
	if r.Filter != nil && r.Filter.Prefix != nil {
		rule.Prefix = *r.Filter.Prefix
	}
	if r.Filter != nil && r.Filter.And != nil {
		rule.Prefix = aws.ToString(r.Filter.And.Prefix)
	}
	if r.Status != types.ExpirationStatusEnabled || !strings.HasPrefix(rule.Prefix, prefix) && !strings.HasPrefix(prefix, rule.Prefix) {
		return rule, false
	}
	if e := r.Expiration; e != nil && (e.Days != nil || e.Date != nil) {
		rule.Current, rule.Days = true, int(aws.ToInt32(e.Days))
		return rule, true
	}
	if e := r.NoncurrentVersionExpiration; e != nil {
		rule.Days = int(aws.ToInt32(e.NoncurrentDays))
		return rule, true
	}
	return rule, false
}
