package odata_test

import (
	"bufio"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"allod/internal/odata"
	"allod/internal/odata/query"
)

const casesFile = "../../../shared/data/odata/odata-abnf-testcases-half.yaml"

type testCase struct {
	Name   string `yaml:"Name"`
	Rule   string `yaml:"Rule"`
	Input  string `yaml:"Input"`
	FailAt *int   `yaml:"FailAt"`
}

// TestConformance judges the OASIS ABNF test cases with the parsers that
// production uses, each rule through its entry point.
func TestConformance(t *testing.T) {
	raw, err := os.ReadFile(casesFile)
	if err != nil {
		t.Skipf("no ABNF test cases: %v", err)
	}
	var doc struct {
		Constraints map[string][]string `yaml:"Constraints"`
		TestCases   []testCase          `yaml:"TestCases"`
	}
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	excluded := readExcluded(t)
	custom := map[string]bool{}
	for _, name := range doc.Constraints["customName"] {
		custom[name] = true
	}
	d := query.Dialect{Custom: func(name string) bool { return custom[name] }}
	used := map[string]bool{}
	passed, out := 0, 0
	for _, c := range doc.TestCases {
		accept, known := recognise(d, c.Rule, c.Input)
		right := known && accept == (c.FailAt == nil)
		id := c.Rule + " | " + c.Input
		if reason, ok := excluded[id]; ok {
			used[id] = true
			out++
			switch {
			case c.FailAt != nil:
				t.Errorf("%s: a negative case is excluded", c.Name)
			case right:
				t.Errorf("%s: excluded (%s) but it passes", c.Name, reason)
			}
			continue
		}
		if !right {
			t.Errorf("%s\n\trule %s, known %v, input %q: got accepted %v, want %v", c.Name, c.Rule, known, c.Input, accept, c.FailAt == nil)
			continue
		}
		passed++
	}
	for id := range excluded {
		if !used[id] {
			t.Errorf("excluded case does not exist: %q", id)
		}
	}
	if len(doc.TestCases) == 0 {
		t.Error("the file has no cases")
	}
	t.Logf("OData ABNF: total %d, passed %d, excluded %d", len(doc.TestCases), passed, out)
}

