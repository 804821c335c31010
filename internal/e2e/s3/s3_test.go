// Package s3_test tries vaults in S3 against a server made by others.
package s3_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"allod/internal/blob/blobcheck"
	"allod/internal/blob/s3"
	"allod/internal/e2e/s3server"
)

func TestMain(m *testing.M) {
	for name, value := range s3server.Env() {
		if err := os.Setenv(name, value); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// integration skips a test that needs an S3 server.
func integration(t *testing.T) {
	t.Helper()
	if os.Getenv("ALLOD_INTEGRATION") == "" {
		t.Skip("it needs an S3 server; ALLOD_INTEGRATION=1 builds and starts one, as make integration does")
	}
}

// startServer runs an S3 server with some buckets.
func startServer(t *testing.T, buckets map[string]s3server.Bucket) *s3server.Server {
	t.Helper()
	integration(t)
	s, err := s3server.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for name, b := range buckets {
		if err := s.MakeBucket(t.Context(), name, b); err != nil {
			t.Fatalf("make bucket %s: %v", name, err)
		}
	}
	return s
}

func openStore(t *testing.T, address string) *s3.Store {
	t.Helper()
	store, err := s3.Open(t.Context(), address, s3.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// TestChecks runs the checks of every store against buckets of three kinds.
func TestChecks(t *testing.T) {
	t.Parallel()
	server := startServer(t, map[string]s3server.Bucket{"plain": {}, "versions": {Versions: true}, "locks": {Locks: true}})
	for bucket, lacks := range map[string]func(blobcheck.Check) bool{
		"plain":        func(c blobcheck.Check) bool { return c.Locks || strings.HasPrefix(c.Name, "version") },
		"versions/a/b": func(c blobcheck.Check) bool { return c.Locks },
		"locks/c":      func(blobcheck.Check) bool { return false },
	} {
		store := openStore(t, server.Address(bucket))
		// The server takes a folder away with its last object, also while
		// somebody puts another into it.
		if err := store.Replace(t.Context(), "blobcheck/stays", nil); err != nil {
			t.Fatal(err)
		}
		for _, c := range blobcheck.Checks() {
			t.Run(bucket+"/"+c.Name, func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()
				err := c.Run(ctx, store)
				var skipped blobcheck.Skipped
				if errors.As(err, &skipped) && lacks(c) {
					return
				}
				if err != nil {
					t.Errorf("%v (%s)", err, c.Why)
				}
			})
		}
	}
}
