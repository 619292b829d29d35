"""Switches one process of a transformer from a release to the next, between two requests."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from shortlist.serving.target import Progress, Target, Targets

if TYPE_CHECKING:
    from shortlist.serving.transformer.service import Service

_LOOK_SECONDS = 0.1
_BEFORE_ANY = -1


class Follower:
    """Holds the current service; with `targets`, it watches that folder and replaces the service."""

    def __init__(
        self,
        opened: "Callable[[Path, str | None], Service]",
        folder: Path,
        predictor_host: str | None,
        targets: Path | None,
    ) -> None:
        """Raises ValueError when the release is broken, or has a ranker but no predictor."""
        self._open = opened
        self._answering: Counter[Service] = Counter()
        self._changing = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        if targets is None:
            self.service = opened(folder, predictor_host)
            return
        self._targets = Targets(targets)
        # Reported first, so that whoever sets a target while this one is being loaded waits for this process.
        self._targets.report(Progress(number=_BEFORE_ANY))
        target = self._targets.get()
        self.service = opened(target.folder, target.predictor_host)
        self._targets.report(Progress(number=target.number))
        threading.Thread(target=self._follow, args=(target,), name="follower", daemon=True).start()

    @contextmanager
    def answering(self) -> "Iterator[Service]":
        """The service for one request; it is kept until the block ends. Call it in the server's event loop."""
        self._loop = asyncio.get_running_loop()
        with self._changing:
            service = self.service
            self._answering[service] += 1
        try:
            yield service
        finally:
            with self._changing:
                self._answering[service] -= 1

    def _follow(self, current: Target) -> None:
        while True:
            time.sleep(_LOOK_SECONDS)
            try:
                wanted = self._targets.get()
            except FileNotFoundError:  # the parent has removed the folder and will end this process
                return
            if wanted == current:
                continue
            current = wanted
            try:
                new = self._open(wanted.folder, wanted.predictor_host)
            except Exception as error:  # noqa: BLE001  # the old service stays, whatever the error
                self._targets.report(Progress(number=wanted.number, error=str(error) or type(error).__name__))
                continue
            self._replace_by(new)
            self._targets.report(Progress(number=wanted.number))

    def _replace_by(self, new: "Service") -> None:
        """Use `new` from the next request on, and wait for the last request of the old service."""
        with self._changing:
            old, self.service = self.service, new
        while self._answering[old]:
            time.sleep(0.01)
        with self._changing:
            del self._answering[old]
        if self._loop is not None:  # otherwise there was no request, and no connection is open
            asyncio.run_coroutine_threadsafe(old.close(), self._loop).result()
