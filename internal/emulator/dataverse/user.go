package dataverse

import (
	"fmt"

	"allod/internal/emulator/dataverse/access"
)

// Read depths of an application user (PrivilegeDepth; "" and None = no right).
const (
	DepthNone   = access.DepthNone
	DepthBasic  = access.DepthBasic  // own rows
	DepthLocal  = access.DepthLocal  // rows of the own business unit
	DepthDeep   = access.DepthDeep   // and of those below it
	DepthGlobal = access.DepthGlobal // all
)

// AppUser is an application user of the organisation.
type AppUser = access.User

// DefaultAppUsers makes n administrators with client ids
// 00000000-0000-4000-a000-00000000000i and secrets secret-i, i from 1.
func DefaultAppUsers(n int) []AppUser {
	out := make([]AppUser, n)
	for i := range out {
		out[i] = AppUser{
			ClientID: fmt.Sprintf("00000000-0000-4000-a000-%012d", i+1), Secret: fmt.Sprintf("secret-%d", i+1),
			Name: fmt.Sprintf("Backup %d", i+1), Administrator: true,
		}
	}
	return out
}
