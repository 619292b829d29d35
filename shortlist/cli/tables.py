"""Tables on a terminal, and in a pipe or a log, where the line width is unknown."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

_WIDE = 160


def print_table(table: "Table") -> None:
    """Print a table; names in its first column are never truncated."""
    from rich.console import Console

    table.columns[0].no_wrap = True
    table.columns[0].min_width = max((len(str(cell)) for cell in table.columns[0].cells), default=0)
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, width=_WIDE)
    console.print(table)
