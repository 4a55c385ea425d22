//go:build tools

// Package tailscale pins what upstream's tailscale release holds.
package tailscale

import (
	_ "tailscale.com/cmd/tailscale"
	_ "tailscale.com/cmd/tailscaled"
)
