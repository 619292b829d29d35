#!/usr/bin/env bash
# A base for the images where no registry can be reached: Debian 12 and its Python 3.11 from a Debian mirror, as
# shortlist-base:bookworm. It trusts whom this machine trusts, a proxy for example. Needs root, for debootstrap.
set -euo pipefail
engine=${ENGINE:-docker} image=shortlist-base:bookworm certificates=/etc/ssl/host-ca.pem
! "$engine" image inspect $image >/dev/null 2>&1 || { echo $image; exit 0; }
command -v debootstrap >/dev/null || { apt-get update -q && apt-get install -q -y --no-install-recommends debootstrap; } >&2
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv bookworm "$root" >&2
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
cp /etc/ssl/certs/ca-certificates.crt "$root$certificates"   # not into certs/, which Debian makes anew
changes=(--change 'CMD ["python3"]')
for variable in PIP_CERT SSL_CERT_FILE REQUESTS_CA_BUNDLE; do changes+=(--change "ENV $variable=$certificates"); done
tar -C "$root" -c . | "$engine" import "${changes[@]}" - $image >/dev/null
echo $image
