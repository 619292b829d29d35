#!/bin/sh
# In the image itself: user 1000, and nothing left of the base that installs Python packages.
set -eu
useradd --uid 1000 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin shortlist
# Debian's own, where the base has them; the other bases hold pip beside their Python.
debian=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' 'python3*-pip*' 'python3*-setuptools*' python3-wheel 'python3*-venv' 2>/dev/null |
  sed -n 's/^ii  *//p')
# shellcheck disable=SC2086
[ -z "$debian" ] || apt-get purge -q -y $debian
python3 - <<'END'
import importlib.util, pathlib, shutil, sys

for name in ("ensurepip", "pip", "pkg_resources", "setuptools", "wheel"):
    if spec := importlib.util.find_spec(name):
        folder = pathlib.Path(spec.origin).parent
        shutil.rmtree(folder)
        for record in folder.parent.glob(f"{name}-*.dist-info"):
            shutil.rmtree(record)
for script in pathlib.Path(sys.base_prefix, "bin").glob("pip*"):
    script.unlink()
END
rm -rf /var/cache/apt/* /var/log/*.log /var/log/apt
