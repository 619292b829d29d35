"""A trace of the stages: items in, items out, items dropped by reason, and duration."""

from dataclasses import asdict, dataclass, field
from time import perf_counter


@dataclass
class Stage:
    """One stage, summed over the batches of a trace."""

    queries: int = 0
    items_in: int = 0
    items_out: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    """Reason -> number of items."""
    milliseconds: float = 0.0


@dataclass
class Trace:
    """Collects the record of each stage. A recommender without a trace counts nothing."""

    stages: dict[str, Stage] = field(default_factory=dict)
    _since: float = field(default_factory=perf_counter)

    def as_dict(self) -> dict[str, dict[str, object]]:
        """The stages in the order of their first record."""
        return {
            name: {**asdict(stage), "milliseconds": round(stage.milliseconds, 3)} for name, stage in self.stages.items()
        }

    def lines(self) -> list[str]:
        """One readable line per stage."""
        lines = []
        for name, stage in self.stages.items():
            dropped = [f"{count:,} {why}" for why, count in stage.dropped.items()]
            items = f"{stage.items_out:,} of {stage.items_in:,} items" if stage.items_in else ""
            parts = [f"{stage.queries:,} queries", items, f"dropped {' and '.join(dropped)}" if dropped else ""]
            lines.append(f"{name}: {', '.join(filter(None, parts))} in {stage.milliseconds / 1e3:.2f} s")
        return lines

    def start(self) -> None:
        """Start the clock of the next stage."""
        self._since = perf_counter()

    def record(
        self, name: str, *, queries: int, items_in: int, items_out: int, dropped: dict[str, int] | None = None
    ) -> None:
        """Record a stage; its time runs from the previous record or start."""
        now, stage = perf_counter(), self.stages.setdefault(name, Stage())
        stage.queries += queries
        stage.items_in += items_in
        stage.items_out += items_out
        stage.milliseconds += 1e3 * (now - self._since)
        for why, count in (dropped or {}).items():
            stage.dropped[why] = stage.dropped.get(why, 0) + count
        self._since = now
