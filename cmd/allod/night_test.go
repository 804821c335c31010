package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestNight carries out docs/night.md: every line of a console block that begins
// with a dollar sign is run, in a company to which the accident of its section
// has happened, and what the page shows of the output must be in the output.
// Times, sizes, ids and the order of lines may differ; "…" stands for lines left
// out, "# exit code N" for the exit code. ALLOD_TRANSCRIPT=FILE writes down what
// was printed, to quote from.
func TestNight(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the page is written for a POSIX shell")
	}
	page, err := os.ReadFile("../../docs/night.md")
	if err != nil {
		t.Fatal(err)
	}
	played := map[string]bool{}
	for i, section := range strings.Split(string(page), "\n## ")[1:] {
		title, text, _ := strings.Cut(section, "\n")
		scene := regexp.MustCompile(`<!-- scene: ([a-z]+) -->`).FindStringSubmatch(text)
		if scene == nil {
			if strings.Contains(text, "```console") {
				t.Errorf("section %q has commands and no scene", title)
			}
			continue
		}
		played[scene[1]] = true
		t.Run(scene[1], func(t *testing.T) {
			t.Parallel()
			n := newNight(t)
			n.must("allod init --json --key file:" + filepath.Join(n.dir, "key") + " > init.json")
			n.must("allod connect prod " + n.url)
			n.must("allod backup prod")
			n.accident(scene[1])
			n.play(scene[1], text, i)
		})
	}
	for _, want := range []string{"column", "deleted", "emptied", "dropped", "machine", "partial"} {
		if !played[want] {
			t.Errorf("the page has no section for the scene %q", want)
		}
	}
}

// night is one section being played.
type night struct {
	t     *testing.T
	dir   string
	url   string
	env   []string
	words string            // of the recovery key, once it is needed
	seen  map[string]string // ids of the page and what they are this time
}

func newNight(t *testing.T) *night {
	n := &night{t: t, dir: t.TempDir(), seen: map[string]string{}}
	n.env = append(os.Environ(), "HOME="+n.dir, "TZ=UTC", "NO_COLOR=1", "COLUMNS=80", "TMPDIR="+n.dir, "ALLOD_DIR="+filepath.Join(n.dir, "allod"))
	cmd := n.command("exec allod emulate dataverse --json")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended
		if err := cmd.Wait(); err != nil {
			t.Errorf("emulate dataverse: %v", err)
		}
	})
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var ready struct{ URL string }
	if err := json.Unmarshal(line, &ready); err != nil {
		t.Fatal(err)
	}
	n.url = ready.URL
	n.env = append(n.env, "URL="+n.url)
	return n
}

// command prepares a line for the shell.
func (n *night) command(line string) *exec.Cmd {
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir, cmd.Env = n.dir, n.env
	if n.words != "" { // somebody types the recovery key when asked
		cmd.Stdin = strings.NewReader(n.words)
	}
	return cmd
}

// export carries out `export NAME=VALUE` for the commands after it.
func (n *night) export(line string) {
	code, out := n.run("printf %s \"" + line + "\"")
	if code != 0 {
		n.t.Fatalf("export %s: %s", line, out)
	}
	n.env = append(n.env, out)
}

func (n *night) run(line string) (int, string) {
	n.t.Helper()
	out, err := n.command(line).CombinedOutput()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		n.t.Fatalf("%s: %v", line, err)
	}
	if ended != nil {
		return ended.ExitCode(), string(out)
	}
	return 0, string(out)
}

func (n *night) must(line string) {
	n.t.Helper()
	if code, out := n.run(line); code != 0 {
		n.t.Fatalf("%s: exit code %d: %s", line, code, out)
	}
}

// play carries out the commands.
func (n *night) play(scene, text string, section int) {
	var transcript strings.Builder
	for _, block := range strings.Split(text, "```console\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		for _, step := range strings.Split("\n"+block, "\n$ ")[1:] {
			line, shown, _ := strings.Cut(step, "\n")
			line = n.translate(line)
			if assign, ok := strings.CutPrefix(line, "export "); ok {
				n.export(assign)
				continue
			}
			line, comment, _ := strings.Cut(line, "    # ")
			want := 0
			if number, ok := strings.CutPrefix(comment, "exit code "); ok {
				var err error
				if want, err = strconv.Atoi(number); err != nil {
					n.t.Fatalf("%s: %v", step, err)
				}
			}
			code, out := n.run(line)
			fmt.Fprintf(&transcript, "$ %s    # exit code %d\n%s", line, code, out)
			if code != want {
				n.t.Errorf("$ %s\nexit code %d, want %d:\n%s", line, code, want, out)
			}
			n.compare(line, shown, out)
			n.between(scene, line)
		}
	}
	if path := os.Getenv("ALLOD_TRANSCRIPT"); path != "" {
		if err := os.WriteFile(fmt.Sprintf("%s.%d", path, section), []byte(transcript.String()), 0o600); err != nil {
			n.t.Fatal(err)
		}
	}
}

