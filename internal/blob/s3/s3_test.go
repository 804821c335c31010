package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"

	"allod"
	"allod/internal/blob"
)

// script is a fake of a bucket that says so: it answers what a test tells it
// to, for the answers that a healthy server does not give. The checks against a
// real one are in internal/e2e/s3.
type script struct {
	mu     sync.Mutex
	seen   []string // method, path and query of each request but the first
	bodies []string
	answer func(n int, r *http.Request, w http.ResponseWriter) // n counts from 1, without the request of Open
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if r.URL.Query().Has("versioning") {
		fmt.Fprint(w, `<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>`)
		return
	}
	s.mu.Lock()
	s.seen = append(s.seen, strings.TrimSuffix(r.Method+" "+r.URL.Path+"?"+r.URL.RawQuery, "?"))
	s.bodies = append(s.bodies, string(body))
	n := len(s.seen)
	s.mu.Unlock()
	s.answer(n, r, w)
}

func (s *script) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.seen...)
}

func say(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `<Error><Code>%s</Code><Message>said the fake</Message></Error>`, code)
}

func isolate(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1", "AWS_PROFILE": "", "AWS_SESSION_TOKEN": "",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		t.Setenv(name, value)
	}
}

func scripted(t *testing.T, o Options, answer func(n int, r *http.Request, w http.ResponseWriter)) (*Store, *script) {
	t.Helper()
	isolate(t)
	s := &script{answer: answer}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	store, err := Open(t.Context(), "s3://bucket/p?endpoint="+server.URL, o)
	if err != nil {
		t.Fatal(err)
	}
	return store, s
}

func put(t *testing.T, s *Store, data string) error {
	t.Helper()
	return s.Put(t.Context(), "a", strings.NewReader(data), int64(len(data)), blob.PutOptions{})
}

// TestConflictIsNoAnswer: 409 decides nothing and is tried again, 412 says that
// the object exists.
func TestConflictIsNoAnswer(t *testing.T) {
	store, s := scripted(t, Options{}, func(n int, r *http.Request, w http.ResponseWriter) {
		switch {
		case r.Header.Get("If-None-Match") != "*":
			say(w, http.StatusTeapot, "NotConditional")
		case n == 1:
			say(w, http.StatusConflict, "ConditionalRequestConflict")
		}
	})
	if err := put(t, store, "x"); err != nil {
		t.Errorf("put answered with 409 and then 200: %v", err)
	}
	if got := len(s.requests()); got != 2 {
		t.Errorf("%d requests, want 2: %v", got, s.requests())
	}
	store, _ = scripted(t, Options{Attempts: 2}, func(_ int, _ *http.Request, w http.ResponseWriter) {
		say(w, http.StatusConflict, "ConditionalRequestConflict")
	})
	if err := put(t, store, "x"); errors.Is(err, blob.ErrExists) || allod.KindOf(err) != allod.Unavailable {
		t.Errorf("put answered with 409 for ever: %v (kind %v), want unavailable", err, allod.KindOf(err))
	}
	store, _ = scripted(t, Options{}, func(_ int, r *http.Request, w http.ResponseWriter) {
		if r.Method == http.MethodHead {
			w.Header().Set("x-amz-meta-allod-put", "another's")
			return
		}
		say(w, http.StatusPreconditionFailed, "PreconditionFailed")
	})
	if err := put(t, store, "x"); !errors.Is(err, blob.ErrExists) || allod.KindOf(err) != allod.Conflict {
		t.Errorf("put answered with 412: %v, want that it exists", err)
	}
}

// TestOwnObjectIsKnown: the first try made the object and its answer was lost;
// the second is told that the object exists.
func TestOwnObjectIsKnown(t *testing.T) {
	for name, part := range map[string]int64{"whole": 0, "parts": 5 << 20} {
		t.Run(name, func(t *testing.T) {
			token := ""
			store, _ := scripted(t, Options{Part: part}, func(n int, r *http.Request, w http.ResponseWriter) {
				q := r.URL.Query()
				switch {
				case r.Method == http.MethodHead && token == "":
					w.WriteHeader(http.StatusNotFound)
				case r.Method == http.MethodGet:
					say(w, http.StatusNotFound, "NoSuchKey")
				case r.Method == http.MethodHead:
					w.Header().Set("x-amz-meta-allod-put", token)
				case q.Has("uploads"):
					token = r.Header.Get("x-amz-meta-allod-put")
					fmt.Fprint(w, `<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>`)
				case q.Has("partNumber"):
					w.Header().Set("ETag", `"e"`)
				case q.Has("uploadId") && r.Header.Get("If-None-Match") == "*":
					say(w, http.StatusNotFound, "NoSuchUpload")
				case token == "" && r.Header.Get("If-None-Match") == "*":
					token = r.Header.Get("x-amz-meta-allod-put")
					say(w, http.StatusInternalServerError, "InternalError")
				default:
					say(w, http.StatusPreconditionFailed, "PreconditionFailed")
				}
			})
			if err := put(t, store, strings.Repeat("x", int(part)+1)); err != nil || token == "" {
				t.Errorf("put: %v, want that it is done", err)
			}
		})
	}
}

