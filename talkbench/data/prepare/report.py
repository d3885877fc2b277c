"""`talkbench data report`: one HTML page of what a prepared folder holds and what was refused, pictures included."""

import base64
import html
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from talkbench import atomic
from talkbench.data.clip import FPS
from talkbench.data.media import MediaError, VideoReader
from talkbench.data.prepare.run import RECORDS, records
from talkbench.data.show import draw_landmarks
from talkbench.data.store import Store, StoreError, encode_frame, is_store
from talkbench.geometry.alignment import kabsch
from talkbench.geometry.head import head
from talkbench.geometry.rotations import head_angles

MOST_CLIPS = 2000  # that the histograms look at, evenly spaced
PICTURES = 24
_TILE = 128
_Y_DOWN = np.diag([1.0, -1.0, 1.0])
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:1000px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse}td,th{padding:.15em .8em .15em 0;text-align:left}td.n{text-align:right}
.row{display:flex;flex-wrap:wrap;gap:1.5em}figure{margin:0}figcaption{font-size:12px;color:#666;max-width:128px;
overflow-wrap:anywhere}svg text{font:11px system-ui,sans-serif;fill:#555}svg rect{fill:#4a7ab5}h2{margin-top:1.6em}"""


def write_report(
    out: Path, source: Path | None = None, progress: Callable[[int, int, str], None] | None = None
) -> Path:
    """Writes `out/report.html` and returns its path; it needs no other file.

    Args:
        out: a prepared folder. source: the folder of its raw files, for pictures of what was refused.

    Raises:
        StoreError: not a prepared folder.
    """
    out = Path(out)
    if not (out / "sources.jsonl").exists():
        raise StoreError(
            f"{out}: not a prepared folder (no sources.jsonl); run `talkbench data prepare` to its end"
        )
    read = lambda name: [json.loads(line) for line in (out / f"{name}.jsonl").read_text().splitlines()]  # noqa: E731
    sources, refused, dropped = read("sources"), read("quarantine"), read("dropped")
    missing = (out / "missing.txt").read_text().splitlines()
    store = records(out) if is_store(out / RECORDS) else None
    parts = [_counts(sources, refused, dropped, missing, store)]
    if store is not None:
        parts += _of_clips(store, progress)
    parts += [_refused(refused, source), _missing(missing)]
    title = html.escape(store.name if store else out.name)
    page = f"<!doctype html><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style><h1>{title}</h1>"
    path = out / "report.html"
    atomic.write_bytes(path, (page + "\n".join(parts) + "\n").encode())
    return path


def _table(rows: Sequence[tuple], head_row: tuple = ()) -> str:
    cell = lambda v: f"<td{' class=n' if isinstance(v, int | float) else ''}>{html.escape(str(v))}</td>"  # noqa: E731
    top = "<tr>" + "".join(f"<th>{html.escape(v)}</th>" for v in head_row) + "</tr>" if head_row else ""
    return f"<table>{top}" + "".join(f"<tr>{''.join(map(cell, row))}</tr>" for row in rows) + "</table>"


def _counts(sources, refused, dropped, missing, store: Store | None) -> str:
    rows = [
        ("source files", len(sources)),
        ("accepted", len(sources) - len(refused)),
        ("quarantined", len(refused)),
    ]
    rows += [
        (f"— {reason}", count) for reason, count in Counter(row["reason"] for row in refused).most_common()
    ]
    rows += [
        (f"parts of accepted files dropped: {reason}", count)
        for reason, count in Counter(row["reason"] for row in dropped).most_common()
    ]
    rows.append(("listed names without a file", len(missing)))
    if store is not None:
        manifest = store.manifest
        rows += [("clips", manifest["clips"]), ("hours", round(manifest["seconds"] / 3600, 3))]
        rows += [("speakers", manifest["identities"])]
        rows += [(f"clips of split {name or '(none)'}", count) for name, count in manifest["splits"].items()]
    return _table(rows)


def _of_clips(store: Store, progress) -> list[str]:
    chosen = [store.clip_ids[i] for i in _even(len(store), MOST_CLIPS)]
    columns: dict[str, list[float]] = {
        name: []
        for name in (
            "duration (s)",
            "face in the source (px)",
            "loudness (dB of full scale)",
            "sharpness",
            "sound leads (frames)",
        )  # fmt: skip
    }
    turns: dict[str, list[float]] = {name: [] for name in ("yaw (°)", "pitch (°)", "roll (°)")}
    flags, makers = Counter(), Counter()
    for number, clip_id in enumerate(chosen):
        record, view = store.read_record(clip_id), store.view(clip_id)
        meta = record["meta"]
        flags.update(meta["flags"] or ["none"])
        makers.update([record["landmark_source"] or f"none (faces: {meta['faces']})"])
        columns["duration (s)"].append(view.num_frames / FPS)
        columns["face in the source (px)"].append(meta["crop"]["face_side"])
        rms = float(np.sqrt(np.mean(np.square(record["audio"].astype(np.float64) / 32767))))
        columns["loudness (dB of full scale)"].append(20 * np.log10(max(rms, 1e-5)))
        columns["sharpness"].append(meta["blur"])
        if meta["sync"]:
            columns["sound leads (frames)"].append(meta["sync"]["offset"])
        if record["landmarks"] is not None and record["landmarks"][..., 2].any():
            for name, values in zip(turns, _angles(record["landmarks"][::FPS]).T):
                turns[name] += values.tolist()
        if progress:
            progress(number + 1, len(chosen), clip_id)
    said = f"<p>of {len(chosen)} clips, evenly spaced</p>" if len(chosen) < len(store) else ""
    drawn = "".join(_histogram(name, values) for name, values in (columns | turns).items() if values)
    tables = _table(makers.most_common(), ("landmarks", "clips")) + _table(
        flags.most_common(), ("flag", "clips")
    )
    return [
        f"<h2>Clips</h2>{said}<div class=row>{drawn}</div><div class=row>{tables}</div>",
        "<h2>Accepted</h2><div class=row>" + "".join(_accepted(store)) + "</div>",
    ]


def _angles(points: np.ndarray) -> np.ndarray:
    """Yaw, pitch, roll in degrees (n, 3) of landmarks (n, 68, 3): the rotation that fits the mean head best."""
    mesh = head()
    rest = mesh.vertices[mesh.landmarks68].astype(np.float64) @ _Y_DOWN
    return head_angles(_Y_DOWN @ kabsch(rest, points) @ _Y_DOWN)


def _even(count: int, most: int) -> list[int]:
    return sorted({int(i) for i in np.linspace(0, count - 1, min(count, most))})


def _histogram(name: str, values: list[float], bins: int = 20) -> str:
    counts, edges = np.histogram(values, bins)
    width, height, bar = 300, 110, 300 / bins
    bars = "".join(
        f'<rect x="{i * bar + 1:.1f}" y="{height - count / counts.max() * height:.1f}" width="{bar - 2:.1f}" '
        f'height="{count / counts.max() * height:.1f}"/>'
        for i, count in enumerate(counts)
    )
    labels = f'<text x="0" y="{height + 14}">{edges[0]:.4g}</text>'
    labels += f'<text x="{width}" y="{height + 14}" text-anchor="end">{edges[-1]:.4g}</text>'
    middle = f'<text x="{width / 2}" y="{height + 14}" text-anchor="middle">{html.escape(name)}</text>'
    return f'<svg width="{width}" height="{height + 20}" role="img">{bars}{labels}{middle}</svg>'


def _figure(image: np.ndarray, caption: str) -> str:
    scale = _TILE / max(image.shape[:2])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    data = base64.b64encode(encode_frame(small, "jpeg", 85)).decode()
    text = html.escape(caption)
    return f'<figure><img src="data:image/jpeg;base64,{data}" alt=""><figcaption>{text}</figcaption></figure>'


def _accepted(store: Store):
    for index in _even(len(store), PICTURES):
        view = store.view(store.clip_ids[index])
        middle = view.num_frames // 2
        image = view.frame(middle)
        points = view.landmarks
        if points is not None:
            image = draw_landmarks(image, points[middle])
        yield _figure(image, view.clip_id)


def _refused(refused: list[dict], source: Path | None) -> str:
    if not refused:
        return ""
    rows = [(row["path"], row["reason"], row["detail"]) for row in refused[:200]]
    more = f"<p>the first 200 of {len(refused)}: see quarantine.jsonl</p>" if len(refused) > 200 else ""
    pictures = ""
    if source is not None:
        found = []
        for row in refused:
            image = _first_picture(Path(source) / row["path"])
            if image is not None:
                found.append(_figure(image, f"{row['reason']}: {row['path']}"))
            if len(found) == PICTURES:
                break
        pictures = f"<div class=row>{''.join(found)}</div>"
    return f"<h2>Refused</h2>{_table(rows, ('file', 'reason', 'detail'))}{more}{pictures}"


def _first_picture(path: Path) -> np.ndarray | None:
    try:
        with VideoReader(path) as reader:
            return next(iter(reader), None)
    except MediaError:
        return None


def _missing(missing: list[str]) -> str:
    if not missing:
        return ""
    more = f" (the first 200 of {len(missing)}: see missing.txt)" if len(missing) > 200 else ""
    names = "".join(f"<li>{html.escape(name)}</li>" for name in missing[:200])
    return f"<h2>Missing{more}</h2><ul>{names}</ul>"
