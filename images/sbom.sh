#!/bin/sh
# In a build stage of an image, after the packages: what is in it, as CycloneDX, to be copied with them.
set -eu
/build/tools/bin/cyclonedx-py environment --output-reproducible /opt/venv/bin/python |
  python3 /build/sbom.py "shortlist-$1" >"/opt/$1/sbom.cdx.json"
