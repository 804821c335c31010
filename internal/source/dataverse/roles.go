package dataverse

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"allod"
	"allod/internal/source"
	"allod/internal/source/dataverse/setup"
	"allod/internal/source/odataclient"
)

var _ source.RoleKeeper = (*Source)(nil)

// PlanRoles says what has to be done so that the environment has the roles of
// Allod; see package setup.
func (s *Source) PlanRoles(ctx context.Context, schema *allod.Schema, o source.RoleOptions) (*source.RolePlan, error) {
	p, err := setup.Plan(ctx, service{s}, schema, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	return p, nil
}

// service is what package setup asks of a Source.
type service struct{ s *Source }

func (v service) Get(ctx context.Context, address string, into any) error {
	return v.s.getJSON(ctx, address, "", into)
}

// Send sends a write once. A reference in the body (@odata.id) is given in full,
// as the service wants it (protocols/dataverse.md §6.5).
func (v service) Send(ctx context.Context, method, address string, body any) error {
	return v.Call(ctx, method, address, body, nil)
}

// Call sends as Send does and reads the answer into into, unless that is nil.
func (v service) Call(ctx context.Context, method, address string, body, into any) error {
	if m, ok := body.(map[string]any); ok {
		if ref, ok := m["@odata.id"].(string); ok && !strings.Contains(ref, "://") {
			body = map[string]any{"@odata.id": v.s.client.Base() + ref}
		}
	}
	r := &odataclient.Request{Method: method, URL: address, Repeatable: method != http.MethodPost}
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("write the request: %w", err)
		}
		r.Body, r.Header = b, http.Header{"Content-Type": {"application/json; charset=utf-8"}}
	}
	if method == http.MethodPatch {
		r.Header.Set("If-Match", "*") // never makes a row
	}
	res, err := v.s.client.Do(ctx, r)
	if err != nil || into == nil {
		return err
	}
	if err := json.Unmarshal([]byte(res.Body), into); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}
