package access

import (
	"slices"
	"strings"
)

// Miscellaneous lists the privileges that belong to no table and that the
// server asks for (protocols/dataverse.md §6.7–6.9, §10, §11; Miscellaneous
// privileges of the security role reference).
func Miscellaneous() []string {
	return []string{
		"prvActOnBehalfOfAnotherUser", "prvBypassCustomBusinessLogic", "prvBypassCustomPlugins", "prvDeleteAuditPartitions",
		"prvDeleteRecordChangeHistory", "prvExportCustomization", "prvImportCustomization", "prvMerge", "prvOverrideCreatedOnCreatedBy", "prvReadAuditSummary", "prvReadRecordAuditHistory",
	}
}

// Holds reports whether the user has one of Miscellaneous: System
// Administrators do, and whom a role gives it. Who acts for another needs that of
// both.
func (u *User) Holds(name string) bool {
	if u.other != nil && !u.other.Has(name) {
		return false
	}
	return (u.Administrator || slices.Contains(u.Granted, name)) && !slices.Contains(u.Deny, name)
}

// Need is the 403 for the first of the privileges that the user does not hold.
func Need(u *User, names ...string) error {
	for _, name := range names {
		if !u.Holds(name) {
			return Denied(u, name)
		}
	}
	return nil
}

// Right is one of AccessRights.
type Right struct {
	Name string // e.g. ReadAccess
	Bit  int64
}

// Rights lists what of a row can be shared, by bit (AccessRights EnumType).
func Rights() []Right {
	return []Right{
		{"ReadAccess", 1},
		{"WriteAccess", 2},
		{"AppendAccess", 4},
		{"AppendToAccess", 16},
		{"CreateAccess", 32},
		{"DeleteAccess", 65536},
		{"ShareAccess", 262144},
		{"AssignAccess", 524288},
	}
}

// RightNames writes the bits as clients see them.
func RightNames(mask int64) string {
	var out []string
	for _, r := range Rights() {
		if mask&r.Bit != 0 {
			out = append(out, r.Name)
		}
	}
	if out == nil {
		return "None"
	}
	return strings.Join(out, ", ")
}
