package emulator

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Client is an app registration the authority knows.
type Client struct {
	ID     string
	Secret string
	Tenant string // "" = any

	// Certificates are those registered for the client, and Workloads the
	// subjects of its federated credentials. With none, any assertion will do
	// whose claims are in order.
	Certificates []*x509.Certificate
	Workloads    []string
}

// Authority imitates the token endpoint of Entra for client credentials
// (protocols/dataverse.md §1.1). All methods may be called concurrently.
type Authority struct {
	// Strict refuses unknown clients and tokens it did not issue. Otherwise
	// any client and any non-empty bearer token will do; a known client with
	// a wrong secret is refused either way.
	Strict    bool
	Clients   []Client
	Now       func() time.Time
	TimeScale float64 // how much faster than the client's clock Now runs; 0 = 1

	mu    sync.Mutex
	epoch int
}

// NewAuthority returns an authority with the clock of the machine.
func NewAuthority(strict bool, clients []Client) *Authority {
	return &Authority{Strict: strict, Clients: clients, Now: time.Now, TimeScale: 1}
}

var (
	tokenPath     = regexp.MustCompile(`^/([^/]+)/oauth2/(?:v2\.0/)?token$`)
	openidPath    = regexp.MustCompile(`^/([^/]+)/(?:v2\.0/)?\.well-known/openid-configuration$`)
	instancesPath = "/common/discovery/instance"
	managedPath   = "/msi/token"
)

// Serve answers requests to the authority's own paths; false = not one.
func (a *Authority) Serve(w http.ResponseWriter, r *http.Request) bool {
	if m := tokenPath.FindStringSubmatch(r.URL.Path); m != nil {
		a.token(w, r, m[1])
		return true
	}
	base := "http://" + r.Host
	if r.TLS != nil {
		base = "https://" + r.Host
	}
	if m := openidPath.FindStringSubmatch(r.URL.Path); m != nil {
		writeJSON(w, http.StatusOK, map[string]any{
			"token_endpoint":                        base + "/" + m[1] + "/oauth2/v2.0/token",
			"authorization_endpoint":                base + "/" + m[1] + "/oauth2/v2.0/authorize",
			"issuer":                                base + "/" + m[1] + "/v2.0",
			"jwks_uri":                              base + "/" + m[1] + "/discovery/v2.0/keys",
			"token_endpoint_auth_methods_supported": []string{"client_secret_post", "private_key_jwt"},
		})
		return true
	}
	if r.URL.Path == managedPath {
		a.managed(w, r)
		return true
	}
	if r.URL.Path == instancesPath {
		writeJSON(w, http.StatusOK, map[string]any{
			"tenant_discovery_endpoint": base + "/common/v2.0/.well-known/openid-configuration",
			"api-version":               "1.1",
			"metadata":                  []any{map[string]any{"preferred_network": r.Host, "preferred_cache": r.Host, "aliases": []string{r.Host}}},
		})
		return true
	}
	return false
}

func (a *Authority) token(w http.ResponseWriter, r *http.Request, tenant string) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	if r.Method != http.MethodPost || r.ParseForm() != nil {
		a.refuse(w, http.StatusBadRequest, 900144, "invalid_request", "The request body must contain the following parameter: 'grant_type'.")
		return
	}
	id, secret := r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	asserted := r.PostForm.Get("client_assertion") != ""
	scope := r.PostForm.Get("scope")
	if scope == "" {
		scope = r.PostForm.Get("resource")
	}
	known, tenantKnown := a.client(id, tenant)
	switch {
	case r.PostForm.Get("grant_type") != "client_credentials":
		a.refuse(w, http.StatusBadRequest, 70003, "unsupported_grant_type", "The app requested an unsupported grant type '"+r.PostForm.Get("grant_type")+"'.")
	case scope == "" || r.PostForm.Get("scope") != "" && !hasDefault(scope):
		a.refuse(w, http.StatusBadRequest, 70011, "invalid_scope", "The provided value for the input parameter 'scope' is not valid.")
	case a.Strict && !tenantKnown:
		a.refuse(w, http.StatusBadRequest, 90002, "invalid_request", "Tenant '"+tenant+"' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud.")
	case known == nil && (a.Strict || id == ""):
		a.refuse(w, http.StatusBadRequest, 700016, "unauthorized_client", "Application with identifier '"+id+"' was not found in the directory '"+tenant+"'.")
	case known != nil && !asserted && subtle.ConstantTimeCompare([]byte(known.Secret), []byte(secret)) != 1, secret == "" && !asserted:
		a.refuse(w, http.StatusUnauthorized, 7000215, "invalid_client", "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '"+id+"'.")
	default:
		if asserted {
			if code, text := a.assertion(r, known, id); code != 0 {
				a.refuse(w, http.StatusUnauthorized, code, "invalid_client", text)
				return
			}
		}
		life := a.lifetime()
		writeJSON(w, http.StatusOK, map[string]any{"token_type": "Bearer", "expires_in": life, "ext_expires_in": life, "access_token": a.Issue(id, tenant)})
	}
}

