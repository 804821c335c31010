// Package act holds one file per use case: back up, look, compare, restore,
// verify. Each goes the same way: gate, work, ledger, result. The command
// line, the pages and the jobs call this package and nothing below it that
// shows content, so that no way leads around the gate.
package act
