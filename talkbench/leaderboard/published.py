"""Published figures: what papers print, with where it was read. They stand beside our tables and are never ranked with them.

`leaderboards/published.toml` holds them: `[[row]]` tables of

    method    as the source calls it
    protocol  data set and task in the source's words
    metric    its name there, with the unit
    value     the figure
    source    paper and table, or where else it was read
    quoted    optional, true: the source isn't the authors' own text
    beside    optional: the benchmark of ours under which the row is shown (the data set is the same, no more)
    note      optional: what to know before comparing

and a table `[absent]` of {method: why there is no figure}.
"""

import math
import tomllib
from html import escape
from pathlib import Path

from talkbench import resources

NEEDED = {"method": str, "protocol": str, "metric": str, "value": float, "source": str}
OPTIONAL = {"quoted": bool, "beside": str, "note": str}
WARNING = (
    "Figures of papers, as printed: other clips, crops, judges and often formulas. Not comparable with ours, never ranked "
    "with them."
)
COLUMNS = ("method", "protocol", "metric", "value", "source")


class PublishedError(ValueError):
    """A file of published figures that can't be used; the message names the file, the row and what is wrong."""


def default_file() -> Path:
    """The file that travels with talkbench."""
    return resources.folder("leaderboards") / "published.toml"


def published_rows(path: Path | None = None, beside: str | None = None) -> list[dict]:
    """The rows of a file (default: `default_file`), in its order, every key of `NEEDED` and `OPTIONAL` in each.

    Args:
        beside: only those shown under this benchmark of ours.

    Raises:
        PublishedError: not TOML, a row that lacks something (its source above all), or a value of another type.
    """
    path = Path(path or default_file())
    rows = [_row(entry, f"{path}: row {number}") for number, entry in enumerate(_entries(path), 1)]
    return [row for row in rows if beside is None or row["beside"] == beside]


def absent(path: Path | None = None) -> dict[str, str]:
    """{method: why no published figure of it is at hand}; see `published_rows`."""
    path = Path(path or default_file())
    found = _content(path).get("absent", {})
    if not isinstance(found, dict) or not all(isinstance(why, str) and why for why in found.values()):
        raise PublishedError(f'{path}: [absent] is a table of METHOD = "reason"')
    return found


def _content(path: Path) -> dict:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PublishedError(f"{path} is not TOML: {error}") from error


def _entries(path: Path) -> list[dict]:
    content = _content(path)
    strange = sorted(content.keys() - {"row", "absent"})
    if strange:
        raise PublishedError(f"{path}: unknown table {strange[0]!r}; there are [[row]] and [absent]")
    entries = content.get("row", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise PublishedError(f"{path}: write each row as [[row]]")
    return entries


def _row(entry: dict, where: str) -> dict:
    lacking = [key for key in NEEDED if entry.get(key) in (None, "")]
    if lacking:
        raise PublishedError(f"{where} lacks {', '.join(lacking)}")
    known = NEEDED | OPTIONAL
    strange = [key for key in entry if key not in known]
    if strange:
        raise PublishedError(f"{where} has an unknown key {strange[0]!r}; there are {', '.join(known)}")
    row = {**{key: kind() for key, kind in OPTIONAL.items()}, **entry}
    for key, kind in known.items():
        if kind is float and type(row[key]) is int:
            row[key] = float(row[key])
        if type(row[key]) is not kind:
            raise PublishedError(f"{where}: {key} = {row[key]!r} is no {kind.__name__}")
    if not math.isfinite(row["value"]):
        raise PublishedError(f"{where}: value = {row['value']} is no figure")
    return {key: row[key] for key in known}


def source_of(row: dict) -> str:
    """Where the figure was read, and whether by way of others."""
    return row["source"] + (" (quoted)" if row["quoted"] else "")


def markdown(rows: list[dict], missing: dict[str, str] | None = None) -> str:
    """The rows as a section of a Markdown file; "" without any. `missing`: of `absent`."""
    if not rows:
        return ""
    cell = lambda text: str(text).replace("|", "\\|").replace("\n", " ")  # noqa: E731
    lines = [
        "## Published figures",
        "",
        WARNING,
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|---" * len(COLUMNS) + "|",
    ]
    for row in rows:
        source = source_of(row) + (f". {row['note']}" if row["note"] else "")
        cells = (row["method"], row["protocol"], row["metric"], f"{row['value']:g}", source)
        lines.append("| " + " | ".join(map(cell, cells)) + " |")
    lines += ["", *(f"- {name}: {cell(why)}" for name, why in (missing or {}).items())] if missing else []
    return "\n".join(lines) + "\n"


def html_block(rows: list[dict], missing: dict[str, str] | None = None) -> str:
    """The rows as a piece of a page, a table of its own with everything escaped; "" without any."""
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{name}</th>' for name in (*COLUMNS, "note"))
    body = "".join(
        "<tr>"
        + "".join(
            f"<td>{escape(str(text))}</td>"
            for text in (
                row["method"], row["protocol"], row["metric"], f"{row['value']:g}", source_of(row), row["note"],
            )
        )
        + "</tr>"
        for row in rows
    )  # fmt: skip
    notes = "".join(f"<li>{escape(name)}: {escape(why)}</li>" for name, why in (missing or {}).items())
    return (
        f'<section class="published"><h2 id="published">Published figures</h2><p class="dim">{escape(WARNING)}</p>'
        f'<div class="scroll"><table class="words"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        + (f"<ul>{notes}</ul>" if notes else "")
        + "</section>"
    )


def plain(rows: list[dict], missing: dict[str, str] | None = None, width: int = 80) -> str:
    """The rows for a terminal of `width` columns: figures by method and protocol, each source once below them."""
    import textwrap

    wrapped = lambda text, indent: textwrap.fill(  # noqa: E731
        text, width, initial_indent=indent, subsequent_indent=indent + "  "
    )
    lines, order = [wrapped(WARNING, "")], []
    for row in rows:
        place = (row["protocol"], source_of(row))
        if place not in order:
            order.append(place)
    for protocol, source in order:
        lines += ["", wrapped(protocol, "")]
        for row in rows:
            if (row["protocol"], source_of(row)) == (protocol, source):
                lines.append(f"  {row['method']:<14} {row['metric']:<16} {row['value']:g}")
                lines += [wrapped(row["note"], "    ")] if row["note"] else []
        lines.append(wrapped(f"source: {source}", "  "))
    lines += [""] + [wrapped(f"{name}: {why}", "") for name, why in missing.items()] if missing else []
    return "\n".join(lines)
