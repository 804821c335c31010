package samples_test

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"allod"
	"allod/internal/emulator/dataverse/store"
)

var update = flag.Bool("update", false, "rewrite testdata/samples.tsv; its share may only rise")

const verdicts = "testdata/samples.tsv"

// Why a sample does not apply: no other reason counts.
const (
	elsewhere = "another service or host"
	fragment  = "a fragment that is no request, or an answer that tells nothing of its request"
	invented  = "a message that the documentation invents and no schema has"
)

// play says how to replay an exchange, beyond what the file itself tells.
type play struct {
	na     string   // the reason why it does not apply
	ask    string   // the request, where the file holds the answer only: "METHOD path", headers, empty line, body
	rows   []string // further rows: "set {…}", keys included
	before []string // requests to be made first, as in ask
	amend  []string // texts of the request and of the response, and what they stand for, in turns
	want   int      // the status, where the file holds the request only; 0 = any success
	stale  bool     // etags are taken as they are, not as the row has them
	absent bool     // rows the request names do not exist
}

func TestDocumentedSamples(t *testing.T) {
	list := pair(blocks(t))
	w := newWorld(t)
	h := httptest.NewServer(w.srv.Handler())
	t.Cleanup(h.Close)
	total, applicable, matched := 0, 0, 0
	var lines []string
	known := map[string]bool{}
	for _, e := range list {
		total += e.parts()
		known[e.id()] = true
		p := plays[e.id()]
		verdict, why, first := "", p.na, ""
		m, err := requestOf(e, p)
		switch {
		case p.na != "":
			verdict = "not applicable"
		case err != nil:
			t.Errorf("%s: %v", e.id(), err)
			continue
		default:
			applicable += e.parts()
			if why = replay(t, w, h.URL, e, p, m); why == "" {
				verdict = "matched"
				matched += e.parts()
			} else {
				verdict = "missed"
			}
		}
		if e.request != nil || p.ask != "" {
			first = shorten(m.first)
		}
		lines = append(lines, strings.Join([]string{e.request.id(), e.response.id(), first, verdict, why}, "\t"))
	}
	for id := range plays {
		if !known[id] {
			t.Errorf("%s: no such sample", id)
		}
	}
	if total != 246 {
		t.Errorf("got %d requests and responses, want 246", total)
	}
	t.Logf("documented samples: %d of %d applicable requests and responses matched (%.3f); %d in all", matched, applicable, float64(matched)/float64(applicable), total)
	judge(t, lines, matched, applicable)
}

