"""Charts as HTML and inline SVG that stretch with the window, while text keeps its size.

The SVG of a plot has 100 x 100 units and is stretched to its box. Lines keep their width by `vector-effect`, and a dot
is a line of zero length with round ends. Labels are HTML at percent positions. Colours come from CSS classes of the
page, so that a chart follows the light or dark theme.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from shortlist.report.scales import Scale, plain, scale_of

_LETTER = 1.8
"""The width of a letter in a narrow window, in percent of the plot's width."""

Show = Callable[[float], str]


@dataclass(frozen=True)
class Series:
    """A line; `color` is a class of the page (`c-path`, ...)."""

    name: str
    color: str
    points: Sequence[tuple[float, float]]
    labels: Sequence[str] = ()
    """The tooltip of each point; by default its numbers."""
    big: bool = False
    """Whether its points stand out."""


@dataclass(frozen=True)
class Whisker:
    """A mean and its interval."""

    label: str
    color: str
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Bar:
    label: str
    value: float
    text: str


@dataclass(frozen=True)
class Axes:
    """The axes of a plot."""

    x: str
    y: str
    log_x: bool = False
    whole_x: bool = False
    """Whether only whole numbers are labelled, for example epochs."""
    zero_y: bool = False
    show_x: Show = plain
    x_ticks: Sequence[float] = ()
    """Where the x axis is labelled; by default at round numbers."""


@dataclass(frozen=True)
class Band:
    """A named part of the x axis."""

    name: str
    start: float
    end: float


def lines(
    series: Sequence[Series], axes: Axes, *, mark: float | None = None, area: bool = False, bands: Sequence[Band] = ()
) -> str:
    """Lines through points; `mark` draws a vertical line at that x, `area` fills below, `bands` shade parts."""
    points = [point for one in series for point in one.points]
    x_scale = scale_of([x for x, _ in points], log=axes.log_x, pad=0.03)
    y_scale = scale_of([y for _, y in points], zero=axes.zero_y)
    drawn: list[str] = []
    placed_names: list[tuple[float, str]] = []
    for i, band in enumerate(bands):
        left, right = (min(max(x_scale.at(x), 0.0), 100.0) for x in (band.start, band.end))
        drawn.append(f'<rect class="band b{i % 2}" x="{left:.2f}" width="{right - left:.2f}" y="0" height="100"/>')
        placed_names.append(((left + right) / 2, band.name))
    if mark is not None:
        at = x_scale.at(mark)
        drawn.append(f'<line class="mark" x1="{at:.2f}" x2="{at:.2f}" y1="0" y2="100"/>')
    for one in series:
        placed = [(x_scale.at(x), 100 - y_scale.at(y)) for x, y in one.points]
        path = " ".join(f"{'L' if i else 'M'}{x:.2f} {y:.2f}" for i, (x, y) in enumerate(placed))
        if area:
            bottom = 100 - max(y_scale.at(y_scale.low), 0)
            closed = f"{path} L{placed[-1][0]:.2f} {bottom:.2f} L{placed[0][0]:.2f} {bottom:.2f} Z"
            drawn.append(f'<path class="area {one.color}" d="{closed}"/>')
        drawn.append(f'<path class="line {one.color}" d="{path}"/>')
        if len(placed) <= 60 and not area:
            for i, (x, y) in enumerate(placed):
                label = one.labels[i] if one.labels else f"{axes.show_x(one.points[i][0])}: {plain(one.points[i][1])}"
                title = f"<title>{escape(f'{one.name}, {label}' if one.name else label)}</title>"
                dot = "dot big" if one.big else "dot"
                drawn.append(f'<path class="{dot} {one.color}" d="M{x:.2f} {y:.2f}h0">{title}</path>')
    legend = _legend([(one.name, one.color) for one in series]) if len(series) > 1 else ""
    ticks = axes.x_ticks or x_scale.ticks(6)
    labels = [(x_scale.at(x), axes.show_x(x)) for x in ticks if not axes.whole_x or float(x).is_integer()]
    return legend + _plot(y_scale, axes, labels, "".join(drawn), _band_names(placed_names))


def _band_names(placed: Sequence[tuple[float, str]]) -> str:
    """The names of bands at percent positions, each in the lowest row in which it overlaps no other name."""
    ends: list[float] = []  # of the last name in each row
    out = []
    for at, name in placed:
        half = len(name) * _LETTER / 2
        row = next((row for row, end in enumerate(ends) if at - half > end), len(ends))
        ends[row : row + 1] = [at + half]
        out.append(f'<span class="bandname" style="left:{at:.2f}%;bottom:{5 + 16 * row}px">{escape(name)}</span>')
    return "".join(out)


