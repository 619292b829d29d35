"""Figures as the benches write them with `--json`, and as docs/figures/speed.json keeps them."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

SPEED = Path(__file__).parents[1] / "docs/figures/speed.json"


class Figure(BaseModel):
    """One number of one bench."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    bench: str
    name: str
    value: float
    better: Literal["higher", "lower"]


class Figures(BaseModel):
    """What a bench, or all of them, measured in one run."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    revision: str = ""
    machine: str
    date: str
    figures: list[Figure]

    @classmethod
    def here(cls, figures: list[Figure], revision: str = "") -> "Figures":
        return cls(revision=revision, machine=_machine(), date=f"{datetime.now(UTC):%Y-%m-%d}", figures=figures)

    @classmethod
    def read(cls, path: Path) -> "Figures":
        return cls.model_validate_json(path.read_text())

    def write(self, path: Path) -> None:
        path.write_text(self.model_dump_json(indent=1) + "\n")

    def value(self, bench: str, name: str) -> float:
        """Raises KeyError when there is no such figure."""
        found = {(one.bench, one.name): one.value for one in self.figures}
        return found[bench, name]


def _machine() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_processor()}, {cores} cores, Python {platform.python_version()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
