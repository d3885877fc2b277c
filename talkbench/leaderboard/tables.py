"""Tables: results of a benchmark -> leaderboards/NAME.json, NAME.md, NAME.csv.

The JSON is what others read:

{"benchmark", "version", "title", "metrics": {KEY: {"name", "unit", "better", "judge", "version"}},
 "rows": [{"method", "kind", "task", "driven_by",
           "metrics": {KEY: {"value", "low", "high", "clips", "coverage"}},
           "unavailable": {KEY: reason}, "provenance"}],
 "published": [row of `leaderboard.published`], only where there are some,
 "accepted": [{"date", "reason"}], "digest"}

A metric without a value is not among a row's metrics; `unavailable` says why. `digest` is over everything
else, so that an edit by hand is seen.
"""

import csv
import io
from pathlib import Path
from warnings import warn

from talkbench.evaluation.protocol import Protocol
from talkbench.evaluation.provenance import digest
from talkbench.evaluation.results import (
    LEAST_COVERAGE,
    Row,
    aggregate,
    read_json,
    write_atomically,
    write_json,
)
from talkbench.leaderboard.published import markdown as published_section
from talkbench.leaderboard.published import published_rows
from talkbench.metrics.registry import METRICS

KINDS = ("method", "external", "baseline")  # in the order of the tables
ARROWS = {"higher": "↑", "lower": "↓"}
_CELL = ("value", "low", "high", "clips", "coverage")


class TableError(ValueError):
    """A table or a row that can't be used; the message names the file and the remedy."""


def build(protocol: Protocol, rows: list[Row], *, published: Path | None = None) -> dict:
    """The table of a benchmark from its results.

    Args:
        rows: of `results.read_rows`.
        published: TOML file with the papers' own numbers, if there is one; those of this data set go into the table's
            own `published`, apart from its rows (`published.published_rows`).

    Returns:
        Plain values, as the JSON file holds them, without `accepted`. Rows that another version of the protocol made
        are left out, with a warning.
    """
    key, current = digest(protocol.scoring()), []
    for row in rows:
        if row.provenance.get("protocol", {}).get("hash") == key:
            current.append(row)
        else:
            warn(
                f"results of {row.method} are of another version of {protocol.name}; evaluate again",
                stacklevel=2,
            )
    table = {
        "benchmark": protocol.name,
        "version": protocol.version,
        "title": protocol.title,
        "metrics": {key: _about(protocol, key) for key in protocol.metrics},
        "rows": [_row(row, protocol) for row in current],
    }
    if published is not None and published.exists():
        beside = published_rows(published, protocol.name)
        table |= {"published": beside} if beside else {}
    return sealed(ranked(table))


def _about(protocol: Protocol, key: str) -> dict:
    metric = METRICS[key]
    judge = None if metric.judge is None else protocol.judges.get(metric.judge)
    return {
        "name": metric.name,
        "unit": metric.unit,
        "better": metric.better,
        "judge": judge,
        "version": protocol.metric_version(key),
    }


def _row(row: Row, protocol: Protocol) -> dict:
    summaries, unavailable = aggregate(row, protocol)
    cells = {key: {name: _plain(getattr(s, name)) for name in _CELL} for key, s in summaries.items()}
    return {
        "method": row.method,
        "kind": row.kind,
        "task": row.task,
        "driven_by": list(row.driven_by),
        "metrics": {key: cells[key] for key in protocol.metrics if key in cells},
        "unavailable": unavailable,
        "provenance": row.provenance,
    }


def _plain(value):
    return round(value, 8) + 0.0 if isinstance(value, float) else value  # no -0.0


def sealed(table: dict) -> dict:
    """The table with the digest of its other content."""
    content = {key: value for key, value in table.items() if key != "digest"}
    return {**content, "digest": digest(content)}


def is_sealed(table: dict) -> bool:
    """Whether the digest still fits: nobody edited the file by hand."""
    return sealed(table)["digest"] == table.get("digest")


def row_key(row: dict) -> tuple[str, str, str]:
    """What a row is known by: kind, method, task."""
    return row["kind"], row["method"], row["task"]


def ranked(table: dict) -> dict:
    """The table with its rows in order: by kind, task, and mean rank over the metrics within a kind."""
    groups: dict[tuple, list[dict]] = {}
    for row in table["rows"]:
        groups.setdefault((KINDS.index(row["kind"]), row["task"]), []).append(row)
    rows = []
    for group in sorted(groups):
        members = groups[group]
        rows += sorted(members, key=lambda row: (_mean_rank(row, members, table["metrics"]), row["method"]))
    return {**table, "rows": rows}


def compared_with(row: dict) -> str | None:
    """What the row's frames were compared with, where it wasn't the clip; such a row stands beside the others, unranked."""
    return row.get("provenance", {}).get("method", {}).get("compared_with")


def is_ranked(row: dict) -> bool:
    """Whether a row may be the best: baselines and rows of other pictures may not."""
    return row["kind"] in ("method", "external") and not compared_with(row)


