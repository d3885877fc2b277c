"""The VoxCeleb1 chunks of video-preprocessing's vox-metadata.csv: whole YouTube videos as VIDEO.mp4, or chunks already cut.

The published boxes are not square; they are squeezed into one as that loader does, which checkpoints trained on it expect.
"""

import csv
from pathlib import Path

from talkbench.data.prepare.trees.folder import landmarks_beside, videos
from talkbench.data.prepare.units import Listing, Take, TreeError, Unit, split_by_name

FILE = "vox-metadata.csv"
COLUMNS = ("video_id", "start", "end", "bbox", "fps", "width", "height", "partition", "person_id")
# of both partitions of the published file: a clean test set needs them out of training
LEAKED_PEOPLE, LEAKED_VIDEOS = {"id10282", "id10306"}, {"hgB5ziAudzU", "ST2JZXcyYkE"}


def read(source: Path) -> Listing:
    """Clip ids are PERSON#VIDEO#START#END, frames at 25 frames/s of six digits, the end exclusive.

    A file of that name is a chunk that was cut before; else VIDEO.mp4 is cut. Of train, people in 5 of 100 hashes are "val";
    training rows of people or videos of the test partition are "held" (in no split).
    """
    path = source / FILE
    if not path.exists():
        raise TreeError(f"{path}: is missing; put the published csv beside the videos")
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or not set(COLUMNS) <= set(rows[0]):
        raise TreeError(f"{path}: expected the columns {','.join(COLUMNS)}")
    files = {found.stem: found for found in videos(source)}
    takes: dict[Path, list[Take]] = {}
    missing, held = [], 0
    for number, row in enumerate(rows, 2):
        try:
            take = _take(row)
        except ValueError as error:
            raise TreeError(f"{path}: line {number}: {error}") from error
        held += take.split == "held"
        if take.clip_id in files:
            whole = Take(take.clip_id, take.identity, take.video, take.split, crop="whole", tag="csv-cut")
            takes[files[take.clip_id]] = [whole]
        elif row["video_id"] in files:
            takes.setdefault(files[row["video_id"]], []).append(take)
        else:
            missing.append(take.clip_id)
    units = [
        Unit(found.relative_to(source).as_posix(), found, tuple(chosen), landmarks=landmarks_beside(found))
        for found, chosen in sorted(takes.items())
    ]
    notes = (
        [f"{held} training rows of people or videos of the test partition are in no split"] if held else []
    )
    return Listing(units, missing, notes, silent=True)


def _take(row: dict) -> Take:
    person, video = row["person_id"], row["video_id"]
    start, end = int(row["start"]), int(row["end"])
    box = tuple(float(edge) for edge in row["bbox"].split("-"))
    if len(box) != 4 or end <= start:
        raise ValueError(f"box {row['bbox']}, frames {start} to {end}")
    split = "test"
    if row["partition"] == "train":
        leaked = person in LEAKED_PEOPLE or video in LEAKED_VIDEOS
        split = "held" if leaked else split_by_name(person)
    clip_id = f"{person}#{video}#{start:06d}#{end:06d}"
    listed = float(row["width"]), float(row["height"])
    return Take(
        clip_id, person, video, split, seconds=(start / 25, end / 25), box=box, listed=listed, crop="given",
        tag="csv-squeezed",
    )  # fmt: skip
