"""The page's folder: index.html from tables and footage, with its style and script beside it."""

import json
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path

from talkbench.evaluation.protocol import Protocol
from talkbench.evaluation.results import Row, write_atomically
from talkbench.leaderboard import published
from talkbench.leaderboard.page import board, footage, significance
from talkbench.leaderboard.tables import judges, used, warnings
from talkbench.metrics.registry import METRICS

_ASSETS = ("page.css", "page.js")
# The folder may be opened from a disk (file:) or be served (self); nothing else may be loaded, nothing inline runs.
_POLICY = (
    "default-src 'none'; style-src 'self' file:; script-src 'self' file:; "
    "img-src 'self' file:; media-src 'self' file:; base-uri 'none'; form-action 'none'"
)


@dataclass
class Board:
    """A benchmark on the page: its protocol, its table, and its results (rows as `read_rows` gives them, their folder)."""

    protocol: Protocol
    table: dict
    rows: list[Row]
    results: Path


def write(boards: list[Board], folder: Path) -> Path:
    """Write the page; returns index.html. Footage of an earlier page there that is no longer shown is removed."""
    folder = Path(folder)
    sections, needed = [], set()
    for number, one in enumerate(boards):
        shown = footage.collect(one.protocol, one.table, one.rows, one.results, folder)
        needed |= {folder / file for clip in shown for file in clip.files}
        sections.append(_benchmark(one, shown, number))
    for name in _ASSETS:
        write_atomically(folder / name, files(__package__).joinpath(name).read_bytes())
    index = folder / "index.html"
    write_atomically(index, _document(boards, sections).encode())
    for path in (folder / "gallery").rglob("*"):
        if path.is_file() and path not in needed:
            path.unlink()
    return index


def _document(boards: list[Board], sections: list[str]) -> str:
    title = "talkbench leaderboard"
    links = "".join(
        f'<li><a href="#b{i}">{escape(one.table["title"])}</a></li>' for i, one in enumerate(boards)
    )
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f'<title>{title}</title>\n<link rel="stylesheet" href="page.css">',
            '<script src="page.js" defer></script>\n</head>\n<body>',
            '<a class="skip" href="#main">to the tables</a>',
            f'<header><h1>{title}</h1><nav aria-label="benchmarks"><ul>{links}</ul></nav></header>',
            '<p id="status" class="unseen" role="status" aria-live="polite"></p>',
            '<noscript><p class="note">Sorting, filters, scatter plots and landmarks need the script page.js.</p></noscript>',
            '<main id="main">',
            *sections,
            published.html_block(published.published_rows(), published.absent()),
            "</main>\n</body>\n</html>\n",
        ]
    )


def _benchmark(one: Board, shown: list[footage.Shown], number: int) -> str:
    table, protocol = one.table, one.protocol
    keys = used(table)
    kinds = {key: METRICS[key].judge for key in keys}
    known = significance.scores(one.results, table)
    out = [
        f'<section class="benchmark" id="b{number}" aria-labelledby="b{number}-title">',
        f'<h2 id="b{number}-title">{escape(table["title"])}</h2>',
        f'<p class="dim">Benchmark {escape(table["benchmark"])}, version {escape(str(table["version"]))}.</p>',
    ]
    tasks = [task for task in protocol.tasks if any(row["task"] == task for row in table["rows"])]
    for at, task in enumerate(tasks):
        place = f"b{number}t{at}"
        rows = [row for row in table["rows"] if row["task"] == task]
        out += [
            f'<section class="task" id="{place}" aria-labelledby="{place}-title">',
            f'<h3 id="{place}-title">{escape(task.replace("_", " ").capitalize())}</h3>',
            _filters(rows, dict.fromkeys(board.group(kinds[key]) for key in keys)),
            board.leaderboard(table, task, known, kinds, f"{place}-row"),
            _LEGEND,
            _scatter(one, task, keys, place),
            _gallery([clip for clip in shown if clip.task == task]),
            board.provenance(table, task, f"{place}-row"),
            "</section>",
        ]
    notes = warnings(table)
    if notes:
        out.append("<h3>Notes</h3><ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>")
    out += [_definitions(table, keys), "</section>"]
    return "\n".join(out)


