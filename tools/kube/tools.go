//go:build tools

// Package tools pins the API server that the rendered manifests are applied to (make manifests).
package tools

import _ "k8s.io/kubernetes/cmd/kube-apiserver"
