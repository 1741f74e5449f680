#!/usr/bin/env bash
# Prints the folder of a kube-apiserver (tools/kube/go.mod says which), built at first: five minutes, later nothing.
# etcd comes from Debian's next release. Status 69: they cannot be had here; the reason is on stderr.
set -euo pipefail
cd "$(dirname "$0")/.."
cannot() { echo "no API server here: $1" >&2; exit 69; }
tools/debian.sh etcd=etcd-server kubectl=kubectl >/dev/null || cannot "etcd or kubectl cannot be had"
folder="${XDG_CACHE_HOME:-$HOME/.cache}/carteiro/kube/$(sha256sum tools/kube/go.sum | cut -c1-16)"
if [[ ! -x $folder/kube-apiserver ]]; then
  command -v go >/dev/null || cannot "it is built by Go"
  cd tools/kube
  version=$(sed -n 's/^require k8s.io\/kubernetes v//p' go.mod)
  minor=${version#*.} minor=${minor%.*} about=k8s.io/component-base/version
  CGO_ENABLED=0 nice -n 19 go build -p 1 -trimpath -o "$folder/building/" \
    -ldflags "-s -w -X $about.gitVersion=v$version -X $about.gitMajor=1 -X $about.gitMinor=$minor" \
    k8s.io/kubernetes/cmd/kube-apiserver >&2 || cannot "the build failed"
  mv "$folder/building/kube-apiserver" "$folder/"   # whole or not at all
fi
echo "$folder"
