// Package audit keeps the history of rows: who changed which column from what
// to what (protocols/dataverse.md §10). Its functions run inside the
// transaction of the write or read they belong to.
package audit
