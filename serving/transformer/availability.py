"""Reads the availability file again while a release is served, beside the requests.

The first look is before the first answer. Later ones are in a thread, every `serving.availability.every`; a file that
has not changed is not read. When a look fails, what is in use stays, the metrics count it, and each new reason is
logged once.
"""

import logging
import threading
import time
from typing import ClassVar

from shortlist.answer.availability_file import AvailabilityFile
from shortlist.answer.release_recommender import ReleaseRecommender
from shortlist.recipe import AvailabilityFile as Settings
from shortlist.serving.transformer.metrics import AVAILABILITY_AGE, AVAILABILITY_ERRORS, AVAILABILITY_ITEMS

_LOG = logging.getLogger("shortlist.availability")
_IDLE = 3.0
"""How much longer the reader waits than it works: requests need the same interpreter lock."""


class AvailabilityWatcher:
    """Keeps one recommender at what its file says, from `start` to `stop`."""

    _shown: ClassVar["AvailabilityWatcher | None"] = None
    """The one whose metrics are shown, while a release replaces another."""

    def __init__(self, recommender: ReleaseRecommender, settings: Settings) -> None:
        """Raises ValueError for an address of an unknown kind."""
        self._recommender, self._every = recommender, settings.every
        self._file = AvailabilityFile(settings, recommender.release.store)
        self._stopped = threading.Event()
        self._confirmed = time.monotonic()
        self._complained = ""
        self._items = 0

    def start(self) -> None:
        """Use the file now if it can be read, and look at it again in a thread."""
        self.look()
        AvailabilityWatcher._shown = self
        AVAILABILITY_AGE.set_function(lambda: time.monotonic() - self._confirmed)
        AVAILABILITY_ITEMS.set_function(lambda: self._items)
        threading.Thread(target=self._follow, name="availability", daemon=True).start()

    def stop(self) -> None:
        """End the thread, at the latest after the look under way."""
        self._stopped.set()
        if AvailabilityWatcher._shown is self:
            AvailabilityWatcher._shown = None
            AVAILABILITY_AGE.set_function(lambda: 0.0)
            AVAILABILITY_ITEMS.set_function(lambda: 0)

    def look(self) -> None:
        """Use the file if it has changed. Never raises: whatever is wrong with it, requests are answered."""
        try:
            loaded = self._file.read_if_changed(_IDLE)
            if loaded is not None:
                self._recommender.use(loaded.available)
                self._items = loaded.num_items
        except Exception as error:  # noqa: BLE001
            AVAILABILITY_ERRORS.inc()
            self._complain(str(error) or type(error).__name__)
            return
        self._confirmed = time.monotonic()
        if self._complained:
            _LOG.warning("%s: can be read again; %d items of the release are in it", self._file.path, self._items)
        self._complained = ""

    def _complain(self, why: str) -> None:
        if why != self._complained:
            stays = "the last good file stays in use" if self._items else "the release's own availability is in use"
            _LOG.warning("%s; %s", why, stays)
        self._complained = why

    def _follow(self) -> None:
        while not self._stopped.wait(self._every):
            self.look()
