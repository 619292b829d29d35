#!/bin/sh
# In the first build stage of an image: what builds it, in /build/tools, and the empty /opt/venv that goes into it.
set -eu
python3 -m venv /build/tools
/build/tools/bin/pip install -q --no-cache-dir --require-hashes -r /build/build.txt
/build/tools/bin/uv venv -q --no-cache --python "$(command -v python3)" --no-managed-python /opt/venv
find /opt/venv -name '.lock' -o -name 'activate*' -o -name 'deactivate*' -o -name 'pydoc.bat' | xargs rm -f
