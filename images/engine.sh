#!/usr/bin/env bash
# A Docker engine where none answers: Debian's docker.io, installed and started as root. It makes no network and no
# firewall rule; its containers use the host's (--network host). It stays up: end it with its pid in /run/docker.pid.
set -euo pipefail
! docker version >/dev/null 2>&1 || exit 0
[ "$(id -u)" = 0 ] && [ -f /etc/debian_version ] || { echo "no Docker engine answers, and only root on Debian can start one here" >&2; exit 1; }
command -v dockerd >/dev/null || { apt-get update -q && apt-get install -q -y --no-install-recommends docker.io; } >/var/log/docker-install.log 2>&1 ||
  { echo "docker.io cannot be installed; see /var/log/docker-install.log" >&2; exit 1; }
if ! docker version >/dev/null 2>&1; then
  nohup dockerd --bridge=none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false >/var/log/dockerd.log 2>&1 </dev/null &
  for _ in $(seq 150); do docker version >/dev/null 2>&1 && break; sleep 0.2; done
fi
docker version >/dev/null 2>&1 || { echo "dockerd does not answer: $(tail -n 1 /var/log/dockerd.log)" >&2; exit 1; }
