// Package s3server runs versitygw, an S3 server made by others, for tests: with
// versions and Object Lock, at an address that stays the same when the server
// is killed and started again. The server is built once, into .tools of the
// repository.
package s3server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Version of versitygw that is built.
const Version = "v1.8.0"

// What the server accepts.
const (
	accessKey = "allodtest"
	secretKey = "only-a-test-would-use-this-one"
	region    = "us-east-1"
)

// Env is what a process needs to sign in to any Server, and to look for
// credentials nowhere else: NAME, VALUE pairs.
func Env() map[string]string {
	return map[string]string{
		"AWS_ACCESS_KEY_ID": accessKey, "AWS_SECRET_ACCESS_KEY": secretKey, "AWS_REGION": region, "AWS_SESSION_TOKEN": "",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_PROFILE": "",
	}
}

// Server is a running server. Methods may be called from several goroutines,
// but Kill, Restart and Close one at a time.
type Server struct {
	dir    string // of everything it keeps
	binary string
	listen net.Listener
	conns  sync.WaitGroup

	mu   sync.Mutex
	cmd  *exec.Cmd
	left int64  // request bytes until fire; 0 = never
	fire func() // called once, from a goroutine of its own
}

// Start runs a server with nothing in it until Close. It builds the program if
// it is not there yet, which takes a minute and the network.
func Start(ctx context.Context) (*Server, error) {
	binary, err := install(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "s3") // a socket's path is short
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, binary: binary}
	for _, sub := range []string{"data", "versions"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
	}
	if s.listen, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	s.conns.Add(1)
	go s.accept()
	if err := s.Restart(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// install builds the server's program if it is not there.
func install(ctx context.Context) (string, error) {
	_, self, _, _ := runtime.Caller(0)
	folder := filepath.Join(filepath.Dir(self), "..", "..", "..", ".tools", "versitygw-"+Version)
	binary := filepath.Join(folder, "versitygw")
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	cmd := exec.CommandContext(ctx, "go", "install", "github.com/versity/versitygw/cmd/versitygw@"+Version)
	cmd.Env = append(os.Environ(), "GOBIN="+folder, "GOFLAGS=", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build versitygw: %w: %s", err, out)
	}
	return binary, nil
}

// socket is where the server listens; what is shown is the proxy before it.
func (s *Server) socket() string { return filepath.Join(s.dir, "gw") }

// Restart starts the server, on what it kept.
func (s *Server) Restart(ctx context.Context) error {
	_ = os.Remove(s.socket()) // a killed server leaves it

	cmd := exec.Command(s.binary, "--quiet", "--port", s.socket(), "--health", "/health", //nolint:noctx // it outlives the call; Kill ends it
		"posix", "--versioning-dir", filepath.Join(s.dir, "versions"), filepath.Join(s.dir, "data"))
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+accessKey, "ROOT_SECRET_KEY="+secretKey, "VGW_REGION="+region)
	if err := cmd.Start(); err != nil {
		return err
	}
	s.mu.Lock()
	s.cmd = cmd
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := s.healthy(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("start versitygw: it does not answer: %w", err), s.Kill())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *Server) healthy(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Endpoint()+"/health", nil)
	if err != nil {
		return err
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", res.StatusCode)
	}
	return errors.Join(err, res.Body.Close())
}

// Kill ends the server at once, whatever it is doing.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return nil
	}
	err := s.cmd.Process.Kill()
	_ = s.cmd.Wait() // it was killed, which is what Wait says
	s.cmd = nil
	return err
}

// Close ends the server and removes everything that it kept.
func (s *Server) Close() error {
	err := errors.Join(s.Kill(), s.listen.Close())
	s.conns.Wait()
	return errors.Join(err, os.RemoveAll(s.dir))
}

// After calls do once n more bytes of requests have come in, before they are
// passed on: for a server that dies while it is sent an object.
func (s *Server) After(n int64, do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left, s.fire = n, do
}

// accept passes connections on to the server.
func (s *Server) accept() {
	defer s.conns.Done()
	for {
		in, err := s.listen.Accept()
		if err != nil {
			return // closed
		}
		s.conns.Add(1)
		go func() {
			defer s.conns.Done()
			s.pass(in)
		}()
	}
}

func (s *Server) pass(in net.Conn) {
	defer func() { _ = in.Close() }()        // either side may have gone away
	out, err := net.Dial("unix", s.socket()) //nolint:noctx // this machine answers at once
	if err != nil {
		return
	}
	defer func() { _ = out.Close() }()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		_, _ = io.Copy(in, out)
		_ = in.Close()
	}()
	_, _ = io.Copy(out, counted{s, in})
	_ = out.Close()
	<-answered
}

// counted counts the bytes of requests.
type counted struct {
	s  *Server
	in io.Reader
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.s.left > 0 {
		if c.s.left -= int64(n); c.s.left <= 0 {
			c.s.left = 0
			go c.s.fire()
		}
	}
	return n, err
}

// Endpoint is the address of the server.
func (s *Server) Endpoint() string { return "http://" + s.listen.Addr().String() }

// Address is the address of a store in it: a bucket, or "bucket/prefix".
func (s *Server) Address(place string) string { return "s3://" + place + "?endpoint=" + s.Endpoint() }

// Client is a plain client of the server: for what an attacker or an
// administrator does beside Allod.
func (s *Server) Client(ctx context.Context) (*s3.Client, error) {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(region), config.WithCredentialsProvider(
		aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: secretKey}, nil
		})))
	if err != nil {
		return nil, err
	}
	return s3.NewFromConfig(cfg, func(o *s3.Options) { o.BaseEndpoint, o.UsePathStyle = aws.String(s.Endpoint()), true }), nil
}

// Bucket says how MakeBucket makes one.
type Bucket struct {
	Versions    bool // keep versions
	Locks       bool // Object Lock; implies Versions
	DefaultDays int  // compliance retention of every new object; implies Locks
}

// MakeBucket makes a bucket.
func (s *Server) MakeBucket(ctx context.Context, name string, b Bucket) error {
	c, err := s.Client(ctx)
	if err != nil {
		return err
	}
	locks := b.Locks || b.DefaultDays > 0
	if _, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &name, ObjectLockEnabledForBucket: &locks}); err != nil {
		return err
	}
	if b.Versions || locks {
		if _, err := c.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
			Bucket: &name, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
		}); err != nil {
			return err
		}
	}
	if b.DefaultDays == 0 {
		return nil
	}
	_, err = c.PutObjectLockConfiguration(ctx, &s3.PutObjectLockConfigurationInput{Bucket: &name, ObjectLockConfiguration: &types.ObjectLockConfiguration{
		ObjectLockEnabled: types.ObjectLockEnabledEnabled,
		Rule: &types.ObjectLockRule{DefaultRetention: &types.DefaultRetention{
			Mode: types.ObjectLockRetentionModeCompliance, Days: aws.Int32(int32(b.DefaultDays)),
		}},
	}})
	return err
}
