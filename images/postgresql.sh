#!/usr/bin/env bash
# Installs a PostgreSQL server for the tests where none is there (root on Debian). The tests start their own.
set -euo pipefail
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 && command -v psql >/dev/null && exit 0
[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || {
  echo "postgresql: there is no server, and only root on Debian can install one" >&2
  exit 1
}
{ apt-get update -q && apt-get install -q -y --no-install-recommends postgresql; } >/var/log/postgresql-install.log 2>&1 || {
  echo "postgresql: the package could not be installed; see /var/log/postgresql-install.log" >&2
  exit 1
}
