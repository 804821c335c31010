// Package describe answers what the organisation consists of: the service
// document, $metadata and the definitions of tables, columns, relationships and
// choices (protocols/dataverse.md §3).
package describe
