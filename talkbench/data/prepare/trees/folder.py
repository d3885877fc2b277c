"""Any folder of videos, searched with all folders below it."""

import os
from collections import Counter
from pathlib import Path

from talkbench.data.folder import VOXCELEB_ID, is_video
from talkbench.data.landmark_file import landmark_path
from talkbench.data.prepare.units import Listing, Take, TreeError, Unit


def videos(folder: Path) -> list[Path]:
    """Video files below a folder, sorted by path: linked folders too (but no circles), hidden ones not."""
    found = []
    for here, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not (name.startswith(".") or _circle(here, name))]
        found += [path for path in (Path(here, name) for name in names) if is_video(path)]
    return sorted(found)


def _circle(here: str, name: str) -> bool:
    """Whether a folder is a link to one that it lies in."""
    path = os.path.join(here, name)
    return os.path.islink(path) and Path(os.path.realpath(here)).is_relative_to(os.path.realpath(path))


def landmarks_beside(path: Path) -> Path | None:
    """NAME.landmarks.npz beside the video, if it is there."""
    beside = landmark_path(path)
    return beside if beside.exists() else None


def read(source: Path) -> Listing:
    """A clip's id is its path below the folder without suffix, "/" written as "#"; of two that would be equal both keep it.

    The speaker follows VoxCeleb's names, else the clip's own id; there are no splits.
    """
    found = videos(source)
    if not found:
        raise TreeError(f"{source}: no video files in it or below")
    stems = ["#".join(path.relative_to(source).with_suffix("").parts) for path in found]
    units, count = [], Counter(stems)
    for path, stem in zip(found, stems):
        clip_id = stem if count[stem] == 1 else "#".join(path.relative_to(source).parts)
        identity = VOXCELEB_ID.search(clip_id)
        take = Take(clip_id, identity[1] if identity else clip_id, clip_id)
        name = path.relative_to(source).as_posix()
        units.append(Unit(name, path, (take,), landmarks=landmarks_beside(path)))
    return Listing(units)