_LEGEND = """<p class="dim legend">Clip means with 95&nbsp;% intervals (bootstrap over speakers), drawn on one axis a
column. <b class="best">Bold</b>: the best of the rows that the track shows. <b>&asymp;</b>: not told apart from it
(the 95&nbsp;% interval of the difference holds 0; paired bootstrap over speakers, same clips). <b>*</b>: worse than it.
The marks are not corrected for the number of metrics; distances between sets of frames (FID, KID) and rows scored
elsewhere have no scores by clip here, hence no mark. Shaded rows are baselines and are never the best. What sees the
target&rsquo;s frames (video) is not comparable with what hears its sound (audio): choose a track. The name of a row
leads to where it comes from.</p>"""


def _filters(rows: list[dict], groups) -> str:
    tracks = [name for name in board.scopes(rows)]
    choices = "".join(
        f'<option value="{name}">{significance.TRACKS.get(name, name)}</option>' for name in tracks
    )
    boxes = "".join(
        f'<label><input type="checkbox" name="group" value="{escape(name)}" checked> {escape(name)}</label>'
        for name in groups
    )
    return (
        f'<form class="filters" autocomplete="off"><label>Track <select name="track">{choices}</select></label>'
        '<label>Rows <input type="search" name="text" placeholder="name contains" size="14"></label>'
        '<label><input type="checkbox" name="baselines" checked> baselines</label>'
        f"<fieldset><legend>Metrics</legend>{boxes}</fieldset></form>"
    )


def _scatter(one: Board, task: str, keys: list[str], place: str) -> str:
    """The plot's controls and its data; the script draws it."""
    by_name = {row.method: row for row in one.rows if row.task == task}
    listed = footage.evaluated(one.table, one.rows, task)
    clips = list(dict.fromkeys(clip for about in listed for clip in by_name[about["method"]].due))
    keys = [key for key in keys if METRICS[key].level != "set"]
    if len(listed) < 2 or not clips or not keys:
        return ""
    data = {
        "clips": clips,
        "metrics": [
            {"key": k, "name": one.table["metrics"][k]["name"], "better": one.table["metrics"][k]["better"]}
            for k in keys
        ],
        "rows": [
            {
                "name": about["method"],
                "values": {k: _values(by_name[about["method"]], k, clips) for k in keys},
            }
            for about in listed
        ],
    }
    pick = "".join(f'<option value="{i}">{escape(m["name"])}</option>' for i, m in enumerate(data["metrics"]))
    across, up = (
        "".join(
            f'<option value="{i}"{" selected" if i == chosen else ""}>{escape(r["method"])}</option>'
            for i, r in enumerate(listed)
        )
        for chosen in (0, 1)
    )
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    text = (
        text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    )  # no tag can end the element
    return f"""<section class="scatter" aria-labelledby="{place}-scatter"><h4 id="{place}-scatter">Clip by clip</h4>
<form class="filters" autocomplete="off"><label>Metric <select name="metric">{pick}</select></label>
<label>across <select name="x">{across}</select></label><label>up <select name="y">{up}</select></label></form>
<div class="plot"></div><p class="dim" aria-live="polite"></p>
<script type="application/json">{text}</script></section>"""


def _values(row: Row, key: str, clips: list[str]) -> list[float | None]:
    cells = (row.clips.get(clip, {}).get("metrics", {}).get(key, {}).get("value") for clip in clips)
    return [None if value is None else float(f"{value:.5g}") for value in cells]


