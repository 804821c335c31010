// Package customize changes the metadata of the organisation as
// administrators do through the Web API: tables, columns, relationships, keys,
// choices (protocols/dataverse.md §3; "Create and update table definitions",
// "… column definitions", "… table relationships", "… choices using the Web
// API"). What a definition says beyond what the emulator acts on is kept and
// shown again.
//
// Error codes and texts are those of "Web service error codes" where it has
// one for the case; where it has none, InvalidArgument (0x80040203).
package customize
