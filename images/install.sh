#!/bin/sh
# In a build stage of an image: the packages of /build/NAME.txt into /opt/NAME, byte-compiled, to be copied over /opt/venv.
# What /build/torch.txt names is left out of another list: it is a layer of its own, which images share.
set -eu
name=$1 torch_index=${2:-}
export UV_NO_CACHE=1 UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 PYC_INVALIDATION_MODE=UNCHECKED_HASH

install() {
  /build/tools/bin/uv pip install -q --no-deps --python /opt/venv/bin/python --prefix "/opt/$name" "$@"
  rm -f "/opt/$name/.lock"
}

# The requirements of standard input but for those that `unwanted`, an awk expression over the name, finds.
without() { awk "/^[a-z]/ { name = \$1; sub(/==.*/, \"\", name); skip = $1 } !skip"; }

if [ -n "$torch_index" ]; then
  # PyTorch's own indexes hold other builds of it, whose hashes no lock of ours knows, and which bring no CUDA.
  without 'name ~ /^(torch|triton|nvidia-.*|cuda-.*)$/' <"/build/$name.txt" >/build/wanted.txt
  install --default-index "$torch_index" "$(grep -o '^torch==[^ ]*' "/build/$name.txt")"
elif [ "$name" != torch ] && [ -f /build/torch.txt ]; then
  names=$(sed -n 's/^\([a-z][^=]*\)==.*/\1/p' /build/torch.txt | tr '\n' ' ')
  without "index(\" $names\", \" \" name \" \")" <"/build/$name.txt" >/build/wanted.txt
else
  cp "/build/$name.txt" /build/wanted.txt
fi
install --require-hashes -r /build/wanted.txt
# For the interpreter of the build stages, which lists them for the SBOM.
echo "/opt/$name"/lib/python3*/site-packages >"$(echo /opt/venv/lib/python3*/site-packages)/$name.pth"
