"""Tables on the screen."""

import sys

from talkbench.columns import aligned


def print_table(title: str, lines: list[list[str]], rules: bool = True) -> None:
    """A rich table on a terminal, plain aligned columns elsewhere.

    Where a terminal is too narrow for all columns, the others follow in further tables, each with the first column.

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

    console = Console()
    plain = {} if rules else {"box": None, "pad_edge": False, "padding": (0, 2, 0, 0)}
    for number, columns in enumerate(blocks(lines, console.width - 1, 3 if rules else 2)):
        drawn = Table(title=title if number == 0 else None, title_justify="left", **plain)
        for i in columns:
            right = i and rules
            drawn.add_column(lines[0][i], justify="right" if right else "left", overflow="fold")
        for line in lines[1:]:
            drawn.add_row(*(line[i] for i in columns))
        console.print(drawn)


def blocks(lines: list[list[str]], width: int, between: int) -> list[list[int]]:
    """Which columns stand side by side in tables of at most `width` characters; the first column is in each.

    Args:
        lines: rows of equally many cells. between: characters that a column takes beyond its widest cell.
    """
    widths = [max(map(len, column)) + between for column in zip(*lines, strict=True)]
    made, used = [[0]], widths[0]
    for i, wide in enumerate(widths[1:], 1):
        if used + wide > width and len(made[-1]) > 1:
            made.append([0])
            used = widths[0]
        made[-1].append(i)
        used += wide
    return made
