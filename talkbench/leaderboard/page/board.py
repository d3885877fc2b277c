"""HTML of one benchmark's tables: a row a method, with intervals drawn, marks of significance, provenance."""

import json
from html import escape

from talkbench.evaluation.results import LEAST_COVERAGE
from talkbench.leaderboard.page.significance import TRACKS, marks, track
from talkbench.leaderboard.tables import ARROWS, best, compared_with, is_ranked, number, used

WIDTH, HEIGHT = 72, 10  # of a drawn interval
GROUPS = {
    None: "pictures",
    "lpips": "pictures",
    "features": "sets of pictures",
    "identity": "identity",
    "landmarks": "landmarks",
    "pose": "pose",
    "sync": "synchrony",
}


def group(kind: str | None) -> str:
    """What a metric with this kind of judge looks at, in a word."""
    return GROUPS.get(kind, kind)


def scopes(rows: list[dict]) -> dict[str, list[dict]]:
    """{"all" or a track: the rows within which the best is sought}; tracks without a ranked row are left out."""
    found = {"all": rows}
    for name in TRACKS:
        members = [row for row in rows if track(row) == name]
        if any(is_ranked(row) for row in members):
            found[name] = members
    return found


def leaderboard(table: dict, task: str, known: dict, kinds: dict, place: str) -> str:
    """The sortable table of a task.

    Args:
        known: scores by clip, `significance.scores`. kinds: {metric key: kind of judge or None}.
        place: prefix of the ids of the rows' provenance.
    """
    rows = [row for row in table["rows"] if row["task"] == task]
    keys = [key for key in used(table) if any(key in row["metrics"] for row in rows)]
    within = scopes(rows)
    tops = {
        (s, key): best({**table, "rows": members}, key, task) for s, members in within.items() for key in keys
    }
    told = {scope: marks(table, task, members, known) for scope, members in within.items()}
    spans = {key: _span(rows, key) for key in keys}
    label = f"{table['title']}, {task.replace('_', ' ')}"
    out = [
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(label)}: table">',
        f'<table class="board" data-scope="all"><caption>{escape(label)}</caption><thead><tr>',
        _head("method", "method", "text", "name"),
        _head("driven by", "what it sees of the target", "text", "drive"),
    ]
    for key in keys:
        about = table["metrics"][key]
        unit = f" ({about['unit']})" if about["unit"] else ""
        way = f"{about['better']} is better"
        judge = f"<small>{escape(about['judge'])}</small>" if about["judge"] else ""
        shown = f'{escape(about["name"] + unit)} <span aria-hidden="true">{ARROWS[about["better"]]}</span>'
        out.append(_head(shown, f"{about['name']}: {way}", about["better"], group(kinds[key]), judge))
    out.append("</tr></thead><tbody>")
    for index, row in enumerate(rows):
        out.append(
            f'<tr class="{escape(row["kind"])}" data-track="{track(row)}" data-kind="{escape(row["kind"])}" '
            f'data-order="{index}">{_name(row, f"{place}-{index}")}'
            f'<td data-group="drive">{escape(", ".join(row["driven_by"])) or "&ndash;"}</td>'
        )
        for key in keys:
            top_in = [
                s for s, members in within.items() if row in members and _is_top(row, key, tops[s, key])
            ]
            found = [(s, told[s].get((row["method"], key))) for s in within if row["kind"] == "method"]
            found = [(s, mark) for s, mark in found if mark is not None]
            out.append(_cell(row, key, top_in, found, spans[key], group(kinds[key])))
        out.append("</tr>")
    out.append("</tbody></table></div>")
    return "\n".join(out)


def _head(shown: str, title: str, better: str, group: str, below: str = "") -> str:
    return (
        f'<th scope="col" data-better="{better}" data-group="{escape(group)}" aria-sort="none">'
        f'<button type="button" title="{escape(title)}">{shown}</button>{below}</th>'
    )


def _name(row: dict, target: str) -> str:
    kind = "" if row["kind"] == "method" else f"<small>{escape(row['kind'])}</small>"
    if compared_with(row):
        kind += f"<small>compared with {escape(compared_with(row))}</small>"
    return (
        f'<th scope="row" data-group="name"><a href="#{target}" title="where the row comes from">'
        f"{escape(row['method'])}</a>{kind}</th>"
    )


def _is_top(row: dict, key: str, top: float | None) -> bool:
    return is_ranked(row) and key in row["metrics"] and row["metrics"][key]["value"] == top


