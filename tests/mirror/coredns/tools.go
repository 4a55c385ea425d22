//go:build tools

// Package coredns pins what upstream's coredns release holds.
package coredns

import (
	_ "github.com/coredns/coredns"
)
