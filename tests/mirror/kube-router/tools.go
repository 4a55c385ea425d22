//go:build tools

// Package router pins what upstream's release of kube-router holds.
package router

import (
	_ "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router"
)
