"""Keeps a service on this machine on the live release."""

import time
from collections.abc import Callable
from pathlib import Path

from shortlist.release.bundle import Live, open_release, read_live
from shortlist.serving.child import ServiceError
from shortlist.serving.local import LocalService
from shortlist.storage import Storage

_TICK_SECONDS = 0.2
_LOOK_SECONDS = 2.0
_MOST_SECONDS = 60.0


def follow(service: LocalService, root: Storage, cache_dir: Path, say: Callable[[str], None]) -> None:
    """Serve the live release below `root` and switch to each new one.

    A release that cannot be served is tried and reported once, and the previous release stays in service. Storage that
    fails is retried with increasing pauses. Never returns; raises ServiceError when one of the services ends by itself.
    """
    follower = _Follower(service, root, cache_dir, say)
    pause = _LOOK_SECONDS
    while True:
        until = time.monotonic() + pause
        while time.monotonic() < until:
            service.check_alive()
            time.sleep(_TICK_SECONDS)
        pause = _LOOK_SECONDS if follower.look() else min(2 * pause, _MOST_SECONDS)


class _Follower:
    def __init__(self, service: LocalService, root: Storage, cache_dir: Path, say: Callable[[str], None]) -> None:
        self._service, self._root, self._cache_dir, self._say = service, root, cache_dir, say
        self._tried: Live | None = None
        self._said = ""

    def look(self) -> bool:
        """Switch if another release is live; False when the storage failed."""
        try:
            live = read_live(self._root)
            if live is not None and live != self._tried and live.release != self._service.release:
                self._switch_to(live)
        except (OSError, ValueError) as error:
            self._once(f"cannot read which release is live: {error}; {self._service.release} stays in service")
            return False
        return True

    def _switch_to(self, live: Live) -> None:
        """Raises OSError when the storage fails."""
        before = self._service.release
        self._once(f"release {live.release} is live now; starting it next to {before}")
        try:
            self._service.switch_to(open_release(self._root.url, live.release, self._cache_dir))
            self._once(f"release {live.release} is in service")
        except (ValueError, ServiceError) as error:
            self._service.check_alive()
            self._once(f"release {live.release} cannot be served; {before} stays in service. The reason: {error}")
        self._tried = live

    def _once(self, message: str) -> None:
        if message != self._said:
            self._say(message)
        self._said = message
