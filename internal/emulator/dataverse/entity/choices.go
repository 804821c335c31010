package entity

import (
	_ "embed"
	"strconv"
	"strings"
)

// choicesText lists the choices of standard columns, one column a line:
// table.column followed by value=label for Picklist and Boolean,
// value=label>default status for State, value=label<state for Status. A table
// of * stands for every table.
//
//go:embed choices.txt
var choicesText string

// parseChoices reads choicesText into options by "table.column".
func parseChoices(text string) map[string][]Option {
	out := map[string][]Option{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, rest, _ := strings.Cut(line, " ")
		for part := range strings.SplitSeq(rest, ";") {
			value, label, _ := strings.Cut(strings.TrimSpace(part), "=")
			o := Option{Label: label}
			o.Value, _ = strconv.Atoi(value) // the table is ours and tested
			if l, s, ok := strings.Cut(label, ">"); ok {
				o.Label = l
				o.DefaultStatus, _ = strconv.Atoi(s)
			} else if l, s, ok := strings.Cut(label, "<"); ok {
				o.Label = l
				o.State, _ = strconv.Atoi(s)
			}
			out[key] = append(out[key], o)
		}
	}
	return out
}

// deriveChoices gives every choice column without options the listed ones, or
// made-up ones that follow from its name.
func deriveChoices(t *Table) {
	listed := parseChoices(choicesText)
	for _, c := range t.Columns {
		if c.OptionSet != nil {
			continue
		}
		var made []Option
		switch c.Kind {
		case "State":
			made = []Option{{Value: 0, Label: "Active", DefaultStatus: 1}, {Value: 1, Label: "Inactive", DefaultStatus: 2}}
		case "Status":
			made = []Option{{Value: 1, Label: "Active"}, {Value: 2, Label: "Inactive", State: 1}}
			if sc := t.Column("statecode"); sc == nil {
				made = made[:1]
			}
		case "Boolean":
			made = []Option{{Value: 0, Label: "No"}, {Value: 1, Label: "Yes"}}
		case "Picklist", "MultiSelectPicklist":
			made = madeOptions(t.LogicalName, c.LogicalName)
		default:
			continue
		}
		for _, key := range []string{t.LogicalName + "." + c.LogicalName, "*." + c.LogicalName} {
			if o := listed[key]; o != nil {
				made = o
				break
			}
		}
		c.OptionSet = &OptionSet{Name: t.LogicalName + "_" + c.LogicalName, Options: made}
	}
}

// madeOptions makes two to six choices. Custom choices count from 100000000,
// as a publisher's prefix makes them.
func madeOptions(table, column string) []Option {
	n := 2 + int(idOf(table, column, "choices")[0]%5)
	first := 1
	if strings.Contains(column, "_") && !strings.HasPrefix(column, "address") {
		first = 100000000
	}
	title := "Choice"
	if words := strings.Fields(label(column)); len(words) > 0 {
		title = words[len(words)-1]
	}
	out := make([]Option, n)
	for i := range out {
		out[i] = Option{Value: first + i, Label: title + " " + strconv.Itoa(i+1)}
	}
	return out
}

// label makes a display name of a logical name: spice_dateofbirth becomes
// Dateofbirth, address1_line1 becomes Address 1 Line1.
func label(name string) string {
	if prefix, rest, ok := strings.Cut(name, "_"); ok && rest != "" && !strings.HasPrefix(prefix, "address") {
		name = rest
	}
	parts := strings.FieldsFunc(name, func(r rune) bool { return r == '_' })
	for i, p := range parts {
		parts[i] = strings.ToUpper(p[:1]) + p[1:]
	}
	if len(parts) == 0 {
		return name
	}
	return strings.Join(parts, " ")
}
