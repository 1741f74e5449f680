#!/usr/bin/env bash
# `tools/debian.sh PROGRAM=PACKAGE…`: programs that Debian stable has not or only too old, from the next release's
# packages, unpacked beside the system into $XDG_CACHE_HOME/carteiro/tools/bin. Prints that folder; 69: cannot be had.
set -euo pipefail
tools="${XDG_CACHE_HOME:-$HOME/.cache}/carteiro/tools"
packages=()
for pair in "$@"; do
  [[ -x $tools/bin/${pair%=*} || -x $tools/docker/cli-plugins/${pair%=*} ]] || packages+=("${pair#*=}/trixie")
done
if [[ ${#packages[@]} != 0 ]]; then
  cannot() { echo "${packages[*]%/trixie}: $1" >&2; exit 69; }
  command -v apt-get >/dev/null || cannot "only Debian's packages are known here"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$work"/{lists/partial,cache/archives/partial,deb,root} "$tools"/{bin,docker/cli-plugins}
  [[ -n $(apt-get indextargets --format '$(REPO_URI)' 'Label: Debian') ]] || apt-get -qq update || cannot "no package lists"
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Label: Debian' | head -n 1)
  echo "deb $mirror trixie main" > "$work/trixie.list"
  apt=(-o "Dir::Etc::sourcelist=$work/trixie.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists"
       -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root)
  apt-get "${apt[@]}" -qq update || cannot "the package lists cannot be had"
  (cd "$work/deb" && apt-get "${apt[@]}" -qq download "${packages[@]}") || cannot "the packages cannot be had"
  for package in "$work"/deb/*.deb; do dpkg -x "$package" "$work/root"; done
  for folder in "$work"/root/usr/{bin,sbin}; do
    [[ ! -d $folder ]] || find "$folder" -type f -perm -1 -exec install -m755 -t "$tools/bin" {} +
  done
  plugins="$work/root/usr/libexec/docker/cli-plugins"
  [[ ! -d $plugins ]] || install -m755 -t "$tools/docker/cli-plugins" "$plugins"/*
fi
echo "$tools/bin"
