"""The swap in its order: expand, rehearse, switch. Whatever fails takes back what was done.

The predictor first learns the new release beside the live one, then a transformer that nobody reaches is asked, then
the transformers go over, one by one. At every moment every transformer's release is served by every predictor.
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
from shortlist.serving.deploy.shadow import Comparison, compare, judge, queries, smoke


@dataclass(frozen=True)
class Options:
    """What a deploy asks of the new release."""

    timeout: float = 300.0
    """Seconds, of each of the three steps."""
    min_overlap: float = 0.1
    num_queries: int = 50
    root: str | None = None
    """What the release lies below, where that is known."""
    replace: bool = False
    """Do not keep the live release beside the new one; for when it can no longer be loaded."""


@dataclass(frozen=True)
class Deployed:
    """A deploy that stayed."""

    release: str
    before: str | None
    """What answered before; None when nothing did."""
    shadow: Comparison | None
    seconds: dict[str, float]
    """Of each step."""


def deploy(cluster: Cluster, release: str, options: Options, say: Callable[[str], None]) -> Deployed:
    """Make a release answer that lies below the root of the InferenceService.

    Raises RefusedError when it is not good enough and ClusterError when the cluster does not do it; what answered
    before answers again then, also after Ctrl-C.
    """
    swap = _Swap(cluster, release, options, say)
    try:
        swap.check_roots()
        swap.expand()
        swap.rehearse()
        swap.switch()
    except BaseException:
        say("failed; going back")
        swap.take_back()
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
        say(f"{self.live or 'nothing'} answers now")

    def check_roots(self) -> None:
        """Raises RefusedError when pods that start now could not load one of the two releases."""
        check_release_root(self._cluster, self._options.root, self._options.timeout)
        ready = self._ready_transformers()
        if self.live and ready and not self._options.replace and self.live != self._release:
            check_live_root(self._cluster, self.live, ready[0], self._release)

    def expand(self) -> None:
        """Teach the predictor the new release; it keeps the live one, unless that is to be replaced."""
        new = release_key(self._release)
        beside = release_key(self.live) if self.live and not self._options.replace else new
        wanted, there = {RELEASE: new, BESIDE: beside}, set(self._predictor.values())
        if there == {new, beside} or (not self._options.replace and there >= {new, beside}):
            return  # as when one goes back to the release before
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
        kept = "in the place of" if self._no_way_back else "beside"
        self._done("expand", start, f"the predictor serves {self._release} {kept} {self.live or 'nothing'}")

    def rehearse(self) -> None:
        """Ask a transformer of the new release that no Service leads to, and compare it with the live one."""
        if self.live in (None, self._release):
            return
        start = time.monotonic()
        with rehearsal(self._cluster, release_key(self._release), self._options.timeout) as pod:
            with self._cluster.asking(pod) as new, self._cluster.asking(self._live_pod()) as live:
                smoke(new, self._release)
                self.shadow = compare(queries(live, self._options.num_queries), new)
            self._say(f"shadow: {self.shadow}")
            judge(self.shadow, self._options.min_overlap)
        self._done("rehearse", start, "rehearsed")

    def switch(self) -> None:
        """Let the transformers go over, one by one, and ask each."""
        wanted = {RELEASE: release_key(self._release)}
        start = time.monotonic()
        if self._transformer != wanted:
            self._cluster.annotate("transformer", self._transformer, wanted)
            self._written.append("transformer")
        wait_for_rollout(self._cluster, "transformer", wanted, self._options.timeout)
        for pod in self._cluster.pods("transformer"):
            with self._cluster.asking(pod.metadata.name) as ask:
                smoke(ask, self._release)
        self._done("switch", start, f"every transformer answers with {self._release}")

    def take_back(self) -> None:
        """Undo what was written, in the order that keeps every transformer's release served."""
        if self._no_way_back:
            self._say(
                f"not taken back: {self.live} cannot be loaded any more, and the predictor serves {self._release} in "
                "its place; transformers that still have it answer unranked until a deploy succeeds"
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
        answers = self.live or "nothing"
        self._say(
            f"taken back: {answers} answers again" if self._written else f"nothing was changed: {answers} answers"
        )

    def _find_live(self) -> str | None:
        """What the transformers answer with; None when none does."""
        names = set()
        for pod in self._ready_transformers():
            with self._cluster.asking(pod.metadata.name) as ask:
                names.add(str(ask({})["release"]))
        if len(names) > 1:
            raise ClusterError(
                f"the transformers answer with {' and '.join(sorted(names))}: a deploy is on its way, or was broken "
                "off; wait until one is left"
            )
        return names.pop() if names else None

    def _live_pod(self) -> str:
        ready = self._ready_transformers()
        if not ready:
            raise RefusedError(
                "no transformer of the live release is ready any more, so there is nothing to compare with"
            )
        return str(ready[0].metadata.name)

    def _ready_transformers(self) -> list[Any]:
        return [pod for pod in self._cluster.pods("transformer") if is_ready(pod)]

    def _done(self, step: str, start: float, message: str) -> None:
        self.seconds[step] = round(time.monotonic() - start, 1)
        self._say(f"{step}: {message} ({self.seconds[step]:.1f} s)")
