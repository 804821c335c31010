package dataverse

import "strconv"

// number is the value of an assumption that is a number.
func (s *Server) number(key string) int {
	n, err := strconv.Atoi(s.assume[key])
	if err != nil {
		return 400 // checkAssume lets nothing else through for statuses
	}
	return n
}
