package emulator

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// assertionClaims are what a client asserts instead of sending a secret
// (https://learn.microsoft.com/entra/identity-platform/certificate-credentials).
type assertionClaims struct {
	Audience string `json:"aud"`
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Expiry   int64  `json:"exp"`
	Begin    int64  `json:"nbf"`
}

// assertion checks a client assertion: one of a certificate is issued by the
// client itself, one of a workload by somebody else. code 0 = in order, else a
// code of Entra and its text.
func (a *Authority) assertion(r *http.Request, known *Client, id string) (code int, text string) {
	const clockSlack = 300 // seconds
	if r.PostForm.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
		return 900144, "The request body must contain the following parameter: 'client_assertion_type'."
	}
	signed, signature, claims, ok := readAssertion(r.PostForm.Get("client_assertion"))
	now := a.Now().Unix()
	switch {
	case !ok:
		return 50027, "JWT token is invalid or malformed."
	case claims.Expiry+clockSlack < now || claims.Begin-clockSlack > now:
		return 700024, "Client assertion is not within its valid time range."
	}
	if !strings.EqualFold(claims.Issuer, id) {
		if known != nil && len(known.Workloads) > 0 && !slices.Contains(known.Workloads, claims.Subject) {
			return 700213, "No matching federated identity record found for presented assertion subject."
		}
		return 0, ""
	}
	if !strings.EqualFold(claims.Subject, id) || !strings.HasSuffix(claims.Audience, r.URL.Path) {
		return 700023, "Client assertion audience claim does not match Realm issuer."
	}
	if known == nil || len(known.Certificates) == 0 {
		return 0, ""
	}
	sum := sha256.Sum256([]byte(signed))
	for _, c := range known.Certificates {
		key, ok := c.PublicKey.(*rsa.PublicKey)
		if ok && rsa.VerifyPSS(key, crypto.SHA256, sum[:], signature, nil) == nil || ok && rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) == nil {
			return 0, ""
		}
	}
	return 700027, "Client assertion failed signature validation. The key was not found."
}

// readAssertion takes a JWT apart; ok is false when it is none.
func readAssertion(token string) (signed string, signature []byte, c assertionClaims, ok bool) {
	i := strings.LastIndexByte(token, '.')
	if i < 0 {
		return "", nil, c, false
	}
	signed = token[:i]
	_, middle, _ := strings.Cut(signed, ".")
	body, err := base64.RawURLEncoding.DecodeString(middle)
	if err != nil || json.Unmarshal(body, &c) != nil {
		return "", nil, c, false
	}
	signature, err = base64.RawURLEncoding.DecodeString(token[i+1:])
	return signed, signature, c, err == nil
}

// managed answers as the identity endpoint of App Service does
// (https://learn.microsoft.com/azure/app-service/overview-managed-identity): the
// machine is who it is. Without a client_id it is the first client.
func (a *Authority) managed(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	id, tenant := q.Get("client_id"), ""
	if id == "" && len(a.Clients) > 0 {
		id = a.Clients[0].ID
	}
	known := slices.IndexFunc(a.Clients, func(c Client) bool { return strings.EqualFold(c.ID, id) })
	switch {
	case r.Method != http.MethodGet || r.Header.Get("X-IDENTITY-HEADER") == "" || q.Get("resource") == "":
		writeJSON(w, http.StatusBadRequest, map[string]any{"error": "invalid_request", "error_description": "The identity header or the resource is missing."})
		return
	case known < 0 && a.Strict:
		writeJSON(w, http.StatusBadRequest, map[string]any{"error": "invalid_request", "error_description": "Identity not found"})
		return
	case known >= 0:
		tenant = a.Clients[known].Tenant
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"access_token": a.Issue(id, tenant), "token_type": "Bearer", "resource": q.Get("resource"), "client_id": id,
		"expires_on": strconv.FormatInt(a.Now().Add(time.Duration(a.lifetime())*time.Second).Unix(), 10),
	})
}
