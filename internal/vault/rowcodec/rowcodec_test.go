package rowcodec

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"allod"
)

var testNames = NewNames(&allod.Schema{Tables: []allod.Table{{Name: "account"}, {Name: "contact"}, {Name: "systemuser"}}})

func roundTrip(t interface {
	Helper()
	Fatalf(string, ...any)
}, cells []allod.Value,
) []byte {
	t.Helper()
	b, err := Append(nil, cells, testNames)
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	got, err := Decode(b, testNames)
	if err != nil {
		t.Fatalf("decode: %v", err)
	}
	want := cells
	for len(want) > 0 && want[len(want)-1].IsAbsent() {
		want = want[:len(want)-1]
	}
	if len(got) != len(want) {
		t.Fatalf("cells: got %d, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("cell %d: got %v %q, want %v %q", i, got[i].Type(), got[i], want[i].Type(), want[i])
		}
	}
	return b
}

// TestTexts gives every text-like type the same odd texts: none may change on
// the way, packed or not. The second table says which are packed.
func TestTexts(t *testing.T) {
	texts := []string{
		"", "0", "-0", "00", "+1", "1", "-1", ".5", "0.5", "-0.5", "1.", "1.0", "20000.0000", "922337203685477.5807", "-922337203685477.5808",
		"9223372036854775807", "9223372036854775808", "0.000000000000000001", "1E-07", "1e10", "NaN", "Inf", "-Infinity", "1_000", " 1", "1 ", "-0.00",
		"3.14", "100000000000000000000000", "0x10", "5E-324",
		"2023-04-07T21:59:01Z", "2023-04-07T21:59:01.1Z", "2023-04-07T21:59:01.123456789Z", "2023-04-07T21:59:01.1234567890Z", "2023-04-07T21:59:01.000Z", "2023-04-07T21:59:01,5Z",
		"2023-04-07T21:59:01+00:00", "2023-04-07t21:59:01z", "0001-01-01T00:00:00Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59.9999999Z", "1753-01-01T00:00:00Z", "2016-12-31T23:59:60Z",
		"2023-04-07", "0001-01-01", "9999-12-31", "1969-12-31", "2023-02-30", "10000-01-01", "1,2,3", "", "QUJD", "QUI=", "QUI", "QUJ=", "QU JD", "QUJD\n",
		`{"a":1}`, "\xff\xfe", "日本語", "\x00",
	}
	for _, typ := range []allod.Type{allod.String, allod.Decimal, allod.Double, allod.DateTime, allod.Date, allod.Choices, allod.JSON, allod.Binary} {
		for _, s := range texts {
			roundTrip(t, []allod.Value{allod.TextValue(typ, s)})
		}
	}
	packed := []struct {
		v    allod.Value
		code byte
	}{
		{allod.TextValue(allod.Decimal, "20000.0000"), cDecimal},
		{allod.TextValue(allod.Decimal, "-0.50"), cDecimal},
		{allod.TextValue(allod.Decimal, "-0"), cDecimalText},
		{allod.TextValue(allod.Double, "51.5074"), cDouble},
		{allod.TextValue(allod.Double, "1E-07"), cDoubleText},
		{allod.TextValue(allod.DateTime, "2023-04-07T21:59:01Z"), cTime},
		{allod.TextValue(allod.DateTime, "2023-04-07T21:59:01.120Z"), cTimeFraction},
		{allod.TextValue(allod.Date, "1899-12-31"), cDate},
		{allod.TextValue(allod.Date, "2023-02-30"), cDateText},
		{allod.LookupValue("contact", allod.GUID{1}), cLookup},
		{allod.LookupValue("", allod.GUID{1}), cLookupText},
		{allod.FileValue(allod.FileRef{Name: "a.txt", Size: 3, SHA256: strings.Repeat("ab", 32), Content: "x"}), cFile},
		{allod.FileValue(allod.FileRef{SHA256: "AB", Size: -1}), cFileText},
		{allod.TextValue(allod.Binary, "QUI="), cBinary},
	}
	for _, p := range packed {
		if b := roundTrip(t, []allod.Value{p.v}); b[1] != p.code {
			t.Errorf("%v %q: got code %d, want %d", p.v.Type(), p.v, b[1], p.code)
		}
	}
}

