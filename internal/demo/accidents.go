package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"allod"
)

// api is a person's own program that talks to the company over plain HTTP: it
// shares nothing with the connector, so that what it sees after the restore is
// evidence.
type api struct {
	base   string // …/api/data/v9.2/
	client *http.Client
}

// do sends one request as the user and decodes the answer into out.
func (a *api) do(ctx context.Context, method, path, user string, body, out any) error {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, r)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	req.Header.Set("Authorization", "Bearer demo")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("OData-Version", "4.0")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if user != "" {
		req.Header.Set("MSCRMCallerID", user)
	}
	res, err := a.client.Do(req)
	if err != nil {
		return &allod.Error{Kind: allod.Unavailable, Err: fmt.Errorf("ask the company: %w", err)}
	}
	defer res.Body.Close() //nolint:errcheck // read to the end below
	answer, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		return &allod.Error{Kind: allod.Unavailable, Err: fmt.Errorf("ask the company: %w", err)}
	}
	if res.StatusCode == http.StatusNotFound {
		return allod.Errorf(allod.NotFound, "%s %s: not there", method, path)
	}
	if res.StatusCode >= 300 {
		return allod.Errorf(allod.Internal, "%s %s: status %d: %s", method, path, res.StatusCode, answer)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return allod.Errorf(allod.Internal, "%s %s: %w", method, path, err)
	}
	return nil
}

// rows reads all rows a query gives, page by page.
func (a *api) rows(ctx context.Context, set, query string) ([]map[string]any, error) {
	var all []map[string]any
	next := set
	if query != "" {
		next += "?" + query
	}
	for next != "" {
		var page struct {
			Value []map[string]any `json:"value"`
			Next  string           `json:"@odata.nextLink"`
		}
		if err := a.do(ctx, http.MethodGet, next, "", nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Value...)
		next = strings.TrimPrefix(page.Next, a.base)
	}
	return all, nil
}

func query(pairs ...string) string {
	var b strings.Builder
	for i := 0; i+1 < len(pairs); i += 2 {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(pairs[i] + "=" + url.PathEscape(pairs[i+1]))
	}
	return b.String()
}

// person is a user of the company.
type person struct{ id, name string }

// loss is what the accidents did, as their causes would know it.
type loss struct {
	importer, leaver person
	phones           map[string]string // contact id → phone number before
	account          string            // deleted account
	accountName      string
	contacts, cases  []string // went with it
}

// choose finds two users and their victims: forty contacts of other accounts,
// and the account with the most cases.
func choose(ctx context.Context, a *api) (*loss, error) {
	users, err := a.rows(ctx, "systemusers", query("$select", "fullname,systemuserid", "$filter", "isdisabled eq false and applicationid eq null", "$orderby", "fullname"))
	if err != nil {
		return nil, err
	}
	if len(users) < 2 {
		return nil, allod.Errorf(allod.Internal, "the company has %d users; the story needs two", len(users))
	}
	l := &loss{importer: personOf(users[0]), leaver: personOf(users[len(users)-1]), phones: map[string]string{}}
	if err := l.chooseAccount(ctx, a); err != nil {
		return nil, err
	}
	contacts, err := a.rows(ctx, "contacts", query("$select", "contactid,telephone1,_parentcustomerid_value", "$filter", "telephone1 ne null"))
	if err != nil {
		return nil, err
	}
	for _, c := range contacts {
		if parent, _ := c["_parentcustomerid_value"].(string); parent != l.account && len(l.phones) < 40 {
			l.phones[c["contactid"].(string)] = c["telephone1"].(string)
		}
	}
	return l, nil
}

func personOf(row map[string]any) person {
	id, _ := row["systemuserid"].(string)
	name, _ := row["fullname"].(string)
	return person{id, name}
}

func (l *loss) chooseAccount(ctx context.Context, a *api) error {
	cases, err := a.rows(ctx, "incidents", query("$select", "incidentid,_customerid_value", "$filter", "statecode eq 0"))
	if err != nil {
		return err
	}
	of := map[string][]string{}
	for _, c := range cases {
		customer, _ := c["_customerid_value"].(string)
		of[customer] = append(of[customer], c["incidentid"].(string))
	}
	accounts, err := a.rows(ctx, "accounts", query("$select", "accountid,name", "$orderby", "name"))
	if err != nil {
		return err
	}
	best := -1
	for _, acc := range accounts {
		if id, _ := acc["accountid"].(string); len(of[id]) > best {
			best, l.account = len(of[id]), id
			l.accountName, _ = acc["name"].(string)
		}
	}
	contacts, err := a.rows(ctx, "contacts", query("$select", "contactid", "$filter", "_parentcustomerid_value eq "+l.account))
	if err != nil {
		return err
	}
	for _, c := range contacts {
		l.contacts = append(l.contacts, c["contactid"].(string))
	}
	allCases, err := a.rows(ctx, "incidents", query("$select", "incidentid", "$filter", "_customerid_value eq "+l.account))
	if err != nil {
		return err
	}
	for _, c := range allCases {
		l.cases = append(l.cases, c["incidentid"].(string))
	}
	return nil
}

// happen lets the two accidents happen.
func (l *loss) happen(ctx context.Context, a *api) error {
	for id := range l.phones {
		if err := a.do(ctx, http.MethodPatch, "contacts("+id+")", l.importer.id, map[string]any{"telephone1": "0"}, nil); err != nil {
			return fmt.Errorf("let the import go wrong: %w", err)
		}
	}
	for _, id := range l.cases {
		if err := a.do(ctx, http.MethodDelete, "incidents("+id+")", l.leaver.id, nil, nil); err != nil && allod.KindOf(err) != allod.NotFound {
			return fmt.Errorf("let the leaver delete: %w", err)
		}
	}
	for _, id := range l.contacts {
		if err := a.do(ctx, http.MethodDelete, "contacts("+id+")", l.leaver.id, nil, nil); err != nil && allod.KindOf(err) != allod.NotFound {
			return fmt.Errorf("let the leaver delete: %w", err)
		}
	}
	if err := a.do(ctx, http.MethodDelete, "accounts("+l.account+")", l.leaver.id, nil, nil); err != nil {
		return fmt.Errorf("let the leaver delete: %w", err)
	}
	return nil
}
