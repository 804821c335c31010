// Package store keeps the rows of an emulated Dataverse organisation in
// memory: packed, ordered by primary key, with a database-wide row version, a
// log of changes per table and marked moments to go back to.
//
// It knows nothing of HTTP, metadata or rights: a table is a name and a list
// of columns; whoever writes decides what the cells mean. A million rows of 40
// columns take about one gigabyte.
package store