// readExcluded reads "rule | input | reason" lines; the id of a case is its
// rule and input, since names repeat.
func readExcluded(t *testing.T) map[string]string {
	t.Helper()
	f, err := os.Open("testdata/odata-excluded.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // read only
	list := map[string]string{}
	for s := bufio.NewScanner(f); s.Scan(); {
		line := s.Text()
		if line == "" || strings.HasPrefix(line, "# ") {
			continue
		}
		cut := strings.LastIndex(line, " | ")
		if cut < 0 || strings.TrimSpace(line[cut+3:]) == "" {
			t.Fatalf("excluded case without a reason: %q", line)
		}
		list[line[:cut]] = line[cut+3:]
	}
	return list
}

// values maps rules of section 7 to the type whose values they describe.
var values = map[string]string{
	"dateTimeOffsetValue": "Edm.DateTimeOffset", "decimalValue": "Edm.Decimal", "date": "Edm.Date",
	"timeOfDayValue": "Edm.TimeOfDay", "doubleValue": "Edm.Double", "durationValue": "Edm.Duration",
	"guid": "Edm.Guid", "sbyteValue": "Edm.SByte", "byteValue": "Edm.Byte", "int16Value": "Edm.Int16",
	"int32Value": "Edm.Int32", "int64Value": "Edm.Int64", "booleanValue": "Edm.Boolean", "enumValue": "enumeration",
}

// literals maps rules of literals in URLs to what the literal must be.
var literals = map[string]query.LiteralKind{
	"primitiveLiteral": 0, "stringLiteral": query.LitString, "enumLiteral": query.LitEnum, "binaryLiteral": query.LitBinary,
	"decimalLiteral": query.LitNumber, "singleLiteral": query.LitNumber, "durationLiteral": query.LitDuration,
	"boolean": query.LitBool, "dateTimeOffsetValueInUrl": query.LitDateTime,
	"geographyCollection": query.LitGeo, "geographyMultiLineString": query.LitGeo, "geographyMultiPoint": query.LitGeo,
	"geographyPoint": query.LitGeo, "geometryCollection": query.LitGeo, "geometryMultiLineString": query.LitGeo,
	"geometryMultiPoint": query.LitGeo, "geometryPoint": query.LitGeo,
}

// recognise says whether input is in the language of rule, and whether the
// rule has an entry point.
func recognise(d query.Dialect, rule, input string) (accept, known bool) {
	ok := func(err error) (bool, bool) { return err == nil, true }
	if edm, found := values[rule]; found {
		_, err := query.ParseValue(edm, input)
		return ok(err)
	}
	if kind, found := literals[rule]; found {
		lit, err := d.ParseLiteral(input)
		if err != nil || kind == 0 {
			return ok(err)
		}
		if lit.Kind == query.LitString {
			// Without their prefix these look like strings.
			switch kind {
			case query.LitDuration:
				_, err = query.ParseValue("Edm.Duration", lit.Text)
				return ok(err)
			case query.LitEnum:
				_, err = query.ParseValue("enumeration", lit.Text)
				return ok(err)
			}
		}
		if kind == query.LitGeo {
			shape := strings.TrimPrefix(strings.TrimPrefix(rule, "geography"), "geometry")
			return lit.Kind == kind && strings.HasPrefix(rule, lit.Type) && strings.Contains(lit.Text, ";"+shape) ||
				lit.Kind == kind && shape == "Collection" && strings.Contains(lit.Text, ";GeometryCollection"), true
		}
		return lit.Kind == kind, true
	}
	switch rule {
	case "odataUri":
		return absolute(d, input), true
	case "odataRelativeUri":
		_, err := d.ParseURL(input)
		return ok(err)
	case "resourcePath":
		path, err := d.ParsePath(input)
		return err == nil && len(path) > 0, true
	case "queryOptions":
		_, err := d.ParseOptions(input)
		return ok(err)
	case "filter", "expand", "select", "orderby", "orderBy", "compute", "search", "skiptoken", "deltatoken", "systemQueryOption":
		o, err := d.ParseOptions(input)
		return err == nil && len(o.Names) == 1 && strings.HasPrefix(o.Names[0], "$") &&
			(rule == "systemQueryOption" || o.Names[0] == "$"+strings.ToLower(rule)), true
	case "customQueryOption":
		o, err := d.ParseOptions(input)
		return err == nil && len(o.Custom) == 1, true
	case "searchExpr":
		_, err := d.ParseOptions("$search=" + input)
		return err == nil && !strings.HasPrefix(input, "'"), true
	case "commonExpr", "boolCommonExpr", "firstMemberExpr", "propertyPathExpr", "isofExpr":
		e, err := d.ParseEscaped(input)
		if err != nil {
			return false, true
		}
		_, path := e.(*query.Path)
		cast, isCast := e.(*query.Cast)
		switch rule {
		case "firstMemberExpr", "propertyPathExpr":
			return path, true
		case "isofExpr":
			return isCast && cast.IsOf, true
		}
		return true, true
	case "anyExpr":
		_, err := d.ParseEscaped("collection/" + input)
		return err == nil && strings.HasPrefix(input, "any("), true
	case "functionParameter":
		_, err := d.ParsePath("f(" + input + ")")
		return err == nil && strings.IndexByte(input, '=') > 0, true
	case "stringInUrl":
		e, err := d.ParseEscaped("[" + input + "]")
		if err != nil {
			return false, true
		}
		a, isArray := e.(*query.Array)
		return isArray && len(a.Items) == 1, true
	case "odataIdentifier", "entitySetName":
		return query.IsIdentifier(input), true
	case "primitiveValue":
		for _, edm := range []string{"Edm.Boolean", "Edm.Guid", "Edm.Duration", "Edm.DateTimeOffset", "Edm.Date", "Edm.TimeOfDay", "Edm.Decimal", "Edm.Binary", "enumeration"} {
			if _, err := query.ParseValue(edm, input); err == nil {
				return true, true
			}
		}
		return false, true
	case "context":
		rest, hash := strings.CutPrefix(input, "#")
		_, err := query.ParseContext(rest)
		return err == nil && hash, true
	}
	return recogniseHeader(rule, input)
}

// absolute accepts an absolute URL if, with some service root, the rest is a
// request.
func absolute(d query.Dialect, input string) bool {
	_, rest, err := query.SplitOrigin(input)
	if err != nil {
		return false
	}
	for i := range len(rest) {
		if rest[i] == '?' || rest[i] == '#' {
			break
		}
		if rest[i] != '/' {
			continue
		}
		if _, err := d.ParseURL(rest[i+1:]); err == nil {
			return true
		}
	}
	return false
}

func recogniseHeader(rule, input string) (accept, known bool) {
	name, value, found := strings.Cut(input, ":")
	value = strings.TrimSpace(value)
	switch rule {
	case "preference", "maxpagesizePreference", "includeAnnotationsPreference":
		p, err := odata.ParsePrefer(input)
		return err == nil && len(p.Unknown) == 0, true
	case "prefer":
		_, err := odata.ParsePrefer(value)
		return err == nil && strings.EqualFold(name, "Prefer"), true
	case "request-id":
		return odata.IsContentID(input), true
	case "header":
		if !found {
			return false, true
		}
		switch strings.ToLower(name) {
		case "content-id":
			return odata.IsContentID(value), true
		case "odata-entityid":
			_, _, err := odata.ParseEntityID(value)
			return err == nil, true
		case "odata-version", "odata-maxversion":
			major, _, err := odata.ParseVersion(value)
			return err == nil && (major == 4 || name == "odata-maxversion"), true
		}
	}
	return false, false
}
