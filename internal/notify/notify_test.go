package notify

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"allod"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func now() time.Time { return time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC) }

func sender(t *testing.T, c Config, ca []byte) *Sender {
	t.Helper()
	getenv := func(name string) string {
		if name == "MAIL_PASSWORD" {
			return "geheim"
		}
		return ""
	}
	s, err := New(c, ca, getenv, now)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func notices() []Notice {
	return []Notice{
		{Kind: "too-old", Environment: "prod", Text: "prod: the last good backup is 3 days old", Hint: "Run `allod backup prod`.", Since: now()},
		{Kind: "disk", Text: "the disk is no longer nearly full", Since: now(), Over: true},
	}
}

// tlsServer lends its certificate to the mail server of the tests.
func tlsServer(t *testing.T, h http.Handler) (*httptest.Server, []byte) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that are refused on purpose
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

func TestPingAndWebhook(t *testing.T) {
	var got []string
	status := 200
	server, ca := tlsServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got = append(got, r.Method+" "+r.URL.String()+" "+string(body))
		w.WriteHeader(status)
	}))
	s := sender(t, Config{Ping: server.URL + "/uuid?a=b", Webhook: server.URL + "/hook"}, ca)
	for _, good := range []bool{true, false} {
		if err := s.Ping(t.Context(), good); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Tell(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Tell(t.Context(), notices()); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"GET /uuid?a=b ", "GET /uuid/fail?a=b ",
		`POST /hook {"from":"allod","time":"2026-11-21T10:00:00Z","notices":[` +
			`{"kind":"too-old","environment":"prod","text":"prod: the last good backup is 3 days old","hint":"Run ` + "`allod backup prod`" + `.","since":"2026-11-21T10:00:00Z","over":false},` +
			`{"kind":"disk","text":"the disk is no longer nearly full","since":"2026-11-21T10:00:00Z","over":true}]}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !json.Valid([]byte(strings.TrimPrefix(got[2], "POST /hook "))) {
		t.Error("the webhook's body is no JSON")
	}
	status = 500
	if err := s.Ping(t.Context(), true); allod.KindOf(err) != allod.Unavailable || strings.Contains(err.Error(), "uuid") {
		t.Errorf("a server that answers 500: %v", err)
	}
	// Not its authority: refused, and the address is not told.
	if err := sender(t, Config{Ping: server.URL + "/uuid"}, nil).Ping(t.Context(), true); allod.KindOf(err) != allod.Unavailable || strings.Contains(err.Error(), "uuid") {
		t.Errorf("a server of an unknown authority: %v", err)
	}
}

// mailbox is a mail server that keeps what it is told. conf nil = it does not
// know STARTTLS.
func mailbox(t *testing.T, conf *tls.Config, implicit bool) (address string, heard func() string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if implicit {
		l = tls.NewListener(l, conf)
	}
	done := make(chan string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			done <- ""
			return
		}
		done <- converse(conn, conf, implicit)
	}()
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String(), func() string { return <-done }
}

// converse speaks just enough of RFC 5321; it returns what it heard, with
// "(tls)" where that was encrypted.
func converse(conn net.Conn, conf *tls.Config, encrypted bool) string {
	defer func() { _ = conn.Close() }()
	var heard strings.Builder
	r := bufio.NewReader(conn)
	say := func(text string) { fmt.Fprintf(conn, "%s\r\n", text) }
	say("220 test")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return heard.String()
		}
		line = strings.TrimRight(line, "\r\n")
		if encrypted {
			heard.WriteString("(tls) ")
		}
		heard.WriteString(line + "\n")
		switch verb, _, _ := strings.Cut(line, " "); verb {
		case "EHLO":
			if conf != nil && !encrypted {
				say("250-test")
				say("250 STARTTLS")
				continue
			}
			say("250-test")
			say("250 AUTH PLAIN")
		case "STARTTLS":
			if conf == nil {
				say("502 what?")
				continue
			}
			say("220 go on")
			conn = tls.Server(conn, conf)
			r, encrypted = bufio.NewReader(conn), true
		case "DATA":
			say("354 go on")
			for {
				text, err := r.ReadString('\n')
				if err != nil || text == ".\r\n" {
					break
				}
				heard.WriteString(text)
			}
			say("250 taken")
		case "AUTH":
			say("235 welcome")
		case "QUIT":
			say("221 bye")
			return heard.String()
		default:
			say("250 fine")
		}
	}
}

func TestMail(t *testing.T) {
	server, ca := tlsServer(t, http.NotFoundHandler())
	conf := &tls.Config{Certificates: server.TLS.Certificates}
	for _, mode := range []string{"", "implicit", "none"} {
		var address string
		var heard func() string
		if mode == "none" {
			address, heard = mailbox(t, nil, false)
		} else {
			address, heard = mailbox(t, conf, mode == "implicit")
		}
		m := &Mail{Server: address, From: "Allod <allod@example.org>", To: []string{"it@example.org", "Zoë <zoe@example.org>"}, User: "allod", PasswordEnv: "MAIL_PASSWORD", TLS: mode}
		if err := sender(t, Config{Mail: m}, ca).Tell(t.Context(), notices()); err != nil {
			t.Fatalf("%s: %v", mode, err)
		}
		checkMail(t, mode, heard())
	}
}

func checkMail(t *testing.T, mode, got string) {
	t.Helper()
	prefix := "(tls) "
	if mode == "none" {
		prefix = ""
	}
	for _, want := range []string{"AUTH PLAIN AGFsbG9kAGdlaGVpbQ==", "MAIL FROM:<allod@example.org>", "RCPT TO:<it@example.org>", "RCPT TO:<zoe@example.org>"} {
		if !strings.Contains(got, prefix+want) {
			t.Errorf("mode %q: %q was not said: %s", mode, prefix+want, got)
		}
	}
	_, text, _ := strings.Cut(got, "DATA\n")
	text, _, _ = strings.Cut(text, prefix+"QUIT")
	msg, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatalf("mode %q: %v: %s", mode, err, text)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(msg.Header.Get("Subject"))
	if want := "Allod: prod: the last good backup is 3 days old (and 1 more)"; err != nil || subject != want {
		t.Errorf("subject %q (%v), want %q", subject, err, want)
	}
	if to, err := msg.Header.AddressList("To"); err != nil || len(to) != 2 || to[1].Name != "Zoë" {
		t.Errorf("to %v (%v)", to, err)
	}
	if date, err := msg.Header.Date(); err != nil || !date.Equal(now()) {
		t.Errorf("date %v (%v)", date, err)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(msg.Body))
	want := "ALARM  prod: the last good backup is 3 days old\r\n       Run `allod backup prod`.\r\nover   the disk is no longer nearly full\r\n"
	if err != nil || string(body) != want {
		t.Errorf("body %q (%v), want %q", body, err, want)
	}
}

// What cannot be sent is an error, and nothing secret was said before.
func TestMailRefuses(t *testing.T) {
	address, heard := mailbox(t, nil, false) // offers no encryption
	m := &Mail{Server: address, From: "a@example.org", To: []string{"b@example.org"}, User: "allod", PasswordEnv: "MAIL_PASSWORD"}
	err := sender(t, Config{Mail: m}, nil).Tell(t.Context(), notices())
	if allod.KindOf(err) != allod.Unavailable {
		t.Errorf("a server without STARTTLS: %v", err)
	}
	if said := heard(); strings.Contains(said, "AUTH") || strings.Contains(said, "MAIL") {
		t.Errorf("said in the open: %s", said)
	}
	address, heard = mailbox(t, nil, false)
	m = &Mail{Server: address, From: "a@example.org", To: []string{"b@example.org"}, User: "allod", PasswordEnv: "NOT_SET", TLS: "none"}
	if err := sender(t, Config{Mail: m}, nil).Tell(t.Context(), notices()); err == nil || !strings.Contains(err.Error(), "NOT_SET holds no password") {
		t.Errorf("without a password: %v", err)
	}
	heard()
}

func TestConfigRefused(t *testing.T) {
	good := Mail{Server: "smtp.example.org:587", From: "a@example.org", To: []string{"b@example.org"}}
	change := func(do func(*Mail)) *Mail { m := good; do(&m); return &m }
	for name, c := range map[string]Config{
		"ping":                    {Ping: "example.org/uuid"},
		"webhook":                 {Webhook: "ftp://example.org"},
		"negative":                {MaxAge: -time.Hour},
		"no port":                 {Mail: change(func(m *Mail) { m.Server = "smtp.example.org" })},
		"no sender":               {Mail: change(func(m *Mail) { m.From = "" })},
		"a header in an address":  {Mail: change(func(m *Mail) { m.To = []string{"b@example.org\r\nBcc: c@example.org"} })},
		"nobody":                  {Mail: change(func(m *Mail) { m.To = nil })},
		"some other encryption":   {Mail: change(func(m *Mail) { m.TLS = "ssl" })},
		"in the open":             {Mail: change(func(m *Mail) { m.TLS = "none" })},
		"a user without password": {Mail: change(func(m *Mail) { m.User = "allod" })},
	} {
		if _, err := New(c, nil, func(string) string { return "" }, now); allod.KindOf(err) != allod.Invalid || allod.HintOf(err) == "" {
			t.Errorf("%s: %v (hint %q)", name, err, allod.HintOf(err))
		}
	}
	if _, err := New(Config{}, []byte("no certificate"), nil, now); allod.KindOf(err) != allod.Invalid {
		t.Errorf("an authority that is none: %v", err)
	}
	if _, err := New(Config{Mail: &good}, nil, nil, now); err != nil {
		t.Errorf("a good one: %v", err)
	}
}