def _mean_rank(row, members, metrics) -> float:
    if compared_with(row):
        return float("inf")
    members = [member for member in members if not compared_with(member)]
    ranks = []
    for key, about in metrics.items():
        if key in row["metrics"]:
            sign = -1 if about["better"] == "higher" else 1
            own = sign * row["metrics"][key]["value"]
            ranks.append(sum(sign * m["metrics"][key]["value"] < own for m in members if key in m["metrics"]))
    return sum(ranks) / len(ranks) if ranks else float("inf")


def merged(table: dict, rows: list[dict]) -> dict:
    """The table with further rows; a row of the same kind, method and task is replaced."""
    new = {row_key(row) for row in rows}
    return ranked({**table, "rows": [r for r in table["rows"] if row_key(r) not in new] + list(rows)})


def read(path: Path) -> dict:
    """A table file. TableError where it is missing or isn't one."""
    if not path.is_file():
        raise TableError(f"{path} does not exist; `talkbench leaderboard accept` writes it")
    table = read_json(path)
    lacking = [key for key in ("benchmark", "version", "metrics", "rows") if key not in table]
    if lacking:
        raise TableError(f"{path} is not a leaderboard table: it lacks {', '.join(lacking)}")
    return table


def read_external_row(path: Path, table: dict) -> dict:
    """A row that `talkbench score --row` wrote, checked against the table: same metric versions and judges.

    TableError where a metric was computed otherwise than in the table; metrics that the table lacks are
    left out.
    """
    content = read_json(path)
    if "row" not in content or "metrics" not in content:
        raise TableError(f"{path} is no row file; `talkbench score ... --row FILE` writes one")
    row, about = content["row"], content["metrics"]
    for key in row["metrics"]:
        if key in table["metrics"] and any(
            _uncoded(about[key][name]) != table["metrics"][key][name] for name in ("judge", "version")
        ):
            raise TableError(
                f"{path}: {key} is {about[key]['version']!r} by {about[key]['judge'] or 'no judge'}, "
                f"the table's is "
                f"{table['metrics'][key]['version']!r} by {table['metrics'][key]['judge'] or 'no judge'}"
            )
    return {**row, "metrics": {k: v for k, v in row["metrics"].items() if k in table["metrics"]}}


def _uncoded(text: str | None) -> str | None:
    """A version without the tag that says how the scored videos were coded (the row's provenance has it)."""
    return None if text is None else text.split(" codec=")[0]


def warnings(table: dict) -> list[str]:
    """What to know before believing: oracle beaten, static not beaten, frames not scored, other pictures compared."""
    found = []
    by_name = {row_key(row): row["metrics"] for row in table["rows"]}
    for row in table["rows"]:
        if not is_ranked(row):
            continue
        oracle, static = (by_name.get(("baseline", name, row["task"]), {}) for name in ("oracle", "static"))
        beaten, failing = [], []
        for key, cell in row["metrics"].items():
            if METRICS[key].judge == "sync" or key.startswith("cpbd"):
                continue  # these look at the output alone: a score above the real clip's is possible
            sign = 1 if table["metrics"][key]["better"] == "higher" else -1
            value = sign * cell["value"]
            if key in oracle and value > sign * oracle[key]["value"] + 1e-9:
                beaten.append(table["metrics"][key]["name"])
            telling = key in static and static[key]["value"] != oracle.get(key, {}).get("value")
            if telling and value <= sign * static[key]["value"]:
                failing.append(table["metrics"][key]["name"])
        if beaten:
            found.append(
                f"{row['method']} is above the oracle in {', '.join(beaten)}: the benchmark is broken there"
            )
        if failing:
            found.append(f"{row['method']} does not beat the still frame in {', '.join(failing)}")
    for row in table["rows"]:
        if compared_with(row):
            found.append(f"{row['method']} is compared with {compared_with(row)}, and not ranked")
        thin = [
            table["metrics"][key]["name"]
            for key, cell in row["metrics"].items()
            if cell["coverage"] is not None and cell["coverage"] < LEAST_COVERAGE
        ]
        if thin:
            found.append(
                f"{row['method']}: under {LEAST_COVERAGE:.0%} of the frames due were scored in "
                f"{', '.join(thin)}"
            )
    return found


def number(value: float) -> str:
    """A score with as many digits as are worth reading."""
    size = abs(value)
    return f"{value:.{4 if size < 0.1 else 3 if size < 10 else 2}f}"


def heading(about: dict) -> str:
    """Name, unit and direction of a metric, such as "PSNR (dB) ↑"."""
    unit = f" ({about['unit']})" if about["unit"] else ""
    return f"{about['name']}{unit} {ARROWS[about['better']]}"


def best(table: dict, key: str, task: str) -> float | None:
    """The best value of a metric among methods (external ones too) in a task."""
    values = [
        row["metrics"][key]["value"]
        for row in table["rows"]
        if is_ranked(row) and row["task"] == task and key in row["metrics"]
    ]
    pick = max if table["metrics"][key]["better"] == "higher" else min
    return pick(values) if values else None


