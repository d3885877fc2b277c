"""GRID: videos below a folder sN of each speaker, sound perhaps as audio/sN/NAME.wav."""

import re
from collections.abc import Iterable
from pathlib import Path

from talkbench.data.prepare.trees.folder import landmarks_beside, videos
from talkbench.data.prepare.units import Listing, Take, TreeError, Unit, split_by_name

TEST_SPEAKERS = ("s1", "s2", "s4", "s29")
SPEAKERS = tuple(f"s{number}" for number in range(1, 35) if number != 21)  # of s21 there is no video
_SPEAKER = re.compile(r"s\d{1,2}")


def read(source: Path) -> Listing:
    """Clip ids are SPEAKER/SENTENCE. s1, s2, s4 and s29 are "test", of the others those in 5 of 100 hashes "val".

    Missing: speakers of whom no video is there.
    """
    units: dict[str, Unit] = {}
    notes = []
    for path in videos(source):
        parts = path.relative_to(source).parts
        speaker = next((part for part in reversed(parts[:-1]) if _SPEAKER.fullmatch(part)), None)
        if speaker is None:
            notes.append(f"{'/'.join(parts)} is below no folder of a speaker (s1 to s34): passed over")
            continue
        clip_id = f"{speaker}/{path.stem}"
        if clip_id in units:
            notes.append(f"{'/'.join(parts)} repeats {units[clip_id].name}: passed over")
            continue
        split = "test" if speaker in TEST_SPEAKERS else split_by_name(speaker)
        sound = source / "audio" / speaker / f"{path.stem}.wav"
        take = Take(clip_id, speaker, clip_id, split, tag="grid")
        units[clip_id] = Unit(
            "/".join(parts), path, (take,), sound if sound.exists() else None, landmarks_beside(path)
        )
    if not units:
        raise TreeError(f"{source}: no videos below folders s1 to s34")
    there = {clip_id.split("/")[0] for clip_id in units}
    missing = [speaker for speaker in SPEAKERS if speaker not in there]
    return Listing(sorted(units.values(), key=lambda unit: unit.name), missing, notes, protocols)


def protocols(clips: Iterable[dict]) -> dict[str, list[str]]:
    """`grid-s29`: the first 100 sentences of s29; `grid-unseen`: ten of each test speaker."""
    by_speaker = {speaker: [] for speaker in TEST_SPEAKERS}
    for clip in clips:
        if clip["identity"] in by_speaker:
            by_speaker[clip["identity"]].append(clip["clip_id"])
    lists = {
        "grid-s29": sorted(by_speaker["s29"])[:100],
        "grid-unseen": [clip_id for ids in by_speaker.values() for clip_id in sorted(ids)[:10]],
    }
    return {name: ids for name, ids in lists.items() if ids}
