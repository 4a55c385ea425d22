//go:build tools

// Package runc pins what upstream's runc release holds.
package runc

import (
	_ "github.com/opencontainers/runc"
)