// translate puts the ids of this time in the place of those of the page.
func (n *night) translate(line string) string {
	for page, now := range n.seen {
		line = strings.ReplaceAll(line, page, now)
	}
	return line
}

var (
	idPattern  = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{16}\b`)
	variations = []struct{ page, re *regexp.Regexp }{
		{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`), regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)},
		{regexp.MustCompile(`\d{4}-\d\d-\d\d`), regexp.MustCompile(`\d{4}-\d\d-\d\d`)},
		{regexp.MustCompile(`\b\d\d:\d\d(:\d\d)?\b`), regexp.MustCompile(`\d\d:\d\d(:\d\d)?`)},
		{regexp.MustCompile(`\b[\d.]+ (B|KiB|MiB|GiB)\b`), regexp.MustCompile(`[\d.]+ (B|KiB|MiB|GiB)`)},
		{regexp.MustCompile(`\b[\d.]+ ?(ms|s|min|h)\b`), regexp.MustCompile(`[\d.]+ ?(µs|ms|s|min|h)`)},
		{regexp.MustCompile(`http://127\.0\.0\.1:\d+`), regexp.MustCompile(`http://127\.0\.0\.1:\d+`)},
		{regexp.MustCompile(`\b\d+ objects`), regexp.MustCompile(`\d+ objects`)},
	}
)

// pattern is what a line of the page stands for.
func pattern(line string) *regexp.Regexp {
	marks := []string{}
	mark := func(re string) string {
		marks = append(marks, re)
		return fmt.Sprintf("\x00%d\x00", len(marks)-1)
	}
	line = strings.Join(strings.Fields(line), " ")
	line = idPattern.ReplaceAllStringFunc(line, func(id string) string { return mark(fmt.Sprintf("([0-9a-f-]{%d})", len(id))) })
	for _, v := range variations {
		line = v.page.ReplaceAllStringFunc(line, func(string) string { return mark("(?:" + v.re.String() + ")") })
	}
	line = regexp.QuoteMeta(line)
	for i, m := range marks {
		line = strings.Replace(line, fmt.Sprintf("\x00%d\x00", i), m, 1)
	}
	return regexp.MustCompile("^" + line + "$")
}

// What the page may show otherwise than it is printed, and what not.
func TestNightPattern(t *testing.T) {
	for _, c := range []struct {
		page, printed string
		want          bool
	}{
		{"prod@1   2026-11-21 15:23:38     2s     11427", "prod@1 2027-01-02 03:04:05 1.5s 11427", true},
		{"prod@1   2026-11-21 15:23:38     2s     11427", "prod@1 2027-01-02 03:04:05 1.5s 11428", false},
		{"60 created, 60 updated, 0 deleted.", "60 created, 60 updated, 1 deleted.", false},
		{"60 created", "160 created", false},
		{"Stored 72.0 KiB in 340ms.", "Stored 1.4 MiB in 2.1s.", true},
		{"08f20d35-62f3-4780-9355-e5359d92e87c  Brightwell", "18f20d35-62f3-4780-9355-e5359d92e87c Brightwell", true},
		{"08f20d35-62f3-4780-9355-e5359d92e87c  Brightwell", "18f20d35-62f3-4780-9355-e5359d92e87c Wetterfels", false},
		{"Plan 1efd373a87ac0c1a", "Plan 1efd373a87ac0c1", false},
		{"0 failed, 0 conflicts.", "0 failed, 0 conflicts!", false},
	} {
		if got := pattern(c.page).MatchString(c.printed); got != c.want {
			t.Errorf("%q for %q: %v, want %v", c.printed, c.page, got, c.want)
		}
	}
}

// compare looks for every line that the page shows.
func (n *night) compare(line, shown, out string) {
	n.t.Helper()
	lines := strings.Split(out, "\n")
	for i := range lines {
		lines[i] = strings.Join(strings.Fields(lines[i]), " ")
	}
next:
	for want := range strings.Lines(shown) {
		if want = strings.TrimSpace(want); want == "" || want == "…" {
			continue
		}
		re := pattern(want)
		for i, got := range lines {
			m := re.FindStringSubmatch(got)
			if m == nil {
				continue
			}
			ids := idPattern.FindAllString(want, -1)
			for j, id := range ids {
				if m[j+1] != id {
					n.seen[id] = m[j+1]
				}
			}
			lines[i] = "\x00" // each line counts once
			continue next
		}
		n.t.Errorf("$ %s\nthe page shows a line that was not printed:\n  %s\nprinted was:\n%s", line, want, out)
	}
}

