#!/bin/sh
# In a build stage of an image: this distribution, byte-compiled, into /opt/code, to be copied over /opt/venv.
set -eu
export UV_NO_CACHE=1 UV_COMPILE_BYTECODE=1 PYC_INVALIDATION_MODE=UNCHECKED_HASH
/build/tools/bin/uv build -q --wheel --no-build-isolation --python /build/tools/bin/python -o /build/wheel /build/src
/build/tools/bin/uv pip install -q --no-deps --python /opt/venv/bin/python --prefix /opt/code /build/wheel/*.whl
rm -f /opt/code/.lock
