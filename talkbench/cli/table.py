"""Tables on the screen."""

import sys

from talkbench.columns import aligned


def print_table(title: str, lines: list[list[str]], rules: bool = True) -> None:
    """A rich table on a terminal, plain aligned columns elsewhere.

    Args:
        title: a line above it.
        lines: the head, then the rows.
        rules: whether the terminal's table has lines between its columns, which make it wider.
    """
    if not sys.stdout.isatty():
        print(title, *aligned(lines), sep="\n")
        return
    from rich.console import Console
    from rich.table import Table

    plain = (
        {} if rules else {"box": None, "pad_edge": False, "padding": (0, 2, 0, 0), "title_justify": "left"}
    )
    drawn = Table(title=title, **plain)
    for i, name in enumerate(lines[0]):
        drawn.add_column(name, justify="right" if i and rules else "left")
    for line in lines[1:]:
        drawn.add_row(*line)
    Console().print(drawn)