def _gallery(clips: list[footage.Shown]) -> str:
    if not clips:
        return ""
    out = ['<section class="gallery"><h4>The same clip, side by side</h4>']
    for index, clip in enumerate(clips):
        frames = ",".join(map(str, clip.frames))
        out += [
            f'<details class="clip" data-landmarks="{escape(clip.landmarks)}" data-frames="{frames}"'
            f"{' open' if index == 0 else ''}><summary>{escape(clip.clip_id)}</summary>",
            '<form class="filters" autocomplete="off"><button type="button" name="play">Play all</button>',
            '<label>Sound <select name="sound"><option value="">off</option>',
            *(
                f'<option value="{i}"{" selected" if i == 0 else ""}>{escape(tile.name)}</option>'
                for i, tile in enumerate(clip.tiles)
            ),
            '</select></label><label>Speed <select name="speed"><option>1</option><option>0.5</option>',
            '<option>0.25</option></select></label><label><input type="checkbox" name="own"> landmarks</label>',
            '<label><input type="checkbox" name="real"> landmarks of the real frames</label></form>',
            '<div class="tiles">',
            f'<figure class="tile"><div class="screen"><img src="{escape(clip.source)}" alt="source of '
            f'{escape(clip.clip_id)}"></div><figcaption>source<small>{escape(clip.source_note)}</small></figcaption></figure>',
            *(_tile(clip, tile, i) for i, tile in enumerate(clip.tiles)),
            '</div><div class="strips">',
            *(_strip(clip, tile, i) for i, tile in enumerate(clip.tiles)),
            "</div></details>",
        ]
    return "\n".join([*out, "</section>"])


def _marked(tile: footage.Tile, number: int) -> str:
    points = f' data-points="{number}"' if tile.landmarks else ""
    points += " data-cut" if tile.own_cut else ""
    return (
        f'data-track="{tile.track}" data-kind="{escape(tile.kind)}" data-name="{escape(tile.name)}"{points}'
    )


def _tile(clip: footage.Shown, tile: footage.Tile, number: int) -> str:
    label = escape(f"{tile.name}: {clip.clip_id}")
    return (
        f'<figure class="tile" {_marked(tile, number)} data-aspect="{tile.aspect:.4f}"><div class="screen">'
        f'<video src="{escape(tile.video)}" poster="{escape(tile.poster)}" preload="none" controls playsinline loop '
        f'aria-label="{label}"></video></div>'
        f"<figcaption>{escape(tile.name)}<small>{escape(tile.note)}</small></figcaption></figure>"
    )


def _strip(clip: footage.Shown, tile: footage.Tile, number: int) -> str:
    label = escape(f"{tile.name}: frames of {clip.clip_id}")
    width, height = 100 * len(clip.frames), round(100 * tile.aspect)  # keeps its place until it is loaded
    return (
        f'<figure {_marked(tile, number)} data-aspect="{tile.aspect:.4f}"><figcaption>{escape(tile.name)}</figcaption>'
        f'<div class="screen"><img src="{escape(tile.strip)}" alt="{label}" loading="lazy" width="{width}" '
        f'height="{height}"></div></figure>'
    )


def _definitions(table: dict, keys: list[str]) -> str:
    out = [
        "<details><summary>What the numbers are</summary>",
        '<div class="scroll" role="region" tabindex="0" aria-label="definitions"><table class="words"><thead><tr>',
        '<th scope="col">metric</th><th scope="col">definition</th><th scope="col">judge</th></tr></thead><tbody>',
    ]
    for key in keys:
        about = table["metrics"][key]
        out.append(
            f'<tr><th scope="row">{escape(about["name"])}</th><td>{escape(about["version"])}</td>'
            f"<td>{escape(about['judge'] or '')}</td></tr>"
        )
    out.append("</tbody></table></div>")
    for judge, names in judges(table).items():
        out.append(f'<p class="dim">Judge {escape(judge)}: {escape(", ".join(names))}.</p>')
    return "\n".join([*out, "</details>"])
