package rows

import (
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/wire"
)

// cookie is where a paged read goes on (protocols/dataverse.md §4.1).
type cookie struct {
	page        int
	column      string
	last, first allod.GUID
	tracking    string // istracking

	// Of tracked reads: the versions that frame the read and the last one
	// sent; deletes says that the rows are through.
	since, until, at uint64
	deletes          bool
}

var (
	cookieOuter = regexp.MustCompile(`^<cookie pagenumber="(\d{1,9})" pagingcookie="([^"]*)" istracking="(True|False)" />$`)
	cookieInner = regexp.MustCompile(`^<cookie page="\d+"><\w+ last="\{([0-9A-F-]{36})\}" first="\{[0-9A-F-]{36}\}" /></cookie>$`)
	cookieTrack = regexp.MustCompile(`^<cookie page="\d+"><versionnumber last="(\d{1,19})" since="(\d{1,19})" until="(\d{1,19})" deletes="([01])" /></cookie>$`)
)

// encode returns the value of $skiptoken, percent-encoded as the service does.
func (k *cookie) encode() string {
	outer := `<cookie pagenumber="` + strconv.Itoa(k.page) + `" pagingcookie="` + lowerEscape(k.inner()) + `" istracking="` + k.tracking + `" />`
	return strings.NewReplacer("%", "%25", "<", "%3C", ">", "%3E", `"`, "%22", " ", "%20").Replace(outer)
}

// attribute is the cookie as FetchXML answers give it: what is in it is
// percent-encoded twice (§4.6).
func (k *cookie) attribute() string {
	return `<cookie pagenumber="` + strconv.Itoa(k.page) + `" pagingcookie="` + lowerEscape(lowerEscape(k.inner())) + `" istracking="` + k.tracking + `" />`
}

func (k *cookie) inner() string {
	inner := `<cookie page="` + strconv.Itoa(k.page-1) + `">`
	if k.until > 0 {
		flag := "0"
		if k.deletes {
			flag = "1"
		}
		inner += `<versionnumber last="` + utoa(k.at) + `" since="` + utoa(k.since) + `" until="` + utoa(k.until) + `" deletes="` + flag + `" />`
	} else {
		inner += `<` + k.column + ` last="{` + strings.ToUpper(k.last.String()) + `}" first="{` + strings.ToUpper(k.first.String()) + `}" />`
	}
	return inner + `</cookie>`
}

// lowerEscape is the percent-encoding of .NET: lower-case digits.
func lowerEscape(s string) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_' || c == '.' {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', digits[c>>4], digits[c&15]})
	}
	return b.String()
}

func utoa(n uint64) string { return strconv.FormatUint(n, 10) }

// parseCookie reads a $skiptoken that was decoded once.
func parseCookie(text string) (*cookie, error) {
	bad := wire.Refuse(http.StatusBadRequest, "0x80060888", "Malformed XML in the Paging Cookie.")
	m := cookieOuter.FindStringSubmatch(text)
	if m == nil {
		return nil, bad
	}
	k := &cookie{tracking: m[3]}
	inner, err := url.PathUnescape(m[2])
	if err != nil {
		return nil, bad
	}
	if k.page, err = strconv.Atoi(m[1]); err != nil || k.page < 1 {
		return nil, bad
	}
	if in := cookieInner.FindStringSubmatch(inner); in != nil {
		if k.last, err = allod.ParseGUID(in[1]); err != nil {
			return nil, bad
		}
		return k, nil
	}
	in := cookieTrack.FindStringSubmatch(inner)
	if in == nil {
		return nil, bad
	}
	for i, p := range []*uint64{&k.at, &k.since, &k.until} {
		if *p, err = strconv.ParseUint(in[i+1], 10, 64); err != nil {
			return nil, bad
		}
	}
	k.deletes = in[4] == "1"
	return k, nil
}

// nextURL is the request's own URL with another $skiptoken.
func (c Reader) nextURL(token string) string { return c.withOption("$skiptoken", token, "$skiptoken") }

// withOption returns the request's URL without the dropped options and with
// one more.
func (c Reader) withOption(name, value string, drop ...string) string {
	path, rawQuery, _ := strings.Cut(c.URL, "?")
	var kept []string
	for _, part := range strings.Split(rawQuery, "&") {
		key, _, _ := strings.Cut(part, "=")
		if k, err := url.QueryUnescape(key); err == nil {
			key = k
		}
		dropped := part == ""
		for _, d := range drop {
			dropped = dropped || key == d
		}
		if !dropped {
			kept = append(kept, part)
		}
	}
	kept = append(kept, name+"="+value)
	return c.Root + "/" + path + "?" + strings.Join(kept, "&")
}
