#!/usr/bin/env bash
# A Docker engine on a bare Debian machine, for CI: `tools/engine.sh start`, then `eval "$(tools/engine.sh env)"`.
# Needs root. Everything lies in the cache folder: programs of the next Debian release unpacked beside the system,
# the engine's data (so that images are built once a week). `stop` takes away what it left in the kernel.
# Status 69: no engine can be had here; the reason is on stderr.
set -euo pipefail
cd "$(dirname "$0")/.."

cache="${XDG_CACHE_HOME:-$HOME/.cache}/carteiro"
tools="$cache/tools" state="$cache/engine"

cannot() { echo "no Docker engine here: $1" >&2; exit 69; }

install_tools() {
  [[ $(id -u) == 0 ]] || cannot "it needs root"
  command -v apt-get >/dev/null || cannot "its programs come from Debian packages"
  local missing=()
  for program in iptables runc mmdebstrap; do command -v $program >/dev/null || missing+=("$program"); done
  if [[ ${#missing[@]} != 0 ]]; then
    apt-get -qq update && apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null \
      || cannot "apt-get cannot install ${missing[*]}"
  fi
  tools/debian.sh dockerd=docker\.io docker=docker-cli containerd=containerd docker-buildx=docker-buildx \
    docker-compose=docker-compose >/dev/null || cannot "its programs cannot be had"
}

answers() { DOCKER_HOST="unix://$state/sock" "$tools/bin/docker" version >/dev/null 2>&1; }

start() {
  install_tools
  answers && return
  [[ ${#state} -lt 80 ]] || cannot "$state is too long for a socket's path"
  mkdir -p "$state"
  # "ip": published ports are for this machine alone
  cat > "$state/daemon.json" <<J
{"data-root": "$state/data", "exec-root": "$state/exec", "pidfile": "$state/pid", "hosts": ["unix://$state/sock"],
 "storage-driver": "overlay2", "ip": "127.0.0.1", "bip": "172.31.77.1/24",
 "default-address-pools": [{"base": "172.31.80.0/20", "size": 24}], "log-opts": {"max-size": "20m"}}
J
  rm -f "$state/pid"
  PATH="$tools/bin:$PATH" setsid nohup "$tools/bin/dockerd" --config-file "$state/daemon.json" \
    > "$state/log" 2>&1 < /dev/null &
  for _ in $(seq 150); do answers && return; sleep 0.2; done
  cannot "dockerd does not answer: $(grep -v level=info "$state/log" | tail -n 3)"
}

environment() {
  cat <<S
export PATH="$tools/bin:\$PATH" DOCKER_HOST="unix://$state/sock" DOCKER_CONFIG="$tools/docker"
export IMAGES=local/ TESTCONTAINERS_HUB_IMAGE_NAME_PREFIX=local/ TESTCONTAINERS_RYUK_DISABLED=true
export BASE=local/python:3.11-slim BUILD_BASE=local/python:3.11-build
export TESTCONTAINERS_CONNECTION_MODE=docker_host TC_POOLING_INTERVAL=0.1 TC_MAX_TRIES=1200
S
}

stop() {
  [[ -f $state/pid ]] || return 0
  local pid left
  pid=$(< "$state/pid")
  if answers; then
    eval "$(environment)"
    left=$(docker ps -aq)
    [[ -z $left ]] || docker rm -f -v $left >/dev/null
    docker network prune -f >/dev/null
  fi
  kill "$pid" 2>/dev/null || true
  for _ in $(seq 150); do kill -0 "$pid" 2>/dev/null || break; sleep 0.2; done
  ip link del docker0 2>/dev/null || true
  for filter in iptables ip6tables; do
    for table in nat filter raw; do
      "$filter" -w -t $table -S 2>/dev/null | grep -- '-j DOCKER' | sed 's/^-A/-D/' \
        | while read -r rule; do "$filter" -w -t $table $rule || true; done || true
      "$filter" -w -t $table -S 2>/dev/null | grep -- '^-N DOCKER' | cut -d' ' -f2 > "$state/chains" || true
      while read -r chain; do "$filter" -w -t $table -F "$chain" || true; done < "$state/chains"
      while read -r chain; do "$filter" -w -t $table -X "$chain" || true; done < "$state/chains"
    done
  done
  grep -F " $state/" /proc/mounts | cut -d' ' -f2 | sort -r | while read -r mount; do umount "$mount" || true; done || true
  rm -f "$state/pid" "$state/sock"
}

case "${1:-}" in
  start) start ;;
  env) environment ;;
  stop) stop ;;
  *) echo "usage: $0 start|env|stop" >&2; exit 2 ;;
esac
