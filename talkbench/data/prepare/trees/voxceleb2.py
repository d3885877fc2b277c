"""VoxCeleb2 as distributed: {dev,test}/mp4/ID/VIDEO/UTTERANCE.mp4, with aac/.../UTTERANCE.m4a and txt/.../UTTERANCE.txt.

Each file is one face track of 224x224 at 25 frames/s, cropped by a box that moves with the face.
"""

import csv
import re
from collections.abc import Iterable
from pathlib import Path

from talkbench.data.prepare.trees.folder import landmarks_beside, videos
from talkbench.data.prepare.units import Listing, Take, TreeError, Unit, split_by_name

PARTS = ("dev", "test")
PROTOCOL_FRAMES = 128
_ID = re.compile(r"id\d{5}")


def read(source: Path) -> Listing:
    """Clip ids are ID/VIDEO/UTTERANCE. Test speakers are the official ones; of dev, speakers in 5 of 100 hashes are "val".

    Missing: utterances that txt or aac files name, and speakers that vox2_meta.csv lists for a part that is there.
    """
    parts = [part for part in PARTS if (source / part / "mp4").is_dir()]
    if not parts:
        raise TreeError(
            f"{source}: neither dev/mp4 nor test/mp4 in it; expected PART/mp4/ID/VIDEO/UTTERANCE.mp4"
        )
    units, missing, notes = [], [], []
    for part in parts:
        there = set()
        for path in videos(source / part / "mp4"):
            below = path.relative_to(source / part / "mp4")
            if len(below.parts) != 3 or not _ID.fullmatch(below.parts[0]):
                notes.append(f"{part}/mp4/{below.as_posix()} is not ID/VIDEO/UTTERANCE.mp4: passed over")
                continue
            speaker, video, _ = below.parts
            clip_id = below.with_suffix("").as_posix()
            there.add(clip_id)
            split = "test" if part == "test" else split_by_name(speaker)
            take = Take(clip_id, speaker, f"{speaker}/{video}", split, crop="whole", tag="official-224")
            sound = source / part / "aac" / below.with_suffix(".m4a")
            units.append(
                Unit(
                    path.relative_to(source).as_posix(), path, (take,), sound if sound.exists() else None,
                    landmarks_beside(path),
                )
            )  # fmt: skip
        missing += [f"{part}/mp4/{name}.mp4" for name in sorted(_named(source, part) - there)]
        found = {clip_id.split("/")[0] for clip_id in there}
        missing += [f"{part}/mp4/{speaker}" for speaker in sorted(_speakers(source, part) - found)]
    return Listing(sorted(units, key=lambda unit: unit.name), missing, notes, protocols)


def _named(source: Path, part: str) -> set[str]:
    """Utterances that the part's txt and aac folders name."""
    found = set()
    for kind, suffix in (("txt", "txt"), ("aac", "m4a")):
        folder = source / part / kind
        found |= {
            path.relative_to(folder).with_suffix("").as_posix() for path in folder.glob(f"id*/*/*.{suffix}")
        }
    return found


def _speakers(source: Path, part: str) -> set[str]:
    """Speakers of vox2_meta.csv (columns with blanks around: id, VGGFace2 id, gender, set), if it is there."""
    path = source / "vox2_meta.csv"
    if not path.exists():
        return set()
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = [[cell.strip() for cell in row] for row in csv.reader(file, delimiter=_delimiter(path))]
    return {row[0] for row in rows if row and _ID.fullmatch(row[0]) and row[-1] == part}


def _delimiter(path: Path) -> str:
    with open(path, encoding="utf-8-sig") as file:
        return "\t" if "\t" in file.readline() else ","


def protocols(clips: Iterable[dict]) -> dict[str, list[str]]:
    """`vox2-test`: of each test speaker the first utterance of the first video with 128 frames; `vox2-test-cross`: source
    and driving clip, half the list apart.
    """
    first: dict[str, str] = {}
    for clip in clips:
        if clip["split"] == "test" and clip["frames"] >= PROTOCOL_FRAMES:
            first[clip["identity"]] = min(clip["clip_id"], first.get(clip["identity"], clip["clip_id"]))
    chosen = [first[speaker] for speaker in sorted(first)]
    if not chosen:
        return {}
    if len(chosen) == 1:
        return {"vox2-test": chosen}
    cross = [f"{clip}\t{chosen[(i + len(chosen) // 2) % len(chosen)]}" for i, clip in enumerate(chosen)]
    return {"vox2-test": chosen, "vox2-test-cross": cross}
