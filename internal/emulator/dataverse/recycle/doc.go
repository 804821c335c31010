// Package recycle keeps deleted rows for as long as the organisation says, to
// be listed and restored (protocols/dataverse.md §6.13; Restore deleted records
// with code). Its functions run inside the transaction of the request they
// belong to.
package recycle
