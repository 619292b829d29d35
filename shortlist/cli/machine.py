"""Environment settings that the libraries need and a machine may lack; set before the libraries are imported."""

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
    """Set the environment of this process and its children; existing settings are kept."""
    bypass_proxies(environment)
    # Some libraries read the user name and fail without one.
    environment["LOGNAME"] = user_name()
    home = _home(environment)
    if home is not None and os.access(home, os.W_OK):
        return
    scratch = Path(tempfile.mkdtemp(prefix="shortlist-home-"))
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    if home is None:
        environment["HOME"] = str(scratch)
    elif (home / _HUB_TOKEN).is_file():  # a read-only home may contain credentials
        environment.setdefault("HF_TOKEN_PATH", str(home / _HUB_TOKEN))
    for name, folder in _CACHES.items():
        environment.setdefault(name, str(scratch / folder))


def user_name() -> str:
    """The name of the current user, or `uid-<number>` for a user id without a name, as in containers."""
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
