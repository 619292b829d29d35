"""The steps of a deploy: expand, rehearse, switch. A failure of any step rolls back the previous ones.

First the predictor loads the new release next to the live one. Then a transformer without traffic is tested. Finally
the transformers are rolled out one by one. At every moment, every predictor serves the releases of all transformers.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shortlist.release.bundle import release_key
from shortlist.serving.deploy.cluster import BESIDE, RELEASE, Cluster, annotations_of, is_ready
from shortlist.serving.deploy.errors import ClusterError, RefusedError
from shortlist.serving.deploy.rehearsal import rehearsal
from shortlist.serving.deploy.rollout import wait_for_rollout
from shortlist.serving.deploy.roots import check_live_root, check_release_root
from shortlist.serving.deploy.shadow import Comparison, check_comparison, compare, queries, smoke


@dataclass(frozen=True)
class Options:
    """The options of a deploy."""

    timeout: float = 300.0
    """The time limit of each of the three steps, in seconds."""
    min_overlap: float = 0.1
    num_queries: int = 50
    root: str | None = None
    """The root of the release, if known."""
    replace: bool = False
    """Do not keep the live release next to the new one, for a live release that can no longer be loaded."""


@dataclass(frozen=True)
class Deployed:
    """A successful deploy."""

    release: str
    before: str | None
    """The release that was live before; None if there was none."""
    shadow: Comparison | None
    seconds: dict[str, float]
    """The duration of each step."""


def deploy(cluster: Cluster, release: str, options: Options, say: Callable[[str], None]) -> Deployed:
    """Make a release live that is stored below the root of the InferenceService.

    Raises RefusedError when the release does not pass the checks, and ClusterError when the cluster fails. The previous
    release is then restored, also after Ctrl-C.
    """
    swap = _Swap(cluster, release, options, say)
    try:
        swap.check_roots()
        swap.expand()
        swap.rehearse()
        swap.switch()
    except BaseException:
        say("failed; rolling back")
        swap.roll_back()
        raise
    return Deployed(release, swap.live, swap.shadow, swap.seconds)


class _Swap:
    def __init__(self, cluster: Cluster, release: str, options: Options, say: Callable[[str], None]) -> None:
        self._cluster, self._release, self._options, self._say = cluster, release, options, say
        found = cluster.inference_service()
        self._transformer = {RELEASE: annotations_of(found, "transformer").get(RELEASE, "")}
        there = annotations_of(found, "predictor")
        self._predictor = {RELEASE: there.get(RELEASE, ""), BESIDE: there.get(BESIDE, "")}
        self._written: list[str] = []
        self._expanded = self._predictor
        self._no_way_back = False
        self.live = self._find_live()
        self.shadow: Comparison | None = None
        self.seconds: dict[str, float] = {}
        say(f"live release: {self.live or 'none'}")

    def check_roots(self) -> None:
        """Raises RefusedError when new pods could not load one of the two releases."""
        check_release_root(self._cluster, self._options.root, self._options.timeout)
        ready = self._ready_transformers()
        if self.live and ready and not self._options.replace and self.live != self._release:
            check_live_root(self._cluster, self.live, ready[0], self._release)

    def expand(self) -> None:
        """Load the new release in the predictor, next to the live one unless that is to be replaced."""
        new = release_key(self._release)
        beside = release_key(self.live) if self.live and not self._options.replace else new
        wanted, there = {RELEASE: new, BESIDE: beside}, set(self._predictor.values())
        if there == {new, beside} or (not self._options.replace and there >= {new, beside}):
            return  # for example after a return to the previous release
        start = time.monotonic()
        self._cluster.annotate("predictor", self._predictor, wanted)
        self._written.append("predictor")
        self._expanded = wanted
        try:
            wait_for_rollout(self._cluster, "predictor", wanted, self._options.timeout)
        except ClusterError as error:
            if self.live and beside != new and self.live in str(error):
                raise ClusterError(f"{error}\nIf {self.live} is gone for good, deploy with --replace") from error
            raise
        self._no_way_back = beside == new and self.live not in (None, self._release)
        kept = "instead of" if self._no_way_back else "and"
        self._done("expand", start, f"the predictor serves {self._release} {kept} {self.live or 'nothing'}")

    def rehearse(self) -> None:
        """Query a transformer of the new release that has no traffic, and compare it with the live one."""
        if self.live in (None, self._release):
            return
        start = time.monotonic()
        with rehearsal(self._cluster, release_key(self._release), self._options.timeout) as pod:
            with self._cluster.connected_to(pod) as new, self._cluster.connected_to(self._live_pod()) as live:
                smoke(new, self._release)
                self.shadow = compare(queries(live, self._options.num_queries), new)
            self._say(f"shadow: {self.shadow}")
            check_comparison(self.shadow, self._options.min_overlap)
        self._done("rehearse", start, "rehearsed")

    def switch(self) -> None:
        """Roll out the transformers one by one, and query each."""
        wanted = {RELEASE: release_key(self._release)}
        start = time.monotonic()
        if self._transformer != wanted:
            self._cluster.annotate("transformer", self._transformer, wanted)
            self._written.append("transformer")
        wait_for_rollout(self._cluster, "transformer", wanted, self._options.timeout)
        for pod in self._cluster.pods("transformer"):
            with self._cluster.connected_to(pod.metadata.name) as ask:
                smoke(ask, self._release)
        self._done("switch", start, f"all transformers serve {self._release}")

    def roll_back(self) -> None:
        """Undo the changes, in an order that keeps the releases of all transformers served."""
        if self._no_way_back:
            self._say(
                f"not rolled back: {self.live} can no longer be loaded, and the predictor serves {self._release} "
                "instead; transformers that still have it return unranked lists until a deploy succeeds"
            )
            return
        if "transformer" in self._written:
            now = {RELEASE: release_key(self._release)}
            self._cluster.annotate("transformer", now, self._transformer)
            wait_for_rollout(self._cluster, "transformer", self._transformer, self._options.timeout)
        if "predictor" in self._written:
            self._cluster.annotate("predictor", self._expanded, self._predictor)
            if self.live and not self._options.replace:
                wait_for_rollout(self._cluster, "predictor", self._predictor, self._options.timeout)
        live = self.live or "no release"
        self._say(f"rolled back: {live} is live again" if self._written else f"nothing was changed: {live} is live")

    def _find_live(self) -> str | None:
        """The release of the ready transformers; None if there are none."""
        names = set()
        for pod in self._ready_transformers():
            with self._cluster.connected_to(pod.metadata.name) as ask:
                names.add(str(ask({})["release"]))
        if len(names) > 1:
            raise ClusterError(
                f"the transformers serve {' and '.join(sorted(names))}: a deploy is in progress, or was interrupted; "
                "wait until only one is left"
            )
        return names.pop() if names else None

    def _live_pod(self) -> str:
        ready = self._ready_transformers()
        if not ready:
            raise RefusedError(
                "no transformer of the live release is ready any more, so that a comparison is not possible"
            )
        return str(ready[0].metadata.name)

    def _ready_transformers(self) -> list[Any]:
        return [pod for pod in self._cluster.pods("transformer") if is_ready(pod)]

    def _done(self, step: str, start: float, message: str) -> None:
        self.seconds[step] = round(time.monotonic() - start, 1)
        self._say(f"{step}: {message} ({self.seconds[step]:.1f} s)")
