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
