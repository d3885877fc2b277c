"""Units of work: a source file and the clips that are to come out of it."""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from talkbench import __version__
from talkbench.data.folder import content_hash
from talkbench.data.prepare.settings import Settings


class TreeError(ValueError):
    """A source folder or list that is not what its data set's layout says; names the file and the remedy."""


@dataclass(frozen=True, slots=True)
class Take:
    """One stretch of a source file.

    Attributes:
        clip_id: name of the clip; several clips of one take get "#000", "#001", ... behind it.
        identity: the speaker's name. video: name of the recording. split: "train", "val", "test" or "".
        seconds: begin and end from the first frame's time stamp; None: all of it.
        source_frames: the same as first and last frame (inclusive) at the file's own rate.
        box: left, top, right, bottom of the given crop in pixels of `listed`; None: found by the face.
        listed: width and height of the version of the video that `box` counts in (width 0: of the same shape as the
            file); None: of the file itself.
        crop: "detect" (see `Settings.crop`), "whole" (centre square), "box" (the list's, held against the face found) or
            "given" (the list's, as it is).
        tag: name of the kind of crop, kept with the clip.
    """

    clip_id: str
    identity: str
    video: str
    split: str = ""
    seconds: tuple[float, float] | None = None
    source_frames: tuple[int, int] | None = None
    box: tuple[float, float, float, float] | None = None
    listed: tuple[float, float] | None = None
    crop: str = "detect"
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Unit:
    """One source file.

    Attributes:
        name: its path below the source folder, with "/".
        path: the file. audio: a sound file to use where the video has none. landmarks: a landmark file.
        takes: what is to come out of it.
    """

    name: str
    path: Path
    takes: tuple[Take, ...]
    audio: Path | None = None
    landmarks: Path | None = None

    def key(self, settings: Settings) -> str:
        """Hash of everything the result depends on: the files' contents, what is taken, how, and with which version."""
        files = [_hash(path) for path in (self.path, self.audio, self.landmarks)]
        takes = [asdict(take) for take in self.takes]
        parts = [self.name, files, takes, settings.as_dict(), __version__]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _hash(path: Path | None) -> str:
    try:
        return content_hash(path) if path else "none"
    except OSError as error:
        return f"unreadable: {error.strerror}"


@dataclass
class Listing:
    """What a source folder holds.

    Attributes:
        units: sorted by name.
        missing: names that the data set's lists have and the folder has not.
        notes: what the reader did on its own (errata applied, rows left out), for the report.
        protocols: gives the benchmarks' lists, {name: lines of clip ids}, for the clips that were kept, each a dict with
            clip_id, identity, split and frames.
        silent: whether the data set comes without sound. min_frames: length that its clips have, if they are short.
    """

    units: list[Unit]
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    protocols: Callable[[Iterable[dict]], dict[str, list[str]]] = lambda clips: {}
    silent: bool = False
    min_frames: int | None = None


def split_by_name(name: str, percent: int = 5) -> str:
    """ "val" for about `percent` of all names, else "train": the same on every machine, whatever else there is."""
    return "val" if int(hashlib.sha1(name.lower().encode()).hexdigest()[:8], 16) % 100 < percent else "train"
