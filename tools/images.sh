#!/usr/bin/env bash
# Images of Kafka, PostgreSQL and the mail servers, for an engine that can pull none: `local/NAME` keeps the contract
# of the public NAME (environment, ports, start), so tests and compose.yaml differ by a prefix alone.
# Needs the engine of tools/engine.sh, mmdebstrap, and the jars of jars.lock (`python -m ops.stack.jars`).
set -euo pipefail
cd "$(dirname "$0")/images"
jars="${XDG_CACHE_HOME:-$HOME/.cache}/carteiro/jars"
week=$(date +%G-%V)   # the base is made anew each week: security updates

base() {
  [[ $(docker image inspect -f '{{index .Config.Labels "week"}}' local/debian-base:bookworm 2>/dev/null) != "$week" ]] || return 0
  # merged-usr by hook and not by package saves perl; the man folders are for the Java package
  mmdebstrap --quiet --variant=minbase --mode=root --aptopt='Acquire::Languages {"none"}' \
    --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr --include=usr-is-merged,ca-certificates,tini \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook='mkdir -p $1/usr/share/man/man1 $1/usr/share/man/man7' bookworm - \
    | docker import -c 'ENV LANG=C.UTF-8' -c "LABEL week=$week" - local/debian-base:bookworm >/dev/null
}

build() {   # tag folder [arguments]
  local tag=$1 folder=$2
  shift 2
  docker build -q -t "local/$tag" "$@" "$folder" >/dev/null || { echo "local/$tag could not be built" >&2; return 1; }
}

pick() {   # a folder with the jars of one class path
  rm -rf "$2" && mkdir -p "$2"
  while read -r path coordinates _; do
    [[ $path == "$1" ]] || continue
    IFS=: read -r _ artifact version <<< "$coordinates"
    cp "$jars/$artifact-$version.jar" "$2/"
  done < ../../jars.lock
}

base
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pick kafka "$work/kafka"
pick greenmail "$work/greenmail"
version_of() { sed -n "s/^$1 [^ ]*:$2:\([^ ]*\) .*/\1/p" ../../jars.lock; }

made=()
build postgres:15 postgres & made+=($!)
build dovecot/dovecot:2.3 dovecot & made+=($!)
{ build python:3.11-slim python --target slim && build python:3.11-build python --target build; } & made+=($!)
{
  build java:17 java \
    && build "apache/kafka:$(version_of kafka kafka_2.13)" kafka --build-context "jars=$work/kafka" \
    && build "greenmail/standalone:$(version_of greenmail greenmail-standalone)" greenmail \
         --build-context "jars=$work/greenmail"
} & made+=($!)
for one in "${made[@]}"; do wait "$one"; done
