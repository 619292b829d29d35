"""Numbers to positions on an axis, and to text."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """An axis from `low` to `high`, linear or logarithmic."""

    low: float
    high: float
    log: bool = False

    def at(self, value: float) -> float:
        """The position of a value, in percent of the axis."""
        low, high, value = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return 100.0 * (value - low) / (high - low)

    def ticks(self, count: int = 5) -> list[float]:
        """Round numbers within the axis: about `count` steps of 1, 2 or 5 times a power of ten."""
        if self.log:
            return _log_ticks(self.low, self.high)
        step = _round_up((self.high - self.low) / count)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(i * step, 12) for i in range(first, last + 1)]


def scale_of(values: list[float], *, log: bool = False, zero: bool = False, pad: float = 0.06) -> Scale:
    """An axis that covers all values with a margin; with `zero` it includes 0."""
    low, high = min(values), max(values)
    if log:
        assert low > 0, low
        room = max(high / low, 2.0) ** pad
        return Scale(low / room, high * room, log=True)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high - low < 1e-12 * max(abs(low), abs(high), 1.0):
        low, high = (0.0, 2 * high) if high > 0 else (low - 1.0, high + 1.0)
    room = pad * (high - low)
    return Scale(low if zero and low == 0 else low - room, high if zero and high == 0 else high + room)


def plain(value: float) -> str:
    """A number in a short form: 12,300, 0.12, 3.4e-05."""
    if value == 0:
        return "0"
    if abs(value) >= 1e7:
        return f"{value / 1e6:,.4g} M"
    if abs(value) >= 1000 or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.3g}"


def duration(seconds: float) -> str:
    """0.4 s, 12 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if round(seconds) < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def megabytes(value: float) -> str:
    """900 MB, 1.2 GB."""
    return f"{value:.0f} MB" if value < 1000 else f"{value / 1000:.1f} GB"


def _round_up(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= step * (1 - 1e-9))


def _log_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 2, 3, 4, 5, 6, 7, 8, 9)):
        ticks = [m * 10.0**d for d in decades for m in steps if low <= m * 10.0**d <= high]
        if len(ticks) >= 3:
            return ticks
    return ticks