// TestParts: an object of several parts goes up part by part, is joined under
// the condition, and leaves nothing when it fails.
func TestParts(t *testing.T) {
	const part = 5 << 20
	for _, tc := range []struct {
		name      string
		size      int64 // announced
		bytes     int
		fail      string // request that fails, by its query
		code      string
		kind      allod.Kind
		completed bool
	}{
		{"done", -1, 2*part + 1, "", "", 0, true},
		{"of a known size", 2 * part, 2 * part, "", "", 0, true},
		{"too short", 2*part + 1, 2 * part, "", "", allod.Invalid, false},
		{"too long", part + 1, 2 * part, "", "", allod.Invalid, false},
		{"a part fails", -1, 2*part + 1, "partNumber=2", "AccessDenied", allod.Denied, false},
		{"somebody was faster", -1, 2 * part, "complete", "PreconditionFailed", allod.Conflict, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			made, completed, aborted := 0, false, false
			store, s := scripted(t, Options{Part: part, Attempts: 1}, func(_ int, r *http.Request, w http.ResponseWriter) {
				q := r.URL.Query()
				status := map[string]int{"AccessDenied": 403, "PreconditionFailed": 412}[tc.code]
				switch {
				case r.Method == http.MethodHead:
					w.WriteHeader(http.StatusNotFound)
				case r.Method == http.MethodGet:
					say(w, http.StatusNotFound, "NoSuchKey")
				case r.Method == http.MethodDelete:
					aborted = true
					w.WriteHeader(http.StatusNoContent)
				case q.Has("uploads"):
					made++
					fmt.Fprint(w, `<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>`)
				case q.Has("partNumber"):
					if "partNumber="+q.Get("partNumber") == tc.fail {
						say(w, status, tc.code)
						return
					}
					if r.Header.Get("Content-MD5") == "" {
						say(w, http.StatusTeapot, "NoChecksum")
						return
					}
					w.Header().Set("ETag", `"e`+q.Get("partNumber")+`"`)
				case tc.fail == "complete":
					say(w, status, tc.code)
				case r.Header.Get("If-None-Match") != "*":
					say(w, http.StatusTeapot, "NotConditional")
				default:
					completed = true
					fmt.Fprint(w, `<CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>`)
				}
			})
			err := store.Put(t.Context(), "a", strings.NewReader(strings.Repeat("x", tc.bytes)), tc.size, blob.PutOptions{})
			if allod.KindOf(err) != tc.kind {
				t.Errorf("put: %v (kind %v), want kind %v", err, allod.KindOf(err), tc.kind)
			}
			if completed != tc.completed || aborted == tc.completed || made != 1 {
				t.Errorf("completed %v, aborted %v after %v", completed, aborted, s.requests())
			}
		})
	}
}

