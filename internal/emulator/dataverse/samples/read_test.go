package samples_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/textproto"
	"os"
	"regexp"
	"strings"
	"testing"
)

const shared = "../../../../../shared/data/dataverse/"

// block is a piece of the documentation as it is printed there.
type block struct {
	File string
	Line int
	Kind string // request, response, or something else
	Text string
}

func (b *block) id() string {
	if b == nil {
		return "-"
	}
	return fmt.Sprintf("%s:%d", strings.TrimSuffix(b.File, ".md"), b.Line)
}

// exchange is a request with its response; either may be missing, since the
// file holds two thirds of the documentation's pieces.
type exchange struct{ request, response *block }

func (e exchange) id() string {
	if e.request != nil {
		return e.request.id()
	}
	return e.response.id()
}

// parts is how many of the file's requests and responses the exchange is.
func (e exchange) parts() int {
	if e.request != nil && e.response != nil {
		return 2
	}
	return 1
}

func blocks(t *testing.T) []block {
	t.Helper()
	data, err := os.ReadFile(shared + "documented-http-samples.json")
	if err != nil {
		t.Skip("the documentation's samples are not here: ../shared/data is absent")
	}
	var list []block
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// farApart are pairs between which the documentation says more than a line.
var farApart = map[string]bool{"run-duplicate-detection:153": true}

// pair puts each response to the request before it, if nothing but a heading
// can stand between them.
func pair(list []block) []exchange {
	var out []exchange
	for i := range list {
		b := &list[i]
		switch b.Kind {
		case "request":
			out = append(out, exchange{request: b})
		case "response":
			if i > 0 {
				prev := &list[i-1]
				gap := b.Line - prev.Line - strings.Count(prev.Text, "\n")
				if prev.Kind == "request" && prev.File == b.File && (gap <= 8 || farApart[b.id()]) {
					out[len(out)-1].response = b
					continue
				}
			}
			out = append(out, exchange{response: b})
		}
	}
	return out
}

// message is a request or a response taken apart.
type message struct {
	first  string // METHOD url, or the status line
	header http.Header
	body   string
}

var (
	headerLine = regexp.MustCompile(`^\s*([A-Za-z][A-Za-z._-]*):\s*(.*?)\s*$`)
	labels     = map[string]bool{"Header": true, "Headers": true, "Body": true}
)

// parse reads what the documentation prints: lines may be indented, the URL may
// be broken, the empty line before the body may be missing, and pieces may have
// labels.
func parse(text string) message {
	lines := strings.Split(strings.ReplaceAll(text, "\r", ""), "\n")
	m := message{first: strings.TrimSpace(lines[0]), header: http.Header{}}
	i := 1
	for ; i < len(lines); i++ {
		l := strings.TrimSpace(lines[i])
		if l == "" || headerLine.MatchString(l) || strings.HasPrefix(l, "{") || strings.Contains(m.first, " HTTP/1.1") || strings.HasPrefix(m.first, "HTTP/1.1") {
			break
		}
		m.first += l
		if strings.HasSuffix(strings.TrimSpace(lines[i-1]), "and") {
			m.first = m.first[:len(m.first)-len(l)] + " " + l
		}
	}
	m.first = strings.TrimSpace(strings.TrimSuffix(m.first, "HTTP/1.1"))
	for ; i < len(lines); i++ {
		h := headerLine.FindStringSubmatch(lines[i])
		switch {
		case strings.TrimSpace(lines[i]) == "" || h != nil && labels[h[1]]:
		case h != nil:
			m.header.Add(textproto.CanonicalMIMEHeaderKey(h[1]), h[2])
		default:
			m.body = strings.Join(lines[i:], "\n")
			return m
		}
	}
	return m
}

var (
	omitted  = regexp.MustCompile(`<Omitted[^>]*>|Additional options removed for brevity`)
	ellipsis = regexp.MustCompile(`,\s*\. \. \.`)
)

// tree reads JSON as the documentation prints it, numbers as json.Number.
func tree(body string) (any, error) {
	body = ellipsis.ReplaceAllString(omitted.ReplaceAllString(body, ""), "")
	dec := json.NewDecoder(strings.NewReader(body))
	dec.UseNumber()
	var v any
	err := dec.Decode(&v)
	return v, err
}
