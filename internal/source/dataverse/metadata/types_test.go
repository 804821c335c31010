package metadata

import (
	"testing"

	"allod"
)

// What AttributeTypeName and DateTimeBehavior say decides how a value is kept;
// AttributeType says Virtual of files, images and choices of several.
func TestValueTypes(t *testing.T) {
	for _, c := range []struct {
		native, behaviour string
		want              allod.Type
	}{
		{"DateTimeType", "UserLocal", allod.DateTime},
		{"DateTimeType", "TimeZoneIndependent", allod.DateTime},
		{"DateTimeType", "DateOnly", allod.Date},
		{"DecimalType", "", allod.Decimal},
		{"MoneyType", "", allod.Decimal},
		{"DoubleType", "", allod.Double},
		{"MultiSelectPicklistType", "", allod.Choices},
		{"PicklistType", "", allod.Integer},
		{"StatusType", "", allod.Integer},
		{"BigIntType", "", allod.Integer},
		{"CustomerType", "", allod.Lookup},
		{"OwnerType", "", allod.Lookup},
		{"FileType", "", allod.File},
		{"ImageType", "", allod.File},
		{"EntityNameType", "", allod.String},
		{"ManagedPropertyType", "", allod.JSON},
	} {
		a := Attribute{LogicalName: "x", AttributeType: "Virtual"}
		a.AttributeTypeName.Value, a.DateTimeBehavior.Value = c.native, c.behaviour
		if got := valueType("thing", &a); got != c.want {
			t.Errorf("%s %s: got %v, want %v", c.native, c.behaviour, got, c.want)
		}
	}
	body := Attribute{LogicalName: "documentbody", AttributeType: "String"}
	if got := valueType("annotation", &body); got != allod.File {
		t.Errorf("the body of a note: got %v", got)
	}
}

// What follows from other columns or tables is never stored (design/capture.md).
func TestNeverStored(t *testing.T) {
	for name, a := range map[string]Attribute{
		"label of a lookup":       {LogicalName: "primarycontactidname", AttributeType: "String", AttributeOf: "primarycontactid", IsValidForRead: true, IsValidODataAttribute: new(bool)},
		"its phonetic label":      {LogicalName: "primarycontactidyominame", AttributeType: "String", AttributeOf: "primarycontactid", IsValidForRead: true, IsValidODataAttribute: new(bool)},
		"label of a choice":       {LogicalName: "statecodename", AttributeType: "Virtual", AttributeOf: "statecode", IsValidForRead: true},
		"composite of an address": {LogicalName: "address1_composite", AttributeType: "Memo", IsLogical: true, IsValidForRead: true},
		"version":                 {LogicalName: "versionnumber", AttributeType: "BigInt", IsValidForRead: true},
	} {
		if derived(&a) == "" {
			t.Errorf("%s (%s) is stored", name, a.LogicalName)
		}
	}
	for name, a := range map[string]Attribute{
		"a memo that can be written": {LogicalName: "x_composite", AttributeType: "Memo", IsLogical: true, IsValidForRead: true, IsValidForUpdate: true},
		"a phonetic name of its own": {LogicalName: "yominame", AttributeType: "String", IsValidForRead: true},
	} {
		if got := derived(&a); got != "" {
			t.Errorf("%s is left out: %s", name, got)
		}
	}
	for name, stored := range map[string]bool{"activitypointer": false, "email": true} {
		if got := unreadable(&Entity{LogicalName: name, EntitySetName: name + "s", PrimaryIDAttribute: "activityid"}); (got == "") != stored {
			t.Errorf("rows of %s: %q", name, got)
		}
	}
}
