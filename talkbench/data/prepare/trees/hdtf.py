"""HDTF: the official text files {RD,WDA,WRA}_{video_url,resolution,annotion_time,crop_wh}.txt and the videos they list.

A video may be called NAME, SUBSET_NAME or by its YouTube id; a clip that was cut before, SUBSET_NAME_III.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import parse_qs, urlparse

from talkbench.data.prepare.trees.folder import landmarks_beside, videos
from talkbench.data.prepare.units import Listing, Take, TreeError, Unit, split_by_name

SUBSETS = ("RD", "WDA", "WRA")
# boxes that are taller than the listed frame count in 1080 lines; one listed height is 0
HEIGHTS = {"MaggieHassan": 1080, "MazieHirono1": 1080, "PeterKing": 1080, "KevinMcCarthy1": 720}
INTERVALS = {("MittRomney", "00:33-08:53"): "08:33-08:53"}  # overlaps the one before and lasts 500 s
ONE_PERSON = {"jamesclyburn": "clyburn", "whipjimclyburn": "clyburn"}  # the same recording under two names
TEST = (
    "WDA_CatherineCortezMasto_000 WDA_MartinHeinrich_000 WDA_MikeDoyle_000 WRA_DeanHeller_000 WRA_EricCantor_000 "
    "WRA_ErikPaulsen_000 WRA_GeoffDavis_000 WRA_JoePitts_000 WRA_JohnThune_000 WRA_OlympiaSnowe_000 "
    "WRA_ReincePriebus_000 WRA_ReneeEllmers_000 WRA_RichardShelby_000 WRA_RobPortman_000 WRA_RoyBlunt_000 "
    "WRA_TimScott_000 WRA_ToddYoung_000 WRA_TomCotton_000 WRA_TomPrice_000 WRA_VickyHartzler_000"
).split()


def stem(name: str) -> str:
    """The person behind a recording's name: without trailing digits, in small letters; each Radio recording is its own."""
    if name.startswith("Radio"):
        return name.lower()
    person = name.rstrip("0123456789").lower()
    return ONE_PERSON.get(person, person)


_TEST_PEOPLE = {stem(clip.split("_")[1]) for clip in TEST}


def split_of(clip_id: str) -> str:
    """ "test" for the 20 clips of the usual list; "held" (in no split) for other clips of their people; else by the person."""
    name = clip_id.split("_")[1]
    if clip_id in TEST:
        return "test"
    if stem(name) in _TEST_PEOPLE:
        return "held"
    return "train" if name.startswith("Radio") else split_by_name(stem(name))


def read(source: Path) -> Listing:
    """Clip ids are SUBSET_NAME_III. Clips without a box are left out, as the authors' own count leaves them out."""
    lists = source / "HDTF_dataset" if (source / "HDTF_dataset").is_dir() else source
    files = {path.stem: path for path in videos(source)}
    takes: dict[Path, list[Take]] = {}
    missing: list[str] = []
    notes: list[str] = []
    for subset in SUBSETS:
        _read_subset(lists, subset, files, takes, missing, notes)
    units = [
        Unit(path.relative_to(source).as_posix(), path, tuple(chosen), landmarks=landmarks_beside(path))
        for path, chosen in sorted(takes.items())
    ]
    return Listing(units, missing, notes, protocols)


def _read_subset(lists: Path, subset: str, files, takes, missing, notes) -> None:
    urls = {row[0]: row[1] for row in _rows(lists / f"{subset}_video_url.txt", 2)}
    heights = {_name(row[0]): int(row[1]) for row in _rows(lists / f"{subset}_resolution.txt", 2)}
    boxes = {_name(row[0]): [int(v) for v in row[1:5]] for row in _rows(lists / f"{subset}_crop_wh.txt", 5)}
    intervals = {_name(row[0]): row[1:] for row in _rows(lists / f"{subset}_annotion_time.txt", 2)}
    for name in sorted(set(urls) - set(intervals)):
        notes.append(f"{subset}_{name} has no interval: left out")
    for name, listed in intervals.items():
        height = HEIGHTS.get(name, heights.get(name, 0))
        if height != heights.get(name):
            notes.append(f"{subset}_{name}: boxes counted in {height} lines, not {heights.get(name)}")
        for number, text in enumerate(listed):
            clip_id = f"{subset}_{name}_{number:03d}"
            box = boxes.get(f"{name}_{number}")
            if box is None:
                notes.append(f"{clip_id} has no box: left out")
                continue
            corrected = INTERVALS.get((name, text), text)
            about = clip_id, stem(name), f"{subset}_{name}", split_of(clip_id)
            if clip_id in files:
                takes[files[clip_id]] = [Take(*about, crop="whole", tag="hdtf-cut")]
                continue
            keys = name, f"{subset}_{name}", _youtube(urls.get(name, ""))
            path = next((files[key] for key in keys if key in files), None)
            if path is None or not height:
                missing.append(clip_id)
                continue
            x, width, y, tall = box
            take = Take(
                *about, seconds=_seconds(corrected, lists, subset, name), box=(x, y, x + width, y + tall),
                listed=(0, height), crop="box", tag="hdtf",
            )  # fmt: skip
            takes.setdefault(path, []).append(take)


def _rows(path: Path, least: int) -> list[list[str]]:
    """Fields of each line; a byte-order mark, blanks at the end and a missing last newline do no harm."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise TreeError(f"{path}: {error.strerror}; put the official text files beside the videos") from error
    rows = [line.split() for line in lines if line.strip()]
    for number, row in enumerate(rows, 1):
        if len(row) < least:
            raise TreeError(f"{path}: line {number} has {len(row)} fields, {least} are expected")
    return rows


def _name(field: str) -> str:
    return field.removesuffix(".mp4")


def _youtube(url: str) -> str:
    """The video's id; URLs may carry a start time behind it."""
    parts = urlparse(url)
    return parse_qs(parts.query).get("v", [parts.path.rsplit("/", 1)[-1]])[0]


def _seconds(text: str, lists: Path, subset: str, name: str) -> tuple[float, float]:
    match = re.fullmatch(r"(\d+):(\d+)-(\d+):(\d+)", text)
    if match is None:
        raise TreeError(f"{lists / f'{subset}_annotion_time.txt'}: {name}: {text!r} is no MM:SS-MM:SS")
    a, b, c, d = (int(v) for v in match.groups())
    return 60.0 * a + b, 60.0 * c + d


def protocols(clips: Iterable[dict]) -> dict[str, list[str]]:
    """`hdtf-test20`: those of the 20 clips that were kept; `hdtf-all`: every clip."""
    kept = sorted(clip["clip_id"] for clip in clips)
    test = [clip_id for clip_id in kept if clip_id in TEST]
    return {name: ids for name, ids in (("hdtf-test20", test), ("hdtf-all", kept)) if ids}