def _plot(y_scale: Scale, axes: Axes, x_labels: Sequence[tuple[float, str]], drawn: str, names: str = "") -> str:
    y_ticks = y_scale.ticks()
    grid = "".join(f'<path class="grid" d="M0 {100 - y_scale.at(y):.2f}H100"/>' for y in y_ticks)
    y_labels = "".join(f'<span class="ty" style="bottom:{y_scale.at(y):.2f}%">{plain(y)}</span>' for y in y_ticks)
    under = "".join(f'<span class="tx" style="left:{at:.2f}%">{escape(text)}</span>' for at, text in x_labels)
    return (
        f'<div class="chart"><div class="ylabel">{escape(axes.y)}</div><div class="plot">'
        f'<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label="{escape(axes.y)} by '
        f'{escape(axes.x)}">{grid}{drawn}</svg>{names}{y_labels}{under}</div>'
        f'<div class="xlabel">{escape(axes.x)}</div></div>'
    )


def whiskers(groups: Sequence[tuple[str, Sequence[Whisker]]], *, zero: bool, signed: bool = False) -> str:
    """Dots with their intervals on one common axis, in titled groups; `zero` includes 0 in the axis."""
    rows = [row for _, group in groups for row in group]
    scale = scale_of([v for row in rows for v in (row.low, row.high, row.mean)], zero=zero)
    ticks = scale.ticks(4)
    grid = "".join(
        f'<i class="g{" zero" if tick == 0 else ""}" style="left:{scale.at(tick):.2f}%"></i>' for tick in ticks
    )
    out = []
    for title, group in groups:
        if title:
            out.append(f'<div class="wtitle">{escape(title)}</div>')
        for row in group:
            left, right, at = scale.at(row.low), scale.at(row.high), scale.at(row.mean)
            sign = "+" if signed else ""
            numbers = f"{row.mean:{sign}.4f} ({row.low:{sign}.4f} to {row.high:{sign}.4f})"
            out.append(
                f'<div class="wrow" title="{escape(row.label)}: {numbers}">'
                f'<span class="wlabel">{escape(row.label)}</span>'
                f'<span class="wstrip">{grid}<i class="w {row.color}" style="left:{left:.2f}%;'
                f'width:{max(right - left, 0.1):.2f}%"></i>'
                f'<i class="d {row.color}" style="left:{at:.2f}%"></i></span>'
                f'<span class="wvalue">{row.mean:{sign}.4f} <small>{row.low:{sign}.4f} to {row.high:{sign}.4f}</small>'
                f"</span></div>"
            )
    axis = "".join(f'<span class="tx" style="left:{scale.at(tick):.2f}%">{plain(tick)}</span>' for tick in ticks)
    axis_row = f'<div class="wrow waxis"><span></span><span class="wstrip">{axis}</span><span></span></div>'
    return f'<div class="whiskers">{"".join(out)}{axis_row}</div>'


def bars(rows: Sequence[Bar], color: str) -> str:
    """Horizontal bars from 0."""
    most = max((row.value for row in rows), default=0) or 1
    inner = "".join(
        f'<div class="brow"><span class="wlabel">{escape(row.label)}</span><span class="btrack">'
        f'<i class="b {color}" style="width:{100 * row.value / most:.2f}%"></i></span>'
        f'<span class="bvalue">{escape(row.text)}</span></div>'
        for row in rows
    )
    return f'<div class="bars">{inner}</div>'


def columns(rows: Sequence[Bar], axes: Axes, color: str) -> str:
    """Vertical bars from 0, with a label at every few bars."""
    y_scale = scale_of([row.value for row in rows], zero=True)
    width = 100 / len(rows)
    drawn = "".join(
        f'<rect class="{color}" x="{i * width + width * 0.08:.2f}" width="{width * 0.84:.2f}" '
        f'y="{100 - y_scale.at(row.value):.2f}" height="{y_scale.at(row.value):.2f}">'
        f"<title>{escape(row.text)}</title></rect>"
        for i, row in enumerate(rows)
    )
    every = -(-len(rows) // 6)
    labels = [((i + 0.5) * width, row.label) for i, row in enumerate(rows) if i % every == 0]
    return _plot(y_scale, axes, labels, drawn)


def _legend(entries: Sequence[tuple[str, str]]) -> str:
    inner = "".join(f'<span><i class="{color}"></i>{escape(name)}</span>' for name, color in entries)
    return f'<div class="legend">{inner}</div>'