// hasDefault: client libraries add openid and the like behind the scope.
func hasDefault(scope string) bool {
	for _, s := range strings.Fields(scope) {
		if strings.HasSuffix(s, "/.default") {
			return true
		}
	}
	return false
}

const tokenLife = 3599 // seconds by Authority.Now

// lifetime is what a client is told, in seconds of its own clock.
func (a *Authority) lifetime() int {
	life := float64(tokenLife)
	if a.TimeScale > 0 {
		life /= a.TimeScale
	}
	return max(1, int(life))
}

// client finds the registration; tenantKnown is false when every client names
// a tenant and none names this one.
func (a *Authority) client(id, tenant string) (c *Client, tenantKnown bool) {
	tenantKnown = len(a.Clients) == 0
	for i := range a.Clients {
		if t := a.Clients[i].Tenant; t != "" && !strings.EqualFold(t, tenant) {
			continue
		}
		tenantKnown = true
		if strings.EqualFold(a.Clients[i].ID, id) {
			c = &a.Clients[i]
		}
	}
	return c, tenantKnown
}

func (a *Authority) refuse(w http.ResponseWriter, status, code int, name, text string) {
	now := a.Now().UTC().Format("2006-01-02 15:04:05Z")
	const id = "00000000-0000-0000-0000-000000000000"
	writeJSON(w, status, map[string]any{
		"error":             name,
		"error_description": fmt.Sprintf("AADSTS%d: %s Trace ID: %s Correlation ID: %s Timestamp: %s", code, text, id, id, now),
		"error_codes":       []int{code}, "timestamp": now, "trace_id": id, "correlation_id": id,
		"error_uri": fmt.Sprintf("https://login.microsoftonline.com/error?code=%d", code),
	})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store, no-cache")
	w.WriteHeader(status)
	_, _ = w.Write(b) // the client has gone
}

type claims struct {
	AppID  string `json:"appid"`
	Tenant string `json:"tid"`
	Expiry int64  `json:"exp"`
	Epoch  int    `json:"epoch"`
}

// Issue makes a bearer token for the client. It looks like a JWT and is good
// only here.
func (a *Authority) Issue(clientID, tenant string) string {
	a.mu.Lock()
	epoch := a.epoch
	a.mu.Unlock()
	body, err := json.Marshal(claims{AppID: clientID, Tenant: tenant, Expiry: a.Now().Unix() + tokenLife, Epoch: epoch})
	if err != nil {
		return ""
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"JWT","alg":"HS256"}`)) + "." + base64.RawURLEncoding.EncodeToString(body)
	return text + "." + sign(text)
}

// The key is no secret: it only tells tokens of the emulator from others.
func sign(text string) string {
	h := hmac.New(sha256.New, []byte("allod emulator"))
	h.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// ExpireTokens makes every token issued so far worthless.
func (a *Authority) ExpireTokens() {
	a.mu.Lock()
	a.epoch++
	a.mu.Unlock()
}

// Check returns the client a request comes from; ok is false when it must be
// refused with 401. clientID is "" for a foreign token that is accepted.
func (a *Authority) Check(r *http.Request) (clientID string, ok bool) {
	token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if token = strings.TrimSpace(token); !found || token == "" {
		return "", false
	}
	i := strings.LastIndexByte(token, '.')
	if i < 0 || !hmac.Equal([]byte(sign(token[:i])), []byte(token[i+1:])) {
		return "", !a.Strict
	}
	_, middle, _ := strings.Cut(token[:i], ".")
	body, err := base64.RawURLEncoding.DecodeString(middle)
	var c claims
	if err != nil || json.Unmarshal(body, &c) != nil {
		return "", false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return c.AppID, c.Epoch == a.epoch && a.Now().Unix() < c.Expiry
}
