#!/usr/bin/env bash
# Builds the images that are named, all by default, from this checkout; tells time and size of each, and leaves in
# .work/sbom what is in them. BASE, TORCH_INDEX and LOCK go to the Dockerfiles; ENGINE builds, docker by default.
set -euo pipefail
cd "$(dirname "$0")/.."
engine=${ENGINE:-docker}
"$engine" version >/dev/null 2>&1 || {
  echo "images: no $engine answers; start it (as root on Debian: make engine), or name another one: ENGINE=podman" >&2
  exit 1
}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
arguments=(--network host --label "org.opencontainers.image.revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)")
for argument in BASE TORCH_INDEX LOCK; do
  [ -z "${!argument:-}" ] || arguments+=(--build-arg "$argument=${!argument}")
done
[ $# -gt 0 ] || set -- transformer predictor pipeline
mkdir -p .work/sbom
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for name; do
  case $name in
    transformer | predictor) file=serving/$name/Dockerfile ;;
    pipeline) file=components/Dockerfile ;;
    *) echo "images: there is no image $name; there are transformer, predictor and pipeline" >&2; exit 2 ;;
  esac
  image=shortlist/$name:$version start=$SECONDS
  "$engine" build "${arguments[@]}" -f $file -t "$image" . >"$log" 2>&1 || { tail -n 40 "$log" >&2; exit 1; }
  "$engine" run --rm --network none --entrypoint cat "$image" /opt/venv/sbom.cdx.json >".work/sbom/$name.cdx.json"
  megabytes=$(($("$engine" image inspect -f '{{.Size}}' "$image") / 1000000))
  printf '%-28s %5d s %6d MB  .work/sbom/%s.cdx.json\n' "$image" $((SECONDS - start)) $megabytes "$name"
done
