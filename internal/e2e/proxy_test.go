package e2e_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"allod"
	"allod/internal/source/odataclient/entra"
)

// startProxy is a proxy that takes CONNECT alone, and counts.
func startProxy(t *testing.T) (url string, tunnels *atomic.Int64) {
	t.Helper()
	tunnels = &atomic.Int64{}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		there, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		here, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		tunnels.Add(1)
		if _, err := io.WriteString(here, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
			t.Error(err)
		}
		for from, to := range map[net.Conn]net.Conn{here: there, there: here} {
			go func() {
				_, _ = io.Copy(to, from) // until either side ends
				_ = here.Close()
				_ = there.Close()
			}()
		}
	}))
	t.Cleanup(h.Close)
	return h.URL, tunnels
}

// With --proxy sign-in and data go through the proxy, and nothing goes around one
// that is not there.
func TestThroughAProxy(t *testing.T) {
	clk := &clock{}
	s := startSecure(t, clk, nil)
	d, con := signingDesk(t, clk, s, entra.Secret)
	gone := httptest.NewServer(nil)
	gone.Close()
	con.Proxy = gone.URL
	if _, err := d.Connect(t.Context(), "secure", con); err == nil || allod.HintOf(err) == "" || s.tokens.Load()+s.calls.Load() > 0 {
		t.Errorf("a proxy that is not there: got %v (%s), %d requests around it", err, allod.HintOf(err), s.tokens.Load()+s.calls.Load())
	}
	url, tunnels := startProxy(t)
	con.Proxy = url
	if _, err := d.Connect(t.Context(), "secure", con); err != nil {
		t.Fatal(err)
	}
	if tunnels.Load() < 2 || s.tokens.Load() == 0 || s.calls.Load() == 0 {
		t.Errorf("%d tunnels for %d requests of tokens and %d calls, want sign-in and data in tunnels", tunnels.Load(), s.tokens.Load(), s.calls.Load())
	}
}