def judges(table: dict) -> dict[str, list[str]]:
    """{judge: names of the metrics it looks for}."""
    found: dict[str, list[str]] = {}
    for about in table["metrics"].values():
        if about["judge"]:
            found.setdefault(about["judge"], []).append(about["name"])
    return found


def used(table: dict) -> list[str]:
    """The metrics that some row has."""
    return [key for key in table["metrics"] if any(key in row["metrics"] for row in table["rows"])]


def markdown(table: dict) -> str:
    """The table for people, as NAME.md holds it."""
    keys = used(table)
    tasks = {row["task"] for row in table["rows"]}
    top = {(task, key): best(table, key, task) for task in tasks for key in keys}
    lines = [
        f"# {table['title']}",
        "",
        f"Benchmark `{table['benchmark']}`, version {table['version']}. Clip means; in brackets "
        "95 % intervals (bootstrap over speakers). Bold: best method. *Italic*: baselines. `driven by` says "
        "what a method sees of the target: one that sees its frames is not comparable to one that hears "
        "its sound.",
        "",
        "| | driven by | " + " | ".join(_escape(heading(table["metrics"][key])) for key in keys) + " |",
        "|---|---|" + "---|" * len(keys),
    ]
    for row in table["rows"]:
        cells = [_cell(row, key, top[row["task"], key]) for key in keys]
        lines.append(f"| {_name(row)} | {', '.join(row['driven_by']) or '-'} | " + " | ".join(cells) + " |")
    lines += ["", "## What the numbers are", "", "| metric | definition | judge |", "|---|---|---|"]
    for key in keys:
        about = table["metrics"][key]
        lines.append(
            f"| {_escape(about['name'])} (`{key}`) | {_escape(about['version'])} | "
            f"{_escape(about['judge'] or '-')} |"
        )
    notes = warnings(table)
    absent = [key for key in table["metrics"] if key not in keys]
    for row in table["rows"]:
        reasons: dict[str, list[str]] = {}
        for key, reason in row.get("unavailable", {}).items():
            if key in keys:
                reasons.setdefault(reason, []).append(key)
        notes += [
            f"{row['method']}: {', '.join(names)} not available: {why}" for why, names in reasons.items()
        ]
    missing: dict[str, list[str]] = {}
    for key in absent:
        reasons = (row["unavailable"][key] for row in table["rows"] if key in row.get("unavailable", {}))
        missing.setdefault(next(reasons, "not measured"), []).append(table["metrics"][key]["name"])
    notes += [f"{', '.join(names)}: not available: {reason}" for reason, names in missing.items()]
    if notes:
        lines += ["", "## Notes", "", *(f"- {_escape(note)}" for note in notes)]
    if table.get("published"):
        lines += ["", published_section(table["published"]).rstrip()]
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _name(row: dict) -> str:
    name = _escape(row["method"])
    task = "" if row["task"] == "reconstruction" else f", {row['task']}"
    if row["kind"] == "baseline":
        return f"*{name}{task}*"
    codec = row["provenance"].get("codec")
    kind = row["kind"] + (f", {codec} video" if codec else "")
    return f"{name}{task}" + ("" if row["kind"] == "method" else f" ({kind})")


def _cell(row: dict, key: str, top: float | None) -> str:
    cell = row["metrics"].get(key)
    if cell is None:
        return "-"
    text = number(cell["value"])
    if is_ranked(row) and cell["value"] == top:
        text = f"**{text}**"
    if cell["coverage"] is not None and cell["coverage"] < LEAST_COVERAGE:
        text += f" ({cell['coverage']:.0%} scored)"
    return text if cell["low"] is None else f"{text} [{number(cell['low'])}, {number(cell['high'])}]"


def comma_separated(table: dict) -> str:
    """One line a row and metric, as NAME.csv holds it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["method", "kind", "task", "driven_by", "metric", *_CELL, "unit", "better", "judge", "version"]
    )
    for row in table["rows"]:
        for key, cell in row["metrics"].items():
            about = table["metrics"].get(key, {})
            writer.writerow(
                [row["method"], row["kind"], row["task"], " ".join(row["driven_by"]), key]
                + ["" if cell[name] is None else cell[name] for name in _CELL]
                + [about.get(name) or "" for name in ("unit", "better", "judge", "version")]
            )
    return out.getvalue()


def write(table: dict, folder: Path) -> list[Path]:
    """Write NAME.json, NAME.md and NAME.csv; returns their paths."""
    folder = Path(folder)
    stem = table["benchmark"]
    paths = [folder / f"{stem}.{suffix}" for suffix in ("json", "md", "csv")]
    write_json(paths[0], sealed(table))
    write_atomically(paths[1], markdown(table).encode())
    write_atomically(paths[2], comma_separated(table).encode())
    return paths
