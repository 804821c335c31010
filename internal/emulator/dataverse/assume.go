package dataverse

import (
	"sort"

	"allod"
)

// Assumption is one point the documentation leaves open
// (protocols/dataverse.md §16).
type Assumption struct {
	Key     string   `json:"key"`
	Default string   `json:"default"`
	Values  []string `json:"values,omitempty"` // what else is possible; empty = free text
	What    string   `json:"what"`
}

// Assumptions lists every switch of --assume, sorted by key.
func Assumptions() []Assumption {
	list := []Assumption{
		{"batch-echo", "true", []string{"true", "false"}, "a batch that stops at a failed part still answers the parts before it (§6.11)"},
		{"batch-line-ends", "tolerant", []string{"tolerant", "strict"}, "strict refuses batch bodies with bare line feeds (§6.11)"},
		{"batch-part-callers", "honour", []string{"honour", "ignore"}, "impersonation headers of a part of a batch hold for it; else only those of the batch do (§6.8)"},
		{"bypass-steps", "3", []string{"3", "10", "400"}, "how many steps MSCRM.BypassBusinessLogicExecutionStepIds may name: 3 unless the organization says otherwise, and the documentation has given 10 and 400 as the most (§6.9, §16)"},
		{"calculated-null", "null", []string{"null", "zero"}, "a number that a calculated column lacks makes it null, or counts as 0"},
		{"clear-delta-on-rewind", "false", []string{"true", "false"}, "delta tokens from before a native restore are refused as expired"},
		{"close-by-patch", "allow", []string{"allow", "refuse"}, "closing an incident, opportunity, quote or order by PATCH instead of its message (§6.6)"},
		{"closed-rows", "read-only", []string{"read-only", "writable"}, "closed quotes, orders, invoices, opportunities, incidents take no change (§6.6)"},
		{"column-comparison", "answer", []string{"answer", "refuse"}, "$filter that compares two columns of a type with each other: current documentation answers it, §4.3 does not"},
		{"create-in-other-state", "refuse", []string{"refuse", "allow"}, "creating tasks, cases and their like in another than the default state (§6.6)"},
		{"delete-multiple", "refuse", []string{"refuse", "allow"}, "DeleteMultiple of standard tables: not implemented, or all rows or none (§6.10)"},
		{"delta-expired-code", "0x80044352", nil, "code of an expired delta token (§5.2)"},
		{"delta-expired-status", "400", []string{"400", "410", "403", "404"}, "HTTP status of an expired delta token (§5.2, §16)"},
		{"duplicate-status", "412", []string{"412", "500"}, "HTTP status of 0x80040333, a duplicate that a rule found (§6.9)"},
		{"etag-on-missing", "404", []string{"404", "412"}, "PATCH with If-Match of an etag on a row that does not exist (§6.2)"},
		{"file-chunks", "take", []string{"take", "refuse"}, "uploads by chunks and blocks; an environment whose storage has the customer's own key refuses them with 0x80090017 (§8.2)"},
		{"full-last-page", "end", []string{"end", "empty-page"}, "a last page that is full carries a nextLink to an empty one (§4.1)"},
		{"impersonated-privileges", "both", []string{"both", "caller"}, "privileges that belong to no table, such as those of bypass headers and of backdating, are asked of the impersonated user too, or of the caller alone (§6.8)"},
		{"key-characters", "refuse", []string{"refuse", "allow"}, "GET and PATCH by an alternate key whose text has a slash or another of the characters that Microsoft names are refused with 400 (§3.4)"},
		{"key-not-found-status", "404", []string{"404", "400"}, "status of 0x80060891 (§9.3)"},
		{"key-in-create", "take", []string{"take", "ignore"}, "the primary key in the body of a create becomes the id of the row, or is passed over (§6.1)"},
		{"limit-annotations", "none", []string{"none", "details"}, "the error of service protection has the annotations that other errors have where all are asked for (§7, §16)"},
		{"linked-names", "dot", []string{"dot", "encoded"}, "columns of links in answers to FetchXML are named alias.column, or alias_x002e_column (§4.6)"},
		{"lookup-value-in-body", "ignore", []string{"ignore", "refuse"}, "_x_value in the body of a write is passed over, or refused with 400 (§6.4)"},
		{"merge-fills", "nothing", []string{"nothing", "empty"}, "what Merge takes from the columns of the subordinate row: nothing, or what is empty in the target"},
		{"metadata-expired-status", "400", []string{"400", "410", "403"}, "HTTP status of an expired stamp of RetrieveMetadataChanges (§3.5)"},
		{"null-property-status", "204", []string{"204", "200"}, "GET of a single property that is null (§6.3)"},
		{"price-calculation", "off", []string{"off", "organization", "on"}, "lines and totals of sales documents are priced by the platform; organization = where its oobpricecalculationenabled is true"},
		{"process-flows", "off", []string{"off", "on"}, "new leads, opportunities and cases get a row of the product's business process flow, where its table exists"},
		{"removelink-touches-child", "true", []string{"true", "false"}, "nulling a lookup by RemoveLink gives the child a new version (§6.12)"},
		{"restore-refused-status", "400", []string{"400", "404", "412"}, "HTTP status of a refused restore from the recycle bin (§6.13, §9.3)"},
		{"rollup-touches", "version", []string{"version", "modifiedon", "nothing"}, "what a recalculated rollup changes beside itself: the row's version, so that change tracking shows it; modifiedon too; or neither"},
		{"server-side-sync", "mailboxes", []string{"mailboxes", "off"}, "appointments, tasks and contacts go to Exchange where the mailbox of their owner synchronises them, or never"},
		{"service-terms", "off", []string{"off", "on"}, "cases use up terms of their entitlement and start timers of their service level agreement"},
		{"track-intersect", "true", []string{"true", "false"}, "change tracking works on intersect tables whose metadata says so (§5.2)"},
		{"tracking-cookie", "True", []string{"True", "False"}, "istracking attribute of the paging cookie of tracked reads (§5.2)"},
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Key < list[j].Key })
	return list
}

// checkAssume completes the given switches with the defaults.
func checkAssume(given map[string]string) (map[string]string, error) {
	out := map[string]string{}
	allowed := map[string][]string{}
	for _, a := range Assumptions() {
		out[a.Key] = a.Default
		allowed[a.Key] = a.Values
	}
	for k, v := range given {
		values, known := allowed[k]
		ok := known && len(values) == 0
		for _, a := range values {
			ok = ok || a == v
		}
		if !ok {
			return nil, allod.WithHint(allod.Errorf(allod.Invalid, "assume %s=%s: unknown switch or value", k, v), "GET /_emulator/assume lists the switches")
		}
		out[k] = v
	}
	return out, nil
}