// TestBrokenConnections: a body that breaks off is taken up where it broke, as
// long as it moves on and the object is the same.
func TestBrokenConnections(t *testing.T) {
	const data = "0123456789"
	for _, tc := range []struct {
		name    string
		give    int // bytes per answer
		changed int // answer from which on the object is another
		want    string
		kind    allod.Kind
	}{
		{"three bytes a time", 3, 99, data, 0},
		{"nothing any more", 0, 99, "", allod.Unavailable},
		{"replaced meanwhile", 4, 2, data[:4], allod.Conflict},
	} {
		t.Run(tc.name, func(t *testing.T) {
			store, s := scripted(t, Options{Attempts: 1}, func(n int, r *http.Request, w http.ResponseWriter) {
				if n >= tc.changed {
					if r.Header.Get("If-Match") == `"first"` {
						say(w, http.StatusPreconditionFailed, "PreconditionFailed")
						return
					}
					say(w, http.StatusTeapot, "NotPinned")
					return
				}
				off := 0
				if from, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok {
					from, _, _ = strings.Cut(from, "-")
					off, _ = strconv.Atoi(from)
				}
				w.Header().Set("ETag", `"first"`)
				w.Header().Set("Content-Length", strconv.Itoa(len(data)-off))
				_, _ = io.WriteString(w, data[off:min(off+tc.give, len(data))])
				if off+tc.give < len(data) {
					w.(http.Flusher).Flush()
					panic(http.ErrAbortHandler)
				}
			})
			r, err := store.Get(t.Context(), "a", 0, -1)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			if string(got) != tc.want || allod.KindOf(err) != tc.kind {
				t.Errorf("got %q, %v (kind %v), want %q and kind %v after %v", got, err, allod.KindOf(err), tc.want, tc.kind, s.requests())
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestKinds: what the store answers becomes a kind and a next step, and a
// bucket that is gone is never an object that is not there.
func TestKinds(t *testing.T) {
	for _, tc := range []struct {
		status int
		code   string
		kind   allod.Kind
		absent bool
		hint   string
	}{
		{404, "NoSuchKey", allod.NotFound, true, ""},
		{404, "NoSuchBucket", allod.NotFound, false, "Make the bucket"},
		{403, "AccessDenied", allod.Denied, false, "rights"},
		{403, "SignatureDoesNotMatch", allod.Denied, false, "credentials"},
		{403, "RequestTimeTooSkewed", allod.Denied, false, "clock"},
		{301, "PermanentRedirect", allod.Invalid, false, "region"},
		{400, "AuthorizationHeaderMalformed", allod.Invalid, false, "region"},
		{400, "EntityTooLarge", allod.Invalid, false, ""},
		{500, "InternalError", allod.Unavailable, false, "later"},
		{503, "SlowDown", allod.Unavailable, false, "later"},
		{501, "NotImplemented", allod.Invalid, false, "allod check store"},
	} {
		t.Run(tc.code, func(t *testing.T) {
			store, _ := scripted(t, Options{Attempts: 1}, func(_ int, r *http.Request, w http.ResponseWriter) {
				w.Header().Set("x-amz-request-id", "4711")
				if r.Method == http.MethodHead {
					w.WriteHeader(tc.status)
					return
				}
				say(w, tc.status, tc.code)
			})
			_, gerr := store.Get(t.Context(), "a", 0, -1)
			errs := map[string]error{"get": gerr}
			if tc.status == 404 {
				_, errs["stat"] = store.Stat(t.Context(), "a")
			}
			for what, err := range errs {
				if allod.KindOf(err) != tc.kind || errors.Is(err, blob.ErrNotFound) != tc.absent || !strings.Contains(allod.HintOf(err), tc.hint) {
					t.Errorf("%s: %v (kind %v, hint %q), want kind %v, absent %v and a hint of %q", what, err, allod.KindOf(err), allod.HintOf(err), tc.kind, tc.absent, tc.hint)
				}
			}
			if got := allod.RequestIDOf(gerr); !tc.absent && got != "4711" {
				t.Errorf("request id %q, want 4711", got)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	isolate(t)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	if _, err := Open(t.Context(), "s3://bucket?endpoint="+gone.URL, Options{Attempts: 1}); allod.KindOf(err) != allod.Unavailable || allod.HintOf(err) == "" {
		t.Errorf("open where nobody answers: %v (kind %v), want unavailable with a hint", err, allod.KindOf(err))
	}
	if _, err := Open(t.Context(), "s3://bucket?ca-file=/does/not/exist", Options{}); allod.KindOf(err) != allod.Invalid {
		t.Errorf("open with a missing authority: %v, want invalid", err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	if _, err := Open(t.Context(), "s3://bucket?endpoint="+gone.URL, Options{}); allod.KindOf(err) != allod.Denied || !strings.Contains(allod.HintOf(err), "AWS_ACCESS_KEY_ID") {
		t.Errorf("open without credentials: %v (kind %v, hint %q), want denied with a hint", err, allod.KindOf(err), allod.HintOf(err))
	}
}

func TestCancelled(t *testing.T) {
	begun := make(chan struct{})
	store, _ := scripted(t, Options{}, func(_ int, r *http.Request, _ http.ResponseWriter) {
		close(begun)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-begun
		cancel()
	}()
	err := store.Put(ctx, "a", strings.NewReader("x"), 1, blob.PutOptions{})
	if !errors.Is(err, context.Canceled) || allod.KindOf(err) != allod.Unavailable {
		t.Errorf("put that is cancelled: %v (kind %v), want cancelled, unavailable", err, allod.KindOf(err))
	}
}

func TestMerge(t *testing.T) {
	at := func(sec int) *time.Time { return aws.Time(time.Date(2026, 11, 21, 12, 0, sec, 0, time.UTC)) }
	version := func(key, id string, sec int, latest bool) types.ObjectVersion {
		return types.ObjectVersion{Key: &key, VersionId: &id, LastModified: at(sec), IsLatest: &latest, Size: aws.Int64(1)}
	}
	marker := func(key, id string, sec int, latest bool) types.DeleteMarkerEntry {
		return types.DeleteMarkerEntry{Key: &key, VersionId: &id, LastModified: at(sec), IsLatest: &latest}
	}
	got := merge(
		[]types.ObjectVersion{version("a", "a3", 9, false), version("a", "a2", 9, false), version("a", "a1", 1, false), version("b", "b1", 1, false), version("c", "c2", 5, true), version("c", "c1", 5, false)},
		[]types.DeleteMarkerEntry{marker("a", "m2", 9, true), marker("a", "m1", 5, false), marker("b", "m3", 1, true)},
	)
	var ids []string
	for _, v := range got {
		ids = append(ids, v.ID)
	}
	want := []string{"m2", "a3", "a2", "m1", "a1", "m3", "b1", "c2", "c1"}
	if d := cmp.Diff(want, ids); d != "" {
		t.Errorf("order: -want +got\n%s", d)
	}
}

// TestDescribe: what the bucket says, does not say, and refuses to say.
func TestDescribe(t *testing.T) {
	store, _ := scripted(t, Options{Attempts: 1}, func(_ int, r *http.Request, w http.ResponseWriter) {
		switch q := r.URL.Query(); {
		case q.Has("object-lock"):
			fmt.Fprint(w, `<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>COMPLIANCE</Mode><Years>1</Years></DefaultRetention></Rule></ObjectLockConfiguration>`)
		case q.Has("replication"):
			fmt.Fprint(w, `<ReplicationConfiguration><Role>r</Role>
				<Rule><Status>Enabled</Status><Destination><Bucket>arn:aws:s3:::copy</Bucket></Destination></Rule>
				<Rule><Status>Disabled</Status><Destination><Bucket>arn:aws:s3:::not</Bucket></Destination></Rule></ReplicationConfiguration>`)
		case q.Has("lifecycle"):
			fmt.Fprint(w, `<LifecycleConfiguration>
				<Rule><ID>all</ID><Status>Enabled</Status><Filter/><Expiration><Days>30</Days></Expiration></Rule>
				<Rule><ID>old</ID><Status>Enabled</Status><Filter><Prefix>p/slots/</Prefix></Filter><NoncurrentVersionExpiration><NoncurrentDays>7</NoncurrentDays></NoncurrentVersionExpiration></Rule>
				<Rule><ID>off</ID><Status>Disabled</Status><Filter/><Expiration><Days>1</Days></Expiration></Rule>
				<Rule><ID>elsewhere</ID><Status>Enabled</Status><Filter><And><Prefix>q/</Prefix></And></Filter><Expiration><Days>1</Days></Expiration></Rule>
				<Rule><ID>uploads</ID><Status>Enabled</Status><Filter/><AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>
				</LifecycleConfiguration>`)
		}
	})
	got, err := store.Describe(t.Context())
	want := blob.Facts{
		Kind: "s3", Versions: blob.KeepsAll, Locks: true, DefaultLock: "compliance", DefaultLockDays: 366, Copies: []string{"arn:aws:s3:::copy"},
		Rules:  []blob.Rule{{Name: "all", Current: true, Days: 30}, {Name: "old", Prefix: "p/slots/", Days: 7}},
		Unread: []blob.Unread{{What: "media", Why: "how long the store's own disks and backups keep what was deleted is not told"}},
	}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("describe: %v, -want +got\n%s", err, d)
	}
	store, _ = scripted(t, Options{Attempts: 1}, func(_ int, r *http.Request, w http.ResponseWriter) {
		switch q := r.URL.Query(); {
		case q.Has("object-lock"):
			say(w, http.StatusNotFound, "ObjectLockConfigurationNotFoundError")
		case q.Has("replication"):
			say(w, http.StatusForbidden, "AccessDenied")
		case q.Has("lifecycle"):
			say(w, http.StatusNotImplemented, "NotImplemented")
		}
	})
	got, err = store.Describe(t.Context())
	want = blob.Facts{Kind: "s3", Versions: blob.KeepsAll, Unread: []blob.Unread{
		{What: "replication", Why: "the right s3:GetReplicationConfiguration is missing", Refused: true},
		{What: "lifecycle", Why: "this store has no such question"},
		{What: "media", Why: "how long the store's own disks and backups keep what was deleted is not told"},
	}}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("describe: %v, -want +got\n%s", err, d)
	}
	store, _ = scripted(t, Options{Attempts: 1}, func(_ int, _ *http.Request, w http.ResponseWriter) { say(w, http.StatusServiceUnavailable, "SlowDown") })
	if _, err := store.Describe(t.Context()); allod.KindOf(err) != allod.Unavailable {
		t.Errorf("describe a store that is busy: %v, want unavailable", err)
	}
}
