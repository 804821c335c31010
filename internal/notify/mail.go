package notify

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/mail"
	"net/smtp"
	"strings"
	"time"

	"allod"
)

// authorities are those of the system, or the one given alone.
func authorities(ca []byte) (*x509.CertPool, error) {
	if ca == nil {
		return nil, nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, errors.New("no certificate")
	}
	return pool, nil
}

func transport(pool *x509.CertPool) http.RoundTripper {
	return &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true, DisableKeepAlives: true}
}

// mail sends all notices in one message.
func (s *Sender) mail(ctx context.Context, notices []Notice) error {
	m := s.config.Mail
	if m == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := s.deliver(ctx, m, notices); err != nil {
		return allod.WithHint(&allod.Error{Kind: allod.Unavailable, Err: fmt.Errorf("send mail through %s: %w", m.Server, err)}, "The rest of the configuration under alarms.mail: user, password_env, tls.")
	}
	return nil
}

func (s *Sender) deliver(ctx context.Context, m *Mail, notices []Notice) (err error) {
	host, _, err := net.SplitHostPort(m.Server)
	if err != nil {
		return err
	}
	pool, err := authorities(s.ca)
	if err != nil {
		return err
	}
	conf := &tls.Config{ServerName: host, RootCAs: pool, MinVersion: tls.VersionTLS12}
	conn, err := dial(ctx, m, conf)
	if err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return errors.Join(err, conn.Close())
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // it ends whatever waits below
	defer stop()
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	if err := s.talk(c, m, conf, notices); err != nil {
		return errors.Join(err, c.Close())
	}
	return c.Quit()
}

func dial(ctx context.Context, m *Mail, conf *tls.Config) (net.Conn, error) {
	if m.TLS == "implicit" {
		return (&tls.Dialer{Config: conf}).DialContext(ctx, "tcp", m.Server)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", m.Server)
}

// talk is the conversation after the greeting (RFC 5321), encrypted before
// anything is said unless the server is on this machine.
func (s *Sender) talk(c *smtp.Client, m *Mail, conf *tls.Config, notices []Notice) error {
	if cmp.Or(m.TLS, "starttls") == "starttls" {
		if err := c.StartTLS(conf); err != nil {
			return err
		}
	}
	if m.User != "" {
		password := s.getenv(m.PasswordEnv)
		if password == "" {
			return fmt.Errorf("the environment variable %s holds no password", m.PasswordEnv)
		}
		if err := c.Auth(smtp.PlainAuth("", m.User, password, conf.ServerName)); err != nil {
			return err
		}
	}
	from, err := mail.ParseAddress(m.From)
	if err != nil {
		return err
	}
	if err := c.Mail(from.Address); err != nil {
		return err
	}
	for _, text := range m.To {
		to, err := mail.ParseAddress(text)
		if err != nil {
			return err
		}
		if err := c.Rcpt(to.Address); err != nil {
			return err
		}
	}
	text, err := s.message(m, from, notices)
	if err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return errors.Join(err, w.Close())
	}
	return w.Close()
}

// message is the mail as it goes out (RFC 5322).
func (s *Sender) message(m *Mail, from *mail.Address, notices []Notice) ([]byte, error) {
	var to []string
	for _, text := range m.To {
		a, err := mail.ParseAddress(text)
		if err != nil {
			return nil, err
		}
		to = append(to, a.String())
	}
	subject := "Allod: " + notices[0].Text
	if len(notices) > 1 {
		subject = fmt.Sprintf("Allod: %s (and %d more)", notices[0].Text, len(notices)-1)
	}
	now := s.now()
	_, domain, _ := strings.Cut(from.Address, "@")
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: %s\r\nTo: %s\r\nSubject: %s\r\n", from, strings.Join(to, ",\r\n "), mime.QEncoding.Encode("utf-8", subject))
	fmt.Fprintf(&b, "Date: %s\r\nMessage-ID: <allod.%d@%s>\r\nAuto-Submitted: auto-generated\r\n", now.Format(time.RFC1123Z), now.UnixNano(), domain)
	b.WriteString("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
	w := quotedprintable.NewWriter(&b)
	if _, err := w.Write([]byte(Text(notices))); err != nil {
		return nil, err
	}
	return b.Bytes(), w.Close()
}

// Text is what people read.
func Text(notices []Notice) string {
	var b strings.Builder
	for _, n := range notices {
		word := "ALARM"
		if n.Over {
			word = "over "
		}
		fmt.Fprintf(&b, "%s  %s\n", word, n.Text)
		if n.Hint != "" && !n.Over {
			fmt.Fprintf(&b, "       %s\n", n.Hint)
		}
	}
	return b.String()
}