def _cell(row, key, top_in, found, span, group: str) -> str:
    cell = row["metrics"].get(key)
    if cell is None:
        reason = escape(row.get("unavailable", {}).get(key, "not measured"))
        return (
            f'<td data-group="{escape(group)}" title="{reason}"><span aria-hidden="true">&ndash;</span>'
            f'<span class="unseen">{reason}</span></td>'
        )
    text = f'<span class="value">{number(cell["value"])}</span>'
    text += f'<span class="unseen bestword"{"" if "all" in top_in else " hidden"}>, best</span>'
    for scope, (leader, difference) in found:
        text += _mark(scope, leader, difference)
    if cell["low"] is not None:
        text += (
            _interval(cell, span) + f"<small>{number(cell['low'])} &hellip; {number(cell['high'])}</small>"
        )
    if cell["coverage"] is not None and cell["coverage"] < LEAST_COVERAGE:
        text += f'<small class="thin">{cell["coverage"]:.0%} scored</small>'
    look = ' class="best"' if "all" in top_in else ""
    value, where = repr(cell["value"]), " ".join(top_in)
    return f'<td data-group="{escape(group)}" data-value="{value}" data-best="{where}"{look}>{text}</td>'


def _mark(scope: str, leader: str, found) -> str:
    """≈: not told apart from the best; *: worse than it; nothing where clips can't be resampled."""
    if found.low is None:
        return ""
    p = "p < 0.002" if found.p == 0 else f"p = {found.p:.3f}"
    differs = found.better == "a"
    words = "worse than" if differs else "not told apart from"
    said = (
        f"{words} {leader}: difference {number(found.difference)} "
        f"[{number(found.low)}, {number(found.high)}], {p}, {found.clips} clips"
    )
    return (
        f'<span class="mark" data-scope="{scope}" title="{escape(said)}"{"" if scope == "all" else " hidden"}>'
        f'<span aria-hidden="true">{"*" if differs else "≈"}</span>'
        f'<span class="unseen">, {escape(words)} {escape(leader)}</span></span>'
    )


def _span(rows: list[dict], key: str) -> tuple[float, float]:
    """Ends of a column's axis: over what may win and the still frame; the oracle's 100 dB would squeeze the rest."""
    telling = [r for r in rows if r["kind"] in ("method", "external") or r["method"] == "static"] or rows
    cells = [row["metrics"][key] for row in telling if key in row["metrics"]]
    ends = [
        value for cell in cells for value in (cell["value"], cell["low"], cell["high"]) if value is not None
    ]
    return (min(ends), max(ends)) if ends else (0.0, 1.0)


def _interval(cell: dict, span: tuple[float, float]) -> str:
    """A 95 % interval on its column's axis; an arrowhead where it lies beyond an end."""
    low, high = span
    scale = (WIDTH - 10) / (high - low) if high > low else 0.0

    def x(value: float) -> float:
        return round(5 + min(max((value - low) * scale, 0), WIDTH - 10), 1)

    left, middle, right, y = x(cell["low"]), x(cell["value"]), x(cell["high"]), HEIGHT / 2
    if cell["value"] > high or cell["value"] < low:
        tip, back = (WIDTH - 1, WIDTH - 6) if cell["value"] > high else (1, 6)
        drawn = f'<path d="M{back} 1L{tip} {y}L{back} {HEIGHT - 1}Z"/>'
    else:
        drawn = f'<path d="M{left} {y}H{right}M{left} 2V{HEIGHT - 2}M{right} 2V{HEIGHT - 2}"/>'
        drawn += f'<circle cx="{middle}" cy="{y}" r="2.6"/>'
    return (
        f'<svg class="interval" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" aria-hidden="true">'
        f'<path class="axis" d="M0 {y}H{WIDTH}"/>{drawn}</svg>'
    )


def provenance(table: dict, task: str, place: str) -> str:
    """What stands behind each row of a task, one fold a row."""
    rows = [row for row in table["rows"] if row["task"] == task]
    out = ['<h4>Where the rows come from</h4><div class="folds">']
    for index, row in enumerate(rows):
        said, method = row.get("provenance", {}), row.get("provenance", {}).get("method", {})
        facts = {
            "kind": row["kind"],
            "sees of the target": ", ".join(row["driven_by"]) or "nothing",
            "compared with": compared_with(row),
            "what": method.get("what"),
            "weights": method.get("checkpoint"),
            "preset": method.get("preset"),
            "configuration": method.get("config_hash"),
            "clips": max((cell["clips"] or 0 for cell in row["metrics"].values()), default=0) or None,
            "code": said.get("git") or said.get("code"),
            "device": said.get("device"),
        }
        pairs = [f"<dt>{name}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items() if value]
        for key, reason in row.get("unavailable", {}).items():
            name = table["metrics"].get(key, {}).get("name", key)
            pairs.append(f"<dt>no {escape(name)}</dt><dd>{escape(reason)}</dd>")
        whole = escape(json.dumps(said, indent=1, ensure_ascii=False))
        out.append(
            f'<details id="{place}-{index}"><summary>{escape(row["method"])}</summary><dl>{"".join(pairs)}</dl>'
            f'<details><summary>everything, as JSON</summary><pre tabindex="0">{whole}</pre></details></details>'
        )
    return "\n".join([*out, "</div>"])
