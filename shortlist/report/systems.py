"""The names, order and colours of the systems on the page; the served system comes first."""

from shortlist.recipe.metrics import METRICS
from shortlist.report.record import Evaluated, RunRecord, Table

_NAMES = {
    "path": "Retrieval + ranking",
    "retrieval": "Retrieval alone",
    "item_knn": "Item-kNN",
    "popularity": "Popularity",
    "buy_again": "Buy again",
    "live": "Live release",
}
_COLORS = {
    "path": "c-path",
    "retrieval": "c-retrieval",
    "item_knn": "c-knn",
    "popularity": "c-popularity",
    "buy_again": "c-again",
}


def metric_name(metric: str) -> str:
    """`ndcg_at_10` as NDCG@10."""
    name, _, depth = metric.rpartition("_at_")
    return f"{METRICS.get(name, name)}@{depth}" if name else metric


def color_of(system: str) -> str:
    """The CSS class of a system."""
    return _COLORS.get(system, "c-live")


class Systems:
    """The systems of one run."""

    def __init__(self, run: RunRecord, evaluation: Evaluated) -> None:
        self.served: str = run.decision.verdict.serves if run.decision is not None else "path"
        self._ranks = "retrieval_minus_popularity" in evaluation.differences
        """Without a ranker, retrieval is the whole path and is shown once."""
        self.tables = self.ordered(evaluation.systems)
        """System -> table, in the order of the page, with the live release if it was compared."""
        if evaluation.live is not None and evaluation.live.skipped is None:
            self.tables["live"] = evaluation.live.metrics

    def name(self, system: str) -> str:
        """The display name, which says whether the system is served."""
        name = _NAMES.get(system, system.replace("_", " "))
        if system == "path" and not self._ranks:
            name = "Retrieval"
        if system == self.served:
            return f"{name} (served)"
        return f"{name} (not served)" if system == "path" else name

    def ordered(self, tables: dict[str, Table]) -> dict[str, Table]:
        """The served system first, then in the order of the page, unknown systems last."""
        order = [self.served, *_NAMES, *tables]
        found = {name: tables[name] for name in order if name in tables}
        if not self._ranks and self.served == "path":
            found.pop("retrieval", None)
        return found