// judge holds the verdicts to those of the file.
func judge(t *testing.T, lines []string, matched, applicable int) {
	t.Helper()
	head := fmt.Sprintf(header, elsewhere, fragment, invented, matched, applicable, float64(matched)/float64(applicable))
	got := head + strings.Join(lines, "\n") + "\n"
	b, err := os.ReadFile(verdicts)
	if err != nil && !*update {
		t.Fatal(err)
	}
	want := string(b)
	if s := share.FindStringSubmatch(want); s != nil {
		var m, a int
		if _, err := fmt.Sscan(s[1]+" "+s[2], &m, &a); err != nil {
			t.Fatal(err)
		}
		if matched*a < m*applicable || matched < m {
			t.Errorf("%d of %d matched, and %d of %d have been: the share may only rise", matched, applicable, m, a)
		}
	}
	if *update && !t.Failed() {
		if err := os.WriteFile(verdicts, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(judged(want), judged(got)); d != "" {
		t.Errorf("verdicts differ from %s, -update rewrites it (-want +got):\n%s", verdicts, d)
	}
}

// judged is the file without its comments and reasons, whose words may change.
func judged(file string) []string {
	var out []string
	for _, l := range strings.Split(file, "\n") {
		if f := strings.Split(l, "\t"); len(f) == 5 {
			out = append(out, strings.Join(f[:4], " "))
		}
	}
	return out
}

var share = regexp.MustCompile(`(?m)^# matched (\d+) of (\d+) applicable`)

const header = `# The requests and responses of Microsoft's developer documentation of 2020 (MicrosoftDocs/powerapps-docs, CC BY 4.0; two
# thirds of them), replayed against the local Dataverse, and what came of each. Written by TestDocumentedSamples -update.
#
# columns: request (file:line, - = not in the file), response (the same), what was asked, verdict, why
# matched         the status, the headers shown (Content-Length aside) and the JSON are those of the sample: the names of all
#                 properties and their JSON types, recursively, and the values that follow from the rows set up. Of a
#                 request without its response: it is answered with success, or as the text beside it says, and has what
#                 was selected.
# not applicable  for one of three reasons:
#                   1. %s
#                   2. %s
#                   3. %s
# missed          with the first difference
#
# matched %d of %d applicable requests and responses: %.3f
`

// requestOf is the request of an exchange, ours where the file has none.
func requestOf(e exchange, p play) (message, error) {
	text := p.ask
	if e.request != nil {
		text = e.request.Text
		if text = amended(text, p); len(p.amend) > 0 && text == e.request.Text {
			return message{}, fmt.Errorf("nothing to amend")
		}
	}
	if text == "" && p.na == "" {
		return message{}, fmt.Errorf("an answer without its request")
	}
	return parse(text), nil
}

// amended puts right what the documentation has wrong or leaves open.
func amended(text string, p play) string { return strings.NewReplacer(p.amend...).Replace(text) }

var organisation = regexp.MustCompile(`(?i)(https://)?\[(organization uri|Token-CRM-Org-Name)\](/org1|/Contoso)?`)

// shorten is the request as the file of verdicts shows it.
func shorten(first string) string {
	s := organisation.ReplaceAllString(first, "")
	s = regexp.MustCompile(`/api/data/v[89]\.\d/`).ReplaceAllString(s, "")
	if len(s) > 110 {
		s = s[:107] + "..."
	}
	return strings.ReplaceAll(s, "\t", " ")
}

// replay sets the rows up, sends the request and returns the first difference.
func replay(t *testing.T, w *world, root string, e exchange, p play, m message) string {
	t.Helper()
	if err := w.reset(); err != nil {
		t.Fatal(err)
	}
	var want message
	var shown any
	if e.response != nil {
		want = parse(amended(e.response.Text, p))
		if want.body != "" {
			var err error
			if shown, err = tree(want.body); err != nil {
				t.Fatalf("%s: %v", e.id(), err)
			}
		}
	}
	s := w.seeds()
	s.shown(shown)
	if strings.Contains(m.first, "$filter=") {
		s.decoy(shown)
	}
	if !p.absent {
		s.referred(m.first + m.body)
	}
	if r := plainSet.FindStringSubmatch(organisation.ReplaceAllString(m.first, "")); e.response == nil && r != nil {
		s.referred(r[1] + "(eeeeeeee-0000-0000-0000-eeeeeeeeeeee)")
	}
	for _, r := range p.rows {
		set, body, _ := strings.Cut(r, " ")
		v, err := tree(body)
		o, ok := v.(map[string]any)
		if err != nil || !ok || w.schema.Model.Set(set) == nil {
			t.Fatalf("%s: row %s: %v", e.id(), r, err)
		}
		s.add(w.schema.Model.Set(set), o)
	}
	if err := s.put(); err != nil {
		t.Fatal(err)
	}
	for _, b := range p.before {
		if got := send(t, root, parse(b)); got.why != "" {
			t.Fatalf("%s: %s: %s", e.id(), b, got.why)
		}
	}
	if !p.stale {
		etags(w, m)
	}
	got := send(t, root, m)
	if e.response == nil {
		switch {
		case p.want != 0 && got.status == p.want:
			return ""
		case p.want != 0:
			return fmt.Sprintf("status %d, want %d", got.status, p.want)
		case got.why == "" && strings.HasPrefix(m.first, "GET "):
			return lacks(m.first, got.body)
		}
		return got.why
	}
	return against(want, shown, got)
}

var (
	plainSet    = regexp.MustCompile(`^GET (?:/api/data/v9\.\d/)?([a-z_]+)\?`)
	selectNames = regexp.MustCompile(`[?&]\$select=([^&]*)`)
)

// lacks returns a property that was selected and that a row of an answer does
// not have, "" if there is none.
func lacks(first, body string) string {
	asked := selectNames.FindStringSubmatch(first)
	v, err := tree(body)
	top, ok := v.(map[string]any)
	if asked == nil || err != nil || !ok {
		return ""
	}
	rows := []any{top}
	if list, ok := top["value"].([]any); ok {
		rows = list
	}
	for _, r := range rows {
		o, _ := r.(map[string]any)
		for _, name := range strings.Split(strings.Trim(asked[1], ", "), ",") {
			name = strings.TrimSpace(name)
			if _, ok := o[name]; !ok {
				if _, ok := o["_"+name+"_value"]; !ok {
					return "a row lacks " + name
				}
			}
		}
	}
	return ""
}

// against compares an answer with the documented one.
func against(want message, shown any, got reply) string {
	status := strings.Fields(want.first)[1]
	if code := fmt.Sprint(got.status); code != status {
		if got.why == "" {
			got.why = "status " + code
		}
		return got.why + ", want " + status
	}
	if d := headers(want.header, got.header, got.body); d != "" {
		return d
	}
	if want.body == "" {
		if got.body != "" {
			return "a body, want none"
		}
		return ""
	}
	v, err := tree(got.body)
	if err != nil {
		return "the body is no JSON"
	}
	return differ("", shown, v, got.status < 400)
}

// etags makes the conditions of a request those of the row as it is.
func etags(w *world, m message) {
	for _, k := range []string{"If-Match", "If-None-Match"} {
		r := rowRef.FindStringSubmatch(m.first)
		if !strings.HasPrefix(m.header.Get(k), "W/") || r == nil {
			continue
		}
		if v := version(w, w.schema.Model.Set(r[1]).LogicalName, guid(r[2])); v != 0 {
			m.header.Set(k, fmt.Sprintf(`W/"%d"`, v))
		}
	}
}

var escapes = strings.NewReplacer(" ", "%20", `"`, "%22", "<", "%3C", ">", "%3E", "{", "%7B", "}", "%7D", "|", "%7C", "\\", "%5C", "^", "%5E", "`", "%60")

// reply is an answer; why says what is wrong with one that is no success.
type reply struct {
	status    int
	header    http.Header
	body, why string
}

func send(t *testing.T, root string, m message) reply {
	t.Helper()
	method, u, _ := strings.Cut(m.first, " ")
	u = organisation.ReplaceAllString(strings.TrimSpace(u), root)
	if !strings.HasPrefix(u, "http") {
		u = root + "/api/data/v9.0/" + u
	}
	u = strings.ReplaceAll(u, "/v8.1/", "/v9.0/")
	content := organisation.ReplaceAllString(m.body, root)
	switch {
	case strings.HasSuffix(u, "$batch"):
		content = strings.ReplaceAll(content, "\n", "\r\n")
	case strings.HasPrefix(content, "byte[]"):
		content = strings.Repeat("\x00", 4096)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, escapes.Replace(u), strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = m.header.Clone()
	req.Header.Set("Authorization", "Bearer x")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := reply{status: res.StatusCode, header: res.Header, body: string(b)}
	switch {
	case got.status >= 300:
		got.why = fmt.Sprintf("status %d: %s", got.status, errorText(got.body))
	case strings.HasSuffix(u, "$batch"):
		if bad := regexp.MustCompile(`HTTP/1\.1 [45]\d\d`).FindString(got.body); bad != "" {
			got.why = "a part failed: " + bad
		}
	}
	return got
}

// errorText is the text of an error, short.
func errorText(body string) string {
	v, err := tree(body)
	if err != nil {
		return "no JSON"
	}
	top, _ := v.(map[string]any)
	e, _ := top["error"].(map[string]any)
	s := mask(strings.TrimSpace(fmt.Sprint(e["message"])))
	s = regexp.MustCompile(`http://127[^ ']*`).ReplaceAllString(s, "<url>")
	if len(s) > 120 {
		s = s[:117] + "..."
	}
	return strings.Join(strings.Fields(s), " ")
}

// version is the row version, 0 if there is no row.
func version(w *world, table string, id allod.GUID) (v uint64) {
	w.srv.Store().View(func(tx *store.Tx) {
		if r := tx.Get(table, id); r != nil {
			v = r.Version
		}
	})
	return v
}
