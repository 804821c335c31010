package compact

import (
	"time"

	vlog "allod/internal/vault/log"
)

// Limits of one merge: what it has open at once stays below some 150 MB.
const (
	maxUnits = 1000
	maxHeavy = 6 << 30 // bytes, of each unit at most a part: about 1 % of them are index and filter
)

// unit is what stands for captures, and the times of the first and the last of
// their log entries.
type unit struct {
	vlog.Stand
	from, to time.Time
	bytes    int64
}

// group is units that are merged.
type group struct {
	tier  int
	units []unit
}

// choose returns which units to merge as of now, the time of the newest log
// entry: those that lie in the same year, month or day, the longest of these
// that is over; or, all, everything. It is pure. A group has at least two units
// with packs.
func choose(units []unit, now time.Time, all bool) []group {
	var out []group
	for i := 0; i < len(units); {
		tier, start := period(units[i], now, all)
		j := i + 1
		for ; j < len(units); j++ {
			if t, s := period(units[j], now, all); t != tier || !s.Equal(start) {
				break
			}
		}
		if tier > 0 {
			out = split(out, tier, units[i:j])
		}
		i = j
	}
	return out
}

// split appends groups of units that can be merged at once.
func split(out []group, tier int, units []unit) []group {
	for len(units) > 0 {
		n, packs, heavy := 0, 0, int64(0)
		for n < len(units) && n < maxUnits && (n < 2 || heavy < maxHeavy) {
			heavy += min(units[n].bytes, partSize)
			if len(units[n].Packs) > 0 {
				packs++
			}
			n++
		}
		if packs >= 2 {
			out = append(out, group{tier, units[:n]})
		}
		units = units[n:]
	}
	return out
}

// period returns the longest time that is over and has all of the unit in it:
// its tier and when it began; 0 for none.
func period(u unit, now time.Time, all bool) (tier int, start time.Time) {
	if all {
		return 3, time.Time{}
	}
	y, m, d := u.from.UTC().Date()
	for _, p := range []struct {
		tier       int
		start, end time.Time
	}{
		{3, time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(y+1, 1, 1, 0, 0, 0, 0, time.UTC)},
		{2, time.Date(y, m, 1, 0, 0, 0, 0, time.UTC), time.Date(y, m+1, 1, 0, 0, 0, 0, time.UTC)},
		{1, time.Date(y, m, d, 0, 0, 0, 0, time.UTC), time.Date(y, m, d+1, 0, 0, 0, 0, time.UTC)},
	} {
		if u.to.Before(p.end) && !now.Before(p.end) {
			return p.tier, p.start
		}
	}
	return 0, time.Time{}
}
