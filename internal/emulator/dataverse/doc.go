// Package dataverse is a local server that behaves like the Dataverse Web API
// as protocols/dataverse.md describes it: tables and rows, paging, change
// tracking, upserts, lookups, batches, files, limits and errors. It shares no
// understanding with the connector: both follow the documents.
//
// What the documents leave open is an assumption with a default that can be
// switched (Assumptions); what goes wrong on purpose is a fault
// (emulator.Fault). /_emulator/ describes itself.
package dataverse
