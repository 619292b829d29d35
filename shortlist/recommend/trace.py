"""What each stage did: items in, items out, what was dropped and why, how long it took."""

from dataclasses import asdict, dataclass, field
from time import perf_counter


@dataclass
class Stage:
    """One stage, summed over the batches of a trace."""

    queries: int = 0
    items_in: int = 0
    items_out: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    """Why -> how many."""
    milliseconds: float = 0.0


@dataclass
class Trace:
    """A recommender that is given one writes to it; without one it counts nothing."""

    stages: dict[str, Stage] = field(default_factory=dict)
    _since: float = field(default_factory=perf_counter)

    def as_dict(self) -> dict[str, dict[str, object]]:
        """The stages in the order in which they were first met."""
        return {
            name: {**asdict(stage), "milliseconds": round(stage.milliseconds, 3)} for name, stage in self.stages.items()
        }

    def lines(self) -> list[str]:
        """A line a stage, for people."""
        lines = []
        for name, stage in self.stages.items():
            dropped = [f"{count:,} {why}" for why, count in stage.dropped.items()]
            told = f"{stage.items_out:,} of {stage.items_in:,} items" if stage.items_in else ""
            parts = [f"{stage.queries:,} queries", told, f"dropped {' and '.join(dropped)}" if dropped else ""]
            lines.append(f"{name}: {', '.join(filter(None, parts))} in {stage.milliseconds / 1e3:.2f} s")
        return lines

    def start(self) -> None:
        """The next stage takes its time from here."""
        self._since = perf_counter()

    def record(
        self, name: str, *, queries: int, items_in: int, items_out: int, dropped: dict[str, int] | None = None
    ) -> None:
        """What a stage did since the one before."""
        now, stage = perf_counter(), self.stages.setdefault(name, Stage())
        stage.queries += queries
        stage.items_in += items_in
        stage.items_out += items_out
        stage.milliseconds += 1e3 * (now - self._since)
        for why, count in (dropped or {}).items():
            stage.dropped[why] = stage.dropped.get(why, 0) + count
        self._since = now
