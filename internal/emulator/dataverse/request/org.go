package request

import (
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"allod"
	"allod/internal/emulator"
	"allod/internal/emulator/dataverse/protect"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
)

// Org is what all requests to an organisation share. Its fields are set before
// the first request; what they hold may be used concurrently.
type Org struct {
	Store    *store.Store
	Counters *emulator.Counters
	Cost     *protect.Cost     // how long requests take; nil = as long as they take
	PageSize int               // largest page, in rows
	Assume   map[string]string // every switch with its value; not to be changed
	Unit     allod.GUID        // root business unit
	Currency allod.GUID        // base currency
	Now      func() time.Time  // the emulated time
	NewID    func() allod.GUID // the next GUID of the seed's sequence

	// JobTime is how long jobs take, on the emulated clock; 0 = they are done
	// when their answer comes. Later has something done at a time.
	JobTime time.Duration
	Later   func(at time.Time, do func(*wire.Schema))

	Described Memo // of answers about the schema

	// DeltaFloor is the row version the last native restore went back to; 0 =
	// there was none. Tokens that promise more were given out before it.
	DeltaFloor atomic.Uint64
}

// Number is the value of a switch that is an HTTP status.
func (o *Org) Number(key string) int {
	n, err := strconv.Atoi(o.Assume[key])
	if err != nil {
		return http.StatusBadRequest // New lets nothing else through for statuses
	}
	return n
}
