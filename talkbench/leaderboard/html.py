"""One page for people: tables of benchmarks with frames of each row. One file, no script, nothing loaded."""

import base64
from html import escape
from pathlib import Path

from talkbench.evaluation.results import LEAST_COVERAGE, file_name, row_folder
from talkbench.leaderboard.tables import best, heading, judges, number, used, warnings

_STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1a1a1a; --dim: #666; --line: #ddd;
  --mark: #eef4ff; --best: #0a5; }
@media (prefers-color-scheme: dark) {
  :root { --back: #15171a; --text: #e8e8e8; --dim: #9aa0a6; --line: #33373c; --mark: #1d2836; --best: #4c9; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 90rem; padding: 1rem; background: var(--back); color: var(--text);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; } h3 { font-size: 1rem; }
.dim, caption, small { color: var(--dim); }
.scroll { overflow-x: auto; -webkit-overflow-scrolling: touch; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .35rem .6rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
th:first-child, td:first-child { position: sticky; left: 0; background: var(--back); text-align: left; }
.words th, .words td { text-align: left; white-space: normal; }
td small { display: block; font-size: .72rem; }
tr.baseline td { font-style: italic; } tr.baseline td, tr.baseline td:first-child { background: var(--mark); }
.best { color: var(--best); font-weight: 700; }
figure { margin: 0 0 .6rem; } figcaption { font-size: .8rem; color: var(--dim); }
figure img { display: block; max-width: 100%; height: auto; min-height: 3rem; image-rendering: auto; }
@media (max-width: 40rem) { body { padding: .6rem; } th, td { padding: .3rem .4rem; } }
"""


def strips(results: Path, table: dict, gallery: tuple[str, ...]) -> dict[str, list[tuple[str, bytes]]]:
    """Pictures of the gallery's clips: {clip id: [(row name, PNG)]}, the oracle (the real frames) first."""
    rows = sorted(table["rows"], key=lambda row: row["method"] != "oracle")
    found = {}
    for clip_id in gallery:
        pictures = []
        for row in rows:
            path = row_folder(results, row["method"], row["task"]) / "strips" / f"{file_name(clip_id)}.png"
            if row["method"] != "wrong_audio" and path.exists():
                pictures.append((row["method"], path.read_bytes()))
        if pictures:
            found[clip_id] = pictures
    return found


def page(tables: list[dict], pictures: dict[str, dict[str, list[tuple[str, bytes]]]] | None = None) -> str:
    """The page as one HTML text.

    Args:
        tables: as `tables.build` gives them.
        pictures: {benchmark: {clip id: [(row name, PNG)]}}, as `strips` gives them.
    """
    pictures = pictures or {}
    title = "talkbench leaderboard"
    body = [f"<h1>{title}</h1>"]
    for table in tables:
        body += _benchmark(table, pictures.get(table["benchmark"], {}))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _benchmark(table: dict, pictures) -> list[str]:
    keys = used(table)
    tasks = {row["task"] for row in table["rows"]}
    top = {(task, key): best(table, key, task) for task in tasks for key in keys}
    head = "".join(_head(table["metrics"][key]) for key in keys)
    out = [
        f'<h2 id="{escape(table["benchmark"])}">{escape(table["title"])}</h2>',
        f'<p class="dim">Benchmark {escape(table["benchmark"])}, version {escape(str(table["version"]))}. '
        "Clip means with 95&nbsp;% intervals. Shaded rows are baselines. A method that sees the "
        "target&rsquo;s frames (video) is not comparable to one that hears its sound (audio).</p>",
        '<div class="scroll"><table>',
        f"<thead><tr><th>method</th><th>driven by</th>{head}</tr></thead><tbody>",
    ]
    for row in table["rows"]:
        cells = "".join(_cell(row, key, top[row["task"], key]) for key in keys)
        kind = "" if row["kind"] in ("method", "baseline") else f" <small>{escape(row['kind'])}</small>"
        out.append(
            f'<tr class="{escape(row["kind"])}"><td>{escape(row["method"])}{kind}</td>'
            f"<td>{escape(', '.join(row['driven_by'])) or '&ndash;'}</td>{cells}</tr>"
        )
    out.append("</tbody></table></div>")
    for judge, names in judges(table).items():
        out.append(f'<p class="dim">Judge {escape(judge)}: {escape(", ".join(names))}.</p>')
    notes = warnings(table)
    if notes:
        out.append("<ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>")
    for clip_id, rows in pictures.items():
        out.append(f"<h3>{escape(clip_id)}</h3>")
        for name, png in rows:
            label = "real frames" if name == "oracle" else name
            source = base64.b64encode(png).decode()
            out.append(
                f'<figure><img src="data:image/png;base64,{source}" alt="{escape(label)}: {escape(clip_id)}">'
                f"<figcaption>{escape(label)}</figcaption></figure>"
            )
    out.append("<details><summary>What the numbers are</summary>")
    out.append(
        '<div class="scroll"><table class="words"><tr><th>metric</th><th>definition</th><th>judge</th></tr>'
    )
    for key in keys:
        about = table["metrics"][key]
        cells = (about["name"], about["version"], about["judge"] or "")
        out.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    out.append("</table></div></details>")
    return out


def _head(about: dict) -> str:
    judge = f"<br><small>{escape(about['judge'])}</small>" if about["judge"] else ""
    return f"<th>{escape(heading(about))}{judge}</th>"


def _cell(row: dict, key: str, top: float | None) -> str:
    cell = row["metrics"].get(key)
    if cell is None:
        reason = escape(row.get("unavailable", {}).get(key, "not measured"))
        return f'<td title="{reason}">&ndash;</td>'
    is_best = row["kind"] in ("method", "external") and cell["value"] == top
    text = f'<span class="best">{number(cell["value"])}</span>' if is_best else number(cell["value"])
    if cell["low"] is not None:
        text += f"<small>{number(cell['low'])} &hellip; {number(cell['high'])}</small>"
    if cell["coverage"] is not None and cell["coverage"] < LEAST_COVERAGE:
        text += f"<small>{cell['coverage']:.0%} scored</small>"
    return f"<td>{text}</td>"
