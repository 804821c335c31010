package changes

import (
	"strconv"
	"strings"
)

// TokenVersion reads the number in front of the $deltatoken of a link; 0 if there
// is none (protocols/dataverse.md §5.2).
func TokenVersion(link string) uint64 {
	_, token, ok := strings.Cut(link, "$deltatoken=")
	if !ok {
		return 0
	}
	end := strings.IndexFunc(token, func(r rune) bool { return r < '0' || r > '9' })
	if end <= 0 || (token[end] != '%' && token[end] != '!') {
		return 0
	}
	n, err := strconv.ParseUint(token[:end], 10, 64)
	if err != nil {
		return 0
	}
	return n
}