// api asks the company as its users' own programs would.
func (n *night) api(method, path, body string, into any) {
	n.t.Helper()
	req, err := http.NewRequestWithContext(n.t.Context(), method, n.url+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer a-person")
	req.Header.Set("Content-Type", "application/json")
	res, err := (&http.Client{Timeout: time.Minute}).Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode >= 300 {
		n.t.Fatalf("%s %s: %v, status %d: %s", method, path, err, res.StatusCode, raw)
	}
	if into != nil {
		if err := json.NewDecoder(bytes.NewReader(raw)).Decode(into); err != nil {
			n.t.Fatal(err)
		}
	}
}

// ids are keys of rows of a set, those for which a filter holds.
func (n *night) ids(set, key, filter string) []string {
	n.t.Helper()
	query := "?$select=" + key
	if filter != "" {
		query += "&$filter=" + url.PathEscape(filter)
	}
	var page struct{ Value []map[string]any }
	n.api("GET", "/api/data/v9.2/"+set+query, "", &page)
	var out []string
	for _, row := range page.Value {
		id, _ := row[key].(string) // an id that is no text is not found below
		out = append(out, id)
	}
	if len(out) == 0 {
		n.t.Fatalf("%s has no rows where %s", set, filter)
	}
	return out
}

func (n *night) action(name, body string) { n.api("POST", "/_emulator/actions/"+name, body, nil) }

// accident is what happened before the section begins.
func (n *night) accident(scene string) {
	n.t.Helper()
	row := func(set, id string) string { return "/api/data/v9.2/" + set + "(" + id + ")" }
	contacts := n.ids("contacts", "contactid", "")
	work := func() { // a day like any other
		for _, id := range contacts[100:105] {
			n.api("PATCH", row("contacts", id), `{"jobtitle": "Head of Purchasing"}`, nil)
		}
		n.must("allod backup prod")
	}
	switch scene {
	case "column":
		work()
		for _, id := range contacts[:60] {
			n.api("PATCH", row("contacts", id), `{"telephone1": "0"}`, nil)
		}
		n.api("PATCH", row("contacts", contacts[7]), `{"jobtitle": "Managing Director"}`, nil)
		n.must("allod backup prod")
	case "deleted":
		work()
		for _, number := range []string{"A100006", "A100010", "A100011"} {
			n.api("DELETE", row("accounts", n.ids("accounts", "accountid", "accountnumber eq '"+number+"'")[0]), "", nil)
		}
		n.must("allod backup prod")
	case "emptied":
		work()
		for _, id := range n.ids("tasks", "activityid", "") {
			n.api("DELETE", row("tasks", id), "", nil)
		}
	case "dropped":
		work()
		n.action("drop-table", `{"table": "alp_loyaltycard"}`)
	case "machine":
		var made struct {
			Words []string `json:"recovery_key"`
		}
		raw, err := os.ReadFile(filepath.Join(n.dir, "init.json"))
		if err != nil {
			n.t.Fatal(err)
		}
		if err := json.Unmarshal(raw, &made); err != nil {
			n.t.Fatal(err)
		}
		work()
		for id := range strings.SplitSeq("A100006 A100010", " ") {
			n.api("DELETE", row("accounts", n.ids("accounts", "accountid", "accountnumber eq '"+id+"'")[0]), "", nil)
		}
		n.must("mkdir copy && cp -r allod/allod.yaml allod/vault.pin allod/slots allod/vault copy/ && rm -r allod key init.json")
		n.words = strings.Join(made.Words, " ") + "\n"
	case "partial":
		n.action("set-administrator", `{"on": false}`)
		n.action("set-depth", `{"table": "*", "depth": "Global"}`)
		n.action("set-depth", `{"table": "incident", "depth": "None"}`)
		if code, out := n.run("allod backup prod"); code != 3 {
			n.t.Fatalf("a backup without the cases ended with %d: %s", code, out)
		}
	default:
		n.t.Fatalf("no such scene: %s", scene)
	}
}

// between is what people do at a place that the page tells of.
func (n *night) between(scene, line string) {
	switch {
	case scene == "first" && strings.HasPrefix(line, "allod backup prod") && !strings.Contains(line, "--plan"):
		n.configure()
	case scene == "partial" && strings.HasPrefix(line, "allod check source"):
		n.action("set-depth", `{"table": "incident", "depth": "Global"}`)
	case scene == "dropped" && strings.HasPrefix(line, "allod schema"):
		n.action("create-table", `{"table": "alp_loyaltycard"}`)
	}
}
