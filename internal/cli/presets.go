package cli

import "strings"

// showAbsent names tables of the presets that the environment has not: an
// application that is not installed, or an older version of it.
func (a *app) showAbsent(absent []string) {
	if len(absent) > 0 {
		a.para("  ", "Not in this environment, of the presets: %s.", strings.Join(absent, ", "))
	}
}
