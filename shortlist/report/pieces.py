"""HTML elements that several sections use. Cells and values are HTML; titles are plain text."""

from collections.abc import Sequence
from html import escape


def table(
    titles: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[int] = (), groups: Sequence[int] = ()
) -> str:
    """A table that scrolls sideways if necessary; `numeric` columns are right-aligned, `groups` rows begin a group."""
    kind = [" class=n" if i in numeric else "" for i in range(len(titles))]
    head = "".join(f"<th{kind[i]}>{escape(title)}</th>" for i, title in enumerate(titles))
    body = "".join(
        f"<tr{' class=group' if at in groups else ''}>"
        f"{''.join(f'<td{kind[i]}>{cell}</td>' for i, cell in enumerate(row))}</tr>"
        for at, row in enumerate(rows)
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def definitions(listed: Sequence[tuple[str, str]]) -> str:
    """A list of names and values."""
    return f"<dl>{''.join(f'<dt>{escape(name)}</dt><dd>{value}</dd>' for name, value in listed)}</dl>"


def tiles(listed: Sequence[tuple[str, str]]) -> str:
    """A row of single numbers."""
    inner = "".join(f'<div class="tile"><span>{escape(name)}</span><b>{value}</b></div>' for name, value in listed)
    return f'<div class="tiles">{inner}</div>' if inner else ""


def card(title: str, inner: str, aside: str = "") -> str:
    """A titled box; `aside` is shown in a muted colour after the title."""
    muted = f' <span class="soft">· {escape(aside)}</span>' if aside else ""
    return f'<div class="card"><h3>{escape(title)}{muted}</h3>{inner}</div>'


def folded(title: str, inner: str) -> str:
    """A box that is closed initially."""
    return f'<details><summary>{escape(title)}</summary><div class="card">{inner}</div></details>'


def note(text: str) -> str:
    """A line of muted text."""
    return f'<p class="note">{escape(text)}</p>'


def section(title: str, lead: str, inner: str) -> str:
    """A section of the page, with a sentence on how to read it."""
    return f"<section><h2>{escape(title)}</h2><p>{escape(lead)}</p>{inner}</section>"


def code(text: object) -> str:
    """Text in a fixed-width font."""
    return f"<code>{escape(str(text))}</code>"
