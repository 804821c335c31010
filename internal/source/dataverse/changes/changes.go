// Package changes asks Dataverse which definitions of tables and columns changed
// since a moment (RetrieveMetadataChanges; protocols/dataverse.md §3.5).
package changes

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"allod"
	"allod/internal/source"
	"allod/internal/source/dataverse/codes"
	"allod/internal/source/odataclient"
)

// Watcher implements source.SchemaWatcher. It is safe for concurrent use.
type Watcher struct {
	// Get reads one answer; its errors are those of the client.
	Get    func(ctx context.Context, r *odataclient.Request, into any) error
	Escape func(string) string // of a query value
}

const (
	// One table is enough to be told the stamp.
	oneTable = `{"Criteria":{"FilterOperator":"And","Conditions":[{"ConditionOperator":"Equals","PropertyName":"LogicalName","Value":{"Type":"System.String","Value":"organization"}}]},"Properties":{"AllProperties":false,"PropertyNames":["LogicalName"]}}`
	columns  = `{"Properties":{"AllProperties":false,"PropertyNames":["LogicalName","Attributes"]},"AttributeQuery":{"Properties":{"AllProperties":false,"PropertyNames":["LogicalName","IsSecured"]}}}`
	// maxAnswer bounds an answer, in bytes.
	maxAnswer = 64 << 20
)

type answer struct {
	ServerVersionStamp string
	EntityMetadata     []struct {
		LogicalName string
		MetadataID  string `json:"MetadataId"`
		HasChanged  *bool
		Attributes  []struct {
			LogicalName string
			IsSecured   bool
		}
	}
	DeletedMetadata struct {
		Keys   []string
		Values []struct{ Items []string }
	}
}

// SchemaMark returns the service's stamp; "" where it refuses to give one.
func (w *Watcher) SchemaMark(ctx context.Context) (string, error) {
	a, err := w.ask(ctx, oneTable, "")
	if refused(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return a.ServerVersionStamp, nil
}

// SchemaSince returns what changed since the stamp.
func (w *Watcher) SchemaSince(ctx context.Context, mark string) (*source.SchemaChange, error) {
	a, err := w.ask(ctx, columns, mark)
	if codes.Expired(err) || refused(err) || err == nil && a.ServerVersionStamp == "" {
		return nil, &allod.Error{Kind: allod.Invalid, Err: errors.Join(source.ErrMarkExpired, err)}
	}
	if err != nil {
		return nil, err
	}
	c := &source.SchemaChange{Mark: a.ServerVersionStamp, Columns: map[string]map[string]bool{}, Made: map[string]allod.GUID{}}
	for _, e := range a.EntityMetadata {
		if e.HasChanged == nil || *e.HasChanged {
			c.Made[e.LogicalName], _ = allod.ParseGUID(e.MetadataID) // without an id it is another table
		}
		for _, x := range e.Attributes {
			if c.Columns[e.LogicalName] == nil {
				c.Columns[e.LogicalName] = map[string]bool{}
			}
			c.Columns[e.LogicalName][x.LogicalName] = x.IsSecured
		}
	}
	for i, kind := range a.DeletedMetadata.Keys {
		if kind != "Entity" && kind != "Attribute" || i >= len(a.DeletedMetadata.Values) {
			continue
		}
		for _, text := range a.DeletedMetadata.Values[i].Items {
			if id, err := allod.ParseGUID(text); err == nil {
				c.Gone = append(c.Gone, id)
			}
		}
	}
	return c, nil
}

func (w *Watcher) ask(ctx context.Context, query, stamp string) (*answer, error) {
	args, params := "Query=@p1", "@p1="+w.Escape(query)
	if stamp != "" {
		args += ",ClientVersionStamp=@p2,DeletedMetadataFilters=@p3"
		params += "&@p2=" + w.Escape("'"+strings.ReplaceAll(stamp, "'", "''")+"'") + "&@p3=Microsoft.Dynamics.CRM.DeletedMetadataFilters'All'"
	}
	// Answers from the service's cache may be half a minute old (§2.2).
	r := &odataclient.Request{URL: "RetrieveMetadataChanges(" + args + ")?" + params, MaxBytes: maxAnswer, Header: http.Header{"Consistency": {"Strong"}}}
	var a answer
	if err := w.Get(ctx, r, &a); err != nil {
		return nil, fmt.Errorf("ask what changed in the schema: %w", err)
	}
	return &a, nil
}

// refused reports whether the service will not answer such a question, now or
// later.
func refused(err error) bool {
	st := odataclient.AsStatus(err)
	if st == nil {
		return false
	}
	switch st.Status {
	case http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	}
	return st.Status >= 400 && st.Status < 500 || st.Status == http.StatusNotImplemented
}
