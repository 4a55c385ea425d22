//go:build tools

// Package headscale pins what upstream's headscale release holds.
package headscale

import (
	_ "github.com/juanfont/headscale/cmd/headscale"
)
