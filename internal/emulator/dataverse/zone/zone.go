// Package zone knows the time zones of the service by their codes: the index
// values that Windows publishes for its time zones, with the zones of the IANA
// database that Unicode maps them to (CLDR windowsZones).
package zone

import (
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // where the system has none
)

// zones are code, IANA name and name, one a line.
const zones = `0 Etc/GMT+12 Dateline Standard Time
1 Pacific/Apia Samoa Standard Time
2 Pacific/Honolulu Hawaiian Standard Time
3 America/Anchorage Alaskan Standard Time
4 America/Los_Angeles Pacific Standard Time
10 America/Denver Mountain Standard Time
15 America/Phoenix US Mountain Standard Time
20 America/Chicago Central Standard Time
25 America/Regina Canada Central Standard Time
33 America/Guatemala Central America Standard Time
35 America/New_York Eastern Standard Time
40 America/Indiana/Indianapolis US Eastern Standard Time
45 America/Bogota SA Pacific Standard Time
50 America/Halifax Atlantic Standard Time
55 America/La_Paz SA Western Standard Time
56 America/Santiago Pacific SA Standard Time
60 America/St_Johns Newfoundland Standard Time
65 America/Sao_Paulo E. South America Standard Time
70 America/Cayenne SA Eastern Standard Time
73 America/Nuuk Greenland Standard Time
75 Etc/GMT+2 Mid-Atlantic Standard Time
80 Atlantic/Azores Azores Standard Time
83 Atlantic/Cape_Verde Cape Verde Standard Time
85 Europe/London GMT Standard Time
90 Atlantic/Reykjavik Greenwich Standard Time
92 Etc/UTC Coordinated Universal Time
95 Europe/Budapest Central Europe Standard Time
100 Europe/Warsaw Central European Standard Time
105 Europe/Paris Romance Standard Time
110 Europe/Berlin W. Europe Standard Time
113 Africa/Lagos W. Central Africa Standard Time
115 Europe/Chisinau E. Europe Standard Time
120 Africa/Cairo Egypt Standard Time
125 Europe/Kiev FLE Standard Time
130 Europe/Bucharest GTB Standard Time
135 Asia/Jerusalem Israel Standard Time
140 Africa/Johannesburg South Africa Standard Time
145 Europe/Moscow Russian Standard Time
150 Asia/Riyadh Arab Standard Time
155 Africa/Nairobi E. Africa Standard Time
158 Asia/Baghdad Arabic Standard Time
160 Asia/Tehran Iran Standard Time
165 Asia/Dubai Arabian Standard Time
170 Asia/Yerevan Caucasus Standard Time
175 Asia/Kabul Afghanistan Standard Time
180 Asia/Yekaterinburg Ekaterinburg Standard Time
185 Asia/Tashkent West Asia Standard Time
190 Asia/Kolkata India Standard Time
193 Asia/Kathmandu Nepal Standard Time
195 Asia/Almaty Central Asia Standard Time
200 Asia/Colombo Sri Lanka Standard Time
201 Asia/Novosibirsk N. Central Asia Standard Time
203 Asia/Yangon Myanmar Standard Time
205 Asia/Bangkok SE Asia Standard Time
207 Asia/Krasnoyarsk North Asia Standard Time
210 Asia/Shanghai China Standard Time
215 Asia/Singapore Singapore Standard Time
220 Asia/Taipei Taipei Standard Time
225 Australia/Perth W. Australia Standard Time
227 Asia/Irkutsk North Asia East Standard Time
230 Asia/Seoul Korea Standard Time
235 Asia/Tokyo Tokyo Standard Time
240 Asia/Yakutsk Yakutsk Standard Time
245 Australia/Darwin AUS Central Standard Time
250 Australia/Adelaide Cen. Australia Standard Time
255 Australia/Sydney AUS Eastern Standard Time
260 Australia/Brisbane E. Australia Standard Time
265 Australia/Hobart Tasmania Standard Time
270 Asia/Vladivostok Vladivostok Standard Time
275 Pacific/Port_Moresby West Pacific Standard Time
280 Pacific/Guadalcanal Central Pacific Standard Time
285 Pacific/Fiji Fiji Standard Time
290 Pacific/Auckland New Zealand Standard Time
300 Pacific/Tongatapu Tonga Standard Time`

// find returns the first line for which is holds.
func find(is func(code int64, iana, name string) bool) (code int64, iana string, ok bool) {
	for line := range strings.Lines(zones) {
		number, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		iana, name, _ := strings.Cut(rest, " ")
		if n, err := strconv.ParseInt(number, 10, 64); err == nil && is(n, iana, name) {
			return n, iana, true
		}
	}
	return 0, "", false
}

// Code is the code of a time zone by its English standard name, whatever its
// case.
func Code(name string) (int64, bool) {
	code, _, ok := find(func(_ int64, _, has string) bool { return strings.EqualFold(has, name) })
	return code, ok
}

// Location is the time zone of a code; UTC for a code nobody knows.
func Location(code int64) *time.Location {
	_, iana, ok := find(func(n int64, _, _ string) bool { return n == code })
	if !ok {
		return time.UTC
	}
	at, err := time.LoadLocation(iana)
	if err != nil {
		return time.UTC // newer than the database
	}
	return at
}