func TestAbsentNullEmpty(t *testing.T) {
	n, a, e := allod.NullValue(), allod.Value{}, allod.StringValue("")
	for _, cells := range [][]allod.Value{nil, {a}, {n}, {e}, {a, n, e}, {a, a, a, n, n, n, n, e, a, e, n, n, a, a}, {n, a}} {
		roundTrip(t, cells)
	}
}

func anyValue() *rapid.Generator[allod.Value] {
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`-?[0-9]{0,20}(\.[0-9]{0,20})?`),
		rapid.StringMatching(`[0-9]{4}-[01][0-9]-[0-3][0-9](T[0-2][0-9]:[0-5][0-9]:[0-6][0-9](\.[0-9]{1,10})?Z)?`), rapid.StringMatching(`[A-Za-z0-9+/]{0,12}={0,2}`))
	guid := rapid.Custom(func(t *rapid.T) allod.GUID {
		return allod.GUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "guid"))
	})
	return rapid.Custom(func(t *rapid.T) allod.Value {
		switch typ := allod.Type(rapid.IntRange(0, 14).Draw(t, "type")); typ {
		case allod.Absent:
			return allod.Value{}
		case allod.Null:
			return allod.NullValue()
		case allod.Integer:
			return allod.IntegerValue(rapid.Int64().Draw(t, "int"))
		case allod.Boolean:
			return allod.BooleanValue(rapid.Bool().Draw(t, "bool"))
		case allod.ID:
			return allod.IDValue(guid.Draw(t, "id"))
		case allod.Lookup:
			return allod.LookupValue(rapid.SampledFrom([]string{"account", "systemuser", "", "elsewhere"}).Draw(t, "table"), guid.Draw(t, "id"))
		case allod.File:
			return allod.FileValue(allod.FileRef{
				SourceID: text.Draw(t, "s"), Name: text.Draw(t, "n"), MIME: text.Draw(t, "m"), Size: rapid.Int64().Draw(t, "size"),
				Content: text.Draw(t, "c"), SHA256: rapid.SampledFrom([]string{"", "00", strings.Repeat("0f", 32), strings.Repeat("0F", 32)}).Draw(t, "sha"),
			})
		default:
			return allod.TextValue(typ, text.Draw(t, "text"))
		}
	})
}

func TestRoundTripProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		roundTrip(t, rapid.SliceOfN(anyValue(), 0, 60).Draw(t, "cells"))
	})
}

func FuzzDecode(f *testing.F) {
	b, err := Append(nil, []allod.Value{
		allod.StringValue("x"),
		{},
		{},
		allod.NullValue(), allod.IntegerValue(-5), allod.LookupValue("account", allod.GUID{2}),
		allod.TextValue(allod.Decimal, "1.50"), allod.TextValue(allod.DateTime, "2023-04-07T21:59:01.5Z"), allod.FileValue(allod.FileRef{Name: "f"}), allod.TextValue(allod.Binary, "QUI="),
	}, testNames)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Add([]byte{5, cNullRun, 0xff, 0xff, 3})
	f.Add([]byte{1, cString, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		cells, err := Decode(b, testNames)
		if err != nil {
			if allod.KindOf(err) != allod.Corrupt {
				t.Errorf("kind: got %v, want corrupt", allod.KindOf(err))
			}
			return
		}
		roundTrip(t, cells)
	})
}

func BenchmarkAppend(b *testing.B) {
	cells := []allod.Value{allod.StringValue("Grace Hopper"), allod.NullValue(), allod.IntegerValue(3), allod.TextValue(allod.DateTime, "2023-04-07T21:59:01Z"), allod.TextValue(allod.Decimal, "20000.0000"), allod.LookupValue("account", allod.GUID{1})}
	for len(cells) < 40 {
		cells = append(cells, cells[:6]...)
	}
	var buf []byte
	for b.Loop() {
		buf, _ = Append(buf[:0], cells, testNames)
	}
}
