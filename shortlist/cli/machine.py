"""What our code and the libraries below it rely on and a machine may lack; put right before they are imported."""

import atexit
import getpass
import os
import shutil
import tempfile
from collections.abc import MutableMapping
from pathlib import Path

from shortlist.serving.loopback import bypass_proxies

_CACHES = {"XDG_CACHE_HOME": "cache", "MPLCONFIGDIR": "matplotlib"}
_HUB_TOKEN = ".cache/huggingface/token"


def prepare_machine(environment: MutableMapping[str, str] = os.environ) -> None:
    """For this process and those that it starts; what is set already stays as it is."""
    bypass_proxies(environment)
    # Some libraries ask for the name as well, and not all do without one.
    environment["LOGNAME"] = user_name()
    home = _home(environment)
    if home is not None and os.access(home, os.W_OK):
        return
    scratch = Path(tempfile.mkdtemp(prefix="shortlist-home-"))
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    if home is None:
        environment["HOME"] = str(scratch)
    elif (home / _HUB_TOKEN).is_file():  # a home that can only be read may hold credentials
        environment.setdefault("HF_TOKEN_PATH", str(home / _HUB_TOKEN))
    for name, folder in _CACHES.items():
        environment.setdefault(name, str(scratch / folder))


def user_name() -> str:
    """Who runs this: a name, or `uid-<number>` for a user id without one, as containers have."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"


def _home(environment: MutableMapping[str, str]) -> Path | None:
    try:
        home = Path(environment.get("HOME") or Path.home())
    except RuntimeError:
        return None
    return home if home.is_dir() else None
