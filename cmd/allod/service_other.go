//go:build !windows

package main

import (
	"context"
	"io"
)

// asService: only Windows starts its services in a way of its own.
func asService(func(context.Context, io.Writer) int) (int, bool) { return 0, false }
