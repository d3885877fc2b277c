"""LRW: lipread_mp4/WORD/{train,val,test}/WORD_NNNNN.mp4, clips of 29 frames with the word in the middle."""

from collections.abc import Iterable
from pathlib import Path

from talkbench.data.prepare.trees.folder import landmarks_beside, videos
from talkbench.data.prepare.units import Listing, Take, TreeError, Unit

FRAMES = 29
_SPLITS = ("train", "val", "test")


def read(source: Path) -> Listing:
    """Clip ids are WORD/SPLIT/WORD_NNNNN; LRW has no speakers, so that each clip counts as its own.

    Missing: the first test clip of a word, which the protocol `lrw-test500` is made of.
    """
    root = source / "lipread_mp4" if (source / "lipread_mp4").is_dir() else source
    units, notes = [], []
    for path in videos(root):
        below = path.relative_to(root)
        if len(below.parts) != 3 or below.parts[1] not in _SPLITS:
            notes.append(f"{below.as_posix()} is not WORD/SPLIT/WORD_NNNNN.mp4: passed over")
            continue
        clip_id = below.with_suffix("").as_posix()
        take = Take(clip_id, clip_id, clip_id, below.parts[1], crop="whole", tag="lrw")
        units.append(
            Unit(path.relative_to(source).as_posix(), path, (take,), landmarks=landmarks_beside(path))
        )
    if not units:
        raise TreeError(f"{source}: no WORD/{{train,val,test}}/WORD_NNNNN.mp4 in it or in its lipread_mp4")
    there = {unit.takes[0].clip_id for unit in units}
    words = sorted({clip_id.split("/")[0] for clip_id in there})
    missing = [first for first in map(_first, words) if first not in there]
    return Listing(units, missing, notes, protocols, min_frames=FRAMES)


def _first(word: str) -> str:
    return f"{word}/test/{word}_00001"


def protocols(clips: Iterable[dict]) -> dict[str, list[str]]:
    """`lrw-test500`: the first test clip of every word."""
    ids = sorted(c["clip_id"] for c in clips if c["clip_id"] == _first(c["clip_id"].split("/")[0]))
    return {"lrw-test500": ids} if ids else {}
