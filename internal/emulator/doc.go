// Package emulator holds what all local emulators share: a listener with TLS
// of its own making, an Entra token endpoint, injected faults and counters.
// What a product answers lives in the packages below.
package emulator
