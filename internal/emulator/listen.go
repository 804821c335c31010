package emulator

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"allod"
)

// Running is an emulator that answers.
type Running struct {
	URL    string // e.g. http://127.0.0.1:43117, without a trailing slash
	CAFile string // PEM file of the certificate authority; "" without TLS

	server *http.Server
	done   chan error
}

// ListenOptions say where an emulator answers.
type ListenOptions struct {
	Addr string           // host and port; "127.0.0.1:0" picks a port
	TLS  bool             // https, with a certificate authority of its own
	Dir  string           // folder for ca.pem, with TLS
	Now  func() time.Time // the first moment of the certificates; nil = time.Now
}

// Listen serves h until Close, or until ctx ends. With TLS it makes a
// certificate authority and a certificate for the loopback names, valid for a
// year, and writes the authority's certificate to ca.pem; keys stay in memory.
func Listen(ctx context.Context, o ListenOptions, h http.Handler) (*Running, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.Addr)
	if err != nil {
		return nil, allod.WithHint(allod.Errorf(allod.Unavailable, "listen on %s: %w", o.Addr, err), "choose another --listen address; port 0 picks a free one")
	}
	r := &Running{URL: "http://" + l.Addr().String(), done: make(chan error, 1)}
	r.server = &http.Server{Handler: h, ReadHeaderTimeout: 30 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	if o.TLS {
		cert, ca, err := Certificates(o.Now())
		if err != nil {
			return nil, errors.Join(err, l.Close())
		}
		r.CAFile = filepath.Join(o.Dir, "ca.pem")
		if err := os.WriteFile(r.CAFile, ca, 0o644); err != nil {
			return nil, errors.Join(allod.Errorf(allod.Unavailable, "write certificate authority: %w", err), l.Close())
		}
		r.URL = "https://" + l.Addr().String()
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
	}
	go func() { r.done <- r.server.Serve(l) }()
	stop := context.AfterFunc(ctx, func() { _ = r.server.Close() }) // Serve's result tells of failure
	r.server.RegisterOnShutdown(func() { stop() })
	return r, nil
}

// Close stops answering: requests in progress get two seconds.
func (r *Running) Close() error {
	ctx, cancel := context.WithTimeout(r.server.BaseContext(nil), 2*time.Second)
	defer cancel()
	if err := r.server.Shutdown(ctx); err != nil {
		_ = r.server.Close() // the connections that did not end in time
	}
	return r.Wait()
}

// Wait returns when the emulator has stopped; nil when it was told to.
func (r *Running) Wait() error {
	err := <-r.done
	r.done <- err
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Certificates makes a certificate authority and a server certificate for
// localhost, 127.0.0.1 and ::1, valid from a day before now for a year. ca is
// PEM.
func Certificates(now time.Time) (server tls.Certificate, ca []byte, err error) {
	fail := func(err error) (tls.Certificate, []byte, error) {
		return tls.Certificate{}, nil, allod.Errorf(allod.Internal, "make certificate: %w", err)
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fail(err)
	}
	caTmpl := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "Allod emulator authority"},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, caTmpl, caTmpl, caKey.Public(), caKey)
	if err != nil {
		return fail(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fail(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano() + 1), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: caTmpl.NotBefore, NotAfter: caTmpl.NotAfter,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, caTmpl, key.Public(), caKey)
	if err != nil {
		return fail(err)
	}
	pemCA := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	return tls.Certificate{Certificate: [][]byte{der, caDER}, PrivateKey: key}, pemCA, nil
}
