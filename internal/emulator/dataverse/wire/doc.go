// Package wire turns the emulator's rows into Dataverse JSON and request
// bodies into cells: annotations, formatted values, null rules, lookup
// bindings and error bodies (protocols/dataverse.md §2.3, §6.4, §9).
package wire
