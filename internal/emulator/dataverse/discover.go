package dataverse

import (
	"net/http"
	"strings"

	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/discovery"
	"allod/internal/emulator/dataverse/request"
	"allod/internal/emulator/dataverse/wire"
)

// uniqueName is that of the organization.
func (s *Server) uniqueName() string { return "org" + s.org.Unit.String()[:8] }

// discover answers the global discovery service (protocols/dataverse.md §1.4). One
// who is no user of the environment sees none.
func (s *Server) discover(w http.ResponseWriter, r *http.Request) {
	client, ok := s.authority.Check(r)
	switch {
	case !ok:
		s.unauthorized(w, r)
		return
	case r.Method != http.MethodGet:
		s.send(w, r, refusal(wire.Refuse(http.StatusMethodNotAllowed, "", "The requested resource does not support http method '%s'.", r.Method), false))
		return
	}
	s.org.Counters.Add("requests:discovery", 1)
	base := scheme(r) + r.Host
	var seen []discovery.Instance
	if user := s.userOf(client); user != nil {
		seen = append(seen, discovery.Instance{
			Organization: s.Organization(), Environment: access.NamedID(s.opts.OrganizationName), Tenant: access.NamedID("tenant"),
			UniqueName: s.uniqueName(), FriendlyName: s.opts.OrganizationName, Version: Version, URL: base, Administrator: user.Administrator, Updated: s.began,
		})
	}
	root := strings.TrimSuffix(discovery.Path, "/Instances")
	url := strings.TrimPrefix(r.URL.EscapedPath(), root+"/")
	if r.URL.RawQuery != "" {
		url += "?" + r.URL.RawQuery
	}
	body, err := discovery.Answer(base+root, url, seen)
	if err != nil {
		s.send(w, r, refusal(wire.AsError(err), false))
		return
	}
	s.send(w, r, &request.Reply{Status: http.StatusOK, Body: body})
}
