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
	"int32Value": "Edm.Int32", "int64Value": "Edm.Int64", "booleanValue": "Edm.Boolean", "enumValue": "enumeration", "singleValue": "Edm.Single",
	"binaryValue": "Edm.Binary", "byte": "Edm.Byte",
}

// literals maps rules of literals in URLs to what the literal must be.
var literals = map[string]query.LiteralKind{
	"primitiveLiteral": 0, "stringLiteral": query.LitString, "enumLiteral": query.LitEnum, "binaryLiteral": query.LitBinary,
	"decimalLiteral": query.LitNumber, "singleLiteral": query.LitNumber, "durationLiteral": query.LitDuration,
	"boolean": query.LitBool, "dateTimeOffsetValueInUrl": query.LitDateTime,
	"null": query.LitNull, "doubleLiteral": query.LitNumber, "sbyteLiteral": query.LitNumber, "int16Literal": query.LitNumber,
	"int32Literal": query.LitNumber, "int64Literal": query.LitNumber, "dateTimeOffsetLiteral": query.LitDateTime,
	"timeOfDayLiteral": query.LitTimeOfDay, "timeOfDayValueInUrl": query.LitTimeOfDay,
	"geographyLineString": query.LitGeo, "geographyMultiPolygon": query.LitGeo, "geographyPolygon": query.LitGeo,
	"geometryLineString": query.LitGeo, "geometryMultiPolygon": query.LitGeo, "geometryPolygon": query.LitGeo,
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
	case "filter", "expand", "select", "orderby", "orderBy", "compute", "search", "skiptoken", "deltatoken", "systemQueryOption",
		"top", "skip", "index", "format", "id", "schemaversion", "inlinecount", "apply":
		o, err := d.ParseOptions(input)
		return err == nil && len(o.Names) == 1 && strings.HasPrefix(o.Names[0], "$") &&
			(rule == "systemQueryOption" || o.Names[0] == "$"+strings.ToLower(rule) || rule == "inlinecount" && o.Count.Set), true
	case "customQueryOption":
		o, err := d.ParseOptions(input)
		return err == nil && len(o.Custom) == 1, true
	case "searchExpr":
		_, err := d.ParseOptions("$search=" + input)
		return err == nil && !strings.HasPrefix(input, "'"), true
	case "commonExpr", "boolCommonExpr", "firstMemberExpr", "memberExpr", "propertyPathExpr", "isofExpr", "castExpr", "parenExpr",
		"notExpr", "negateExpr", "methodCallExpr", "boolMethodCallExpr", "arrayOrObject", "rootExpr":
		e, err := d.ParseEscaped(input)
		if err != nil {
			return false, true
		}
		_, path := e.(*query.Path)
		cast, isCast := e.(*query.Cast)
		switch rule {
		case "firstMemberExpr", "memberExpr", "propertyPathExpr", "rootExpr":
			return path, true
		case "castExpr":
			return isCast && !cast.IsOf, true
		case "isofExpr":
			return isCast && cast.IsOf, true
		}
		return true, true
	case "anyExpr", "allExpr":
		_, err := d.ParseEscaped("collection/" + input)
		return err == nil && strings.HasPrefix(input, rule[:3]+"("), true
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
	case "odataIdentifier", "entitySetName", "parameterName", "termName":
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
	case "preference", "maxpagesizePreference", "includeAnnotationsPreference", "callbackPreference", "continueOnErrorPreference",
		"allowEntityReferencesPreference", "omitValuesPreference", "respondAsyncPreference", "returnPreference", "trackChangesPreference", "waitPreference":
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

// TestRefuses adds negative cases of our own, since those of OASIS are few.
func TestRefuses(t *testing.T) {
	for rule, inputs := range map[string][]string{
		"odataRelativeUri": {
			"Categories(1)/", "Categories(", "Categories()()", "Categories(1)(2)", "Categories(1)x", "$metadata/foo", "$batch/foo", "$count", "$ref", "$each",
			"Categories(ID=1,2)", "Categories(1,2)", "Categories(null)", "Categories?$top", "Categories?$top=", "Categories?$top=-1", "Categories?$top=1.5",
			"Categories?$top=99999999999999999999", "Categories?$skip=x", "Categories?$select=", "Categories?$select=a,", "Categories?$select=a/*", "Categories?$unknown=1",
			"Categories?=x", "Categories?&", "$entity", "$crossjoin()", "$crossjoin(A", "$all/$count", "Categories/$each/$count", "$batch?$filter=a", "$metadata?$top=1", "Categories?$count=yes",
			"Categories?$orderby=a up", "Categories?$orderby=", "Categories?$expand=", "Categories?$expand=a()", "Categories?$expand=a($top=1;)", "Categories?$expand=a($skiptoken=1)",
			"Categories?$expand=Model.Type", "Categories?$expand=*/a", "Categories?$expand=a/$count($top=1)", "Categories?$select=a($expand=b)", "Categories?@p", "Categories?@1=2", "Categories?@p=a b",
			"Categories?$apply=groupby(a)", "Categories?$apply=aggregate(a with sum)", "Categories?$apply=aggregate(a with most as b)", "Categories?$apply=", "Categories#x", "Categories(%zz)", "a//b",
		},
		"filter": {
			"$filter=", "$filter=a eq", "$filter=eq 1", "$filter=a eq 1 and", "$filter=a eq'1'", "$filter=(a", "$filter=a)", "$filter=()", "$filter=contains(a)", "$filter=contains(a,b,c)",
			"$filter=now(1)", "$filter=substring(a)", "$filter=a/any(b)", "$filter=a/any(b:)", "$filter=a/any(:b)", "$filter=a/all()", "$filter=a in 1,2", "$filter=a in (1,)", "$filter=a has 1",
			"$filter=a/$count/b", "$filter=a/", "$filter='a", "$filter=a eq 2012-13-01", "$filter=a eq 2012-01-32", "$filter=a eq 24:00", "$filter=a eq 1.", "$filter=a eq .5", "$filter=a eq 1e",
			"$filter=a eq 0123456g-89ab-cdef-0123-456789abcdef", "$filter=[1,]", "$filter=[1 2]", `$filter={"a"}`, `$filter={a:1}`, "$filter=cast()", "$filter=isof(a,)", "$filter=case()", "$filter=case(a)",
			"$filter=a eq duration'1D'", "$filter=a eq binary'Zm8'x", "$filter=a eq binary'Z'", "$filter=a eq Unqualified'x'", "$filter=f(1,2)", "$filter=f(a=)", "$filter=$root", "$filter=a eq 1 xor b eq 2",
			"$filter=a b", `$filter=a eq "x"`, "$filter=@", "$filter=a/@", "$filter=1a eq 2", "$filter=a+eq+1", "$filter=a eq geography'SRID=0;Point(1)'",
		},
		"context":             {"accounts", "#", "#accounts(", "#accounts()x", "#accounts/$foo", "#$entity", "#Collection(", "#accounts(a)(b)", "#accounts(a))", "#accounts/$entity/x"},
		"dateTimeOffsetValue": {"2012-09-03T13:52", "2012-09-03 13:52Z", "2012-00-03T13:52Z", "2012-09-03T13:60Z", "2012-09-03T13:52:61Z", "2012-09-03T13:52Z ", "12-09-03T13:52Z", "2012-09-03T13:52:01.Z"},
		"decimalValue":        {"", "-", ".5", "1.", "1e", "1,5", "0x1", "+INF", "nan", " 1"},
		"guid":                {"", "01234567-89ab-cdef-0123-456789abcde", "01234567-89ab-cdef-0123-456789abcdef0", "0123456789abcdef0123456789abcdef"},
		"stringLiteral":       {"", "'", "'''", "a", "'a'b", "'a' ", "\"a\""},
		"durationValue":       {"", "P1", "1D", "PD", "P1H", "PT1D", "PT1.H"},
		"preference":          {"maxpagesize=", "return=some", "include-annotations=x", "callback", "wait=-1"},
	} {
		for _, input := range inputs {
			if accept, known := recognise(query.Dialect{}, rule, input); accept || !known {
				t.Errorf("%s: %q: got accepted %v (rule known: %v), want it refused", rule, input, accept, known)
			}
		}
	}
}
