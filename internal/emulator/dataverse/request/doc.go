// Package request is one request to the emulated service and what it may touch
// of the organisation: its rows, its clock and ids, its counters, its switches.
// What a request means is the matter of the packages that answer it: rows,
// change and describe.
package request
