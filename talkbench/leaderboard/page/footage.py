"""Gallery of a page: videos, strips and landmarks of the clips that `eval` kept, copied into the page's folder."""

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

import cv2
import numpy as np

from talkbench.evaluation import gallery
from talkbench.evaluation.protocol import Protocol
from talkbench.evaluation.results import Row, file_name, write_atomically
from talkbench.leaderboard.page.significance import track
from talkbench.leaderboard.tables import row_key

SCALE = 10_000  # landmarks are told in ten thousandths of the picture's width
NOWHERE = -32_768  # a landmark of a frame in which no face was found


@dataclass
class Tile:
    """One video of a clip.

    Attributes:
        name: of the row, or what it is. kind: "method", "baseline", "external", "real". track: see `track`.
        note: said below the name. video, poster, strip: addresses within the page's folder.
        aspect: height / width. landmarks: whether there are any. own_cut: its pictures are not the real clip's.
    """

    name: str
    kind: str
    track: str
    note: str
    video: str
    poster: str
    strip: str
    aspect: float
    landmarks: bool
    own_cut: bool = False


@dataclass
class Shown:
    """A clip of the gallery: its tiles, its source picture, the script with its landmarks, and the strips' frames."""

    clip_id: str
    task: str
    source: str
    source_note: str
    landmarks: str
    frames: list[int] = field(default_factory=list)
    tiles: list[Tile] = field(default_factory=list)

    @property
    def files(self) -> list[str]:
        """All its files, as paths within the page's folder."""
        found = [self.source, self.landmarks]
        found += [address for tile in self.tiles for address in (tile.video, tile.poster, tile.strip)]
        return [unquote(address) for address in found]


def collect(protocol: Protocol, table: dict, rows: list[Row], results: Path, page: Path) -> list[Shown]:
    """Copy what `eval` kept of the gallery's clips below `page`/gallery; clips without footage are left out.

    The real frames come first, then the rows in the table's order; `oracle`, which is the real frames, is left out.
    """
    found = []
    by_name = {(row.method, row.task): row for row in rows}
    for task in protocol.tasks:
        listed = evaluated(table, rows, task)
        due = list(dict.fromkeys(clip for r in listed for clip in by_name[r["method"], task].due))
        for clip_id in gallery.shown(protocol, due):
            pieces = [
                (about, by_name[about["method"], task].folder / "gallery" / file_name(clip_id))
                for about in listed
                if about["method"] != "oracle" and clip_id in by_name[about["method"], task].clips
            ]
            place = Path("gallery") / file_name(protocol.name) / file_name(task) / file_name(clip_id)
            clip = _clip(
                task, clip_id, pieces, gallery.real_folder(results) / file_name(clip_id), page, place
            )
            if clip:
                clip.source_note = _source_note(task, clip_id, listed, by_name)
                found.append(clip)
    return found


def evaluated(table: dict, rows: list[Row], task: str) -> list[dict]:
    """The table's rows of a task whose results, clip by clip, are among `rows`; numbers from elsewhere have none."""
    known = {(row.kind, row.method, row.task) for row in rows}
    return [row for row in table["rows"] if row["task"] == task and row_key(row) in known]


def _source_note(task, clip_id, listed, by_name) -> str:
    if task == "reconstruction":
        return "first frame of the clip"
    records = (by_name[about["method"], task].clips.get(clip_id, {}) for about in listed)
    return next((f"first frame of {r['source']}" for r in records if "source" in r), "another person")


def _is_whole(stem: Path) -> bool:
    return all(Path(f"{stem}{suffix}").is_file() for suffix in (".mp4", ".npz", ".png"))


def _clip(task, clip_id, pieces, real: Path, page: Path, place: Path) -> Shown | None:
    pieces = [(about, stem) for about, stem in pieces if _is_whole(stem)]
    if not pieces:
        return None
    clip = Shown(clip_id, task, "", "", _address(place / "landmarks.js"))
    points = {}
    said = "driving and real frames" if task == "reconstruction" else "driving"
    if _is_whole(real):
        pieces.insert(0, ({"method": said, "kind": "real", "driven_by": []}, real))
    for number, (about, stem) in enumerate(pieces):
        with np.load(f"{stem}.npz", allow_pickle=False) as file:
            kept = {name: file[name] for name in file.files}
        count, height, width = (int(number) for number in kept["shape"])
        if about["kind"] != "real" and not clip.source:
            write_atomically(page / place / "source.png", gallery.png(kept["source"]))
            clip.source = _address(place / "source.png")
        name = f"{number}-{file_name(about['method'])[:80]}" if about["kind"] != "real" else f"{number}-real"
        strip = Path(f"{stem}.png").read_bytes()
        for suffix, content in (
            (".mp4", Path(f"{stem}.mp4").read_bytes()),
            (".png", strip),
            ("-poster.png", _first_frame(strip, width)),
        ):
            write_atomically(page / place / (name + suffix), content)
        clip.frames = [int(i) for i in gallery.strip_indices(count)]
        seen = kept.get("landmarks")
        if seen is not None:
            points[str(number)] = _packed(seen, width)
        video, poster, image = (_address(place / (name + s)) for s in (".mp4", "-poster.png", ".png"))
        own = about.get("provenance", {}).get("method", {}).get("compared_with")
        note = f"compared with {own}" if own else ", ".join(about["driven_by"])
        group = "real" if about["kind"] == "real" else track(about)
        aspect = height / width
        clip.tiles.append(
            Tile(
                about["method"],
                about["kind"],
                group,
                note,
                video,
                poster,
                image,
                aspect,
                seen is not None,
                bool(own),
            )
        )
    key = json.dumps(_address(place / "landmarks.js"))
    write_atomically(
        page / place / "landmarks.js", f"talkbenchLandmarks({key}, {json.dumps(points)});\n".encode()
    )
    return clip


def _address(path: Path) -> str:
    return quote(path.as_posix())


def _first_frame(strip: bytes, width: int) -> bytes:
    picture = cv2.imdecode(np.frombuffer(strip, np.uint8), cv2.IMREAD_COLOR)
    return gallery.png(cv2.cvtColor(picture[:, :width], cv2.COLOR_BGR2RGB))


def _packed(points: np.ndarray, width: int) -> str:
    """(T, 68, 2) pixels -> base64 of int16, little end first, in `SCALE`ths of the width."""
    scaled = np.nan_to_num(points / width * SCALE, nan=NOWHERE)
    whole = np.clip(np.rint(scaled), NOWHERE, -NOWHERE - 1).astype("<i2")
    return base64.b64encode(whole.tobytes()).decode()
