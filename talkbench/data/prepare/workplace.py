"""Finished units on disk, by the hash of all they depend on.

`ab/KEY.frames` (the encoded pictures one after the other), `ab/KEY.clips` (msgpack: sound, landmarks and the pictures' places)
and, written last, `ab/KEY.done` (JSON: the verdict). Each is written whole or not at all; `ab/KEY.tries` counts starts and
deaths of the process that worked on it.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import msgpack
import numpy as np

from talkbench import atomic
from talkbench.data.clip import Clip
from talkbench.data.view import decode_audio

DEATHS = 3  # a unit whose process died so often is refused
STARTS = 20  # a unit that was begun so often without an end takes the whole run down with it


class EncodedFrames:
    """Pictures of a finished unit, to be written into a store as they are; iterates over their bytes."""

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, path: Path, places: list[tuple[int, int]], size: tuple[int, int]):
        self.path = path
        self.places = places
        self.shape = (len(places), *size, 3)

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[bytes]:
        with open(self.path, "rb") as file:
            for offset, length in self.places:
                file.seek(offset)
                yield file.read(length)


class Workplace:
    """The folder of finished units."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)

    def path(self, key: str, kind: str) -> Path:
        return self.folder / key[:2] / f"{key}.{kind}"

    def row(self, key: str) -> dict | None:
        """The verdict on a finished unit, None if it is not finished."""
        try:
            return json.loads(self.path(key, "done").read_text())
        except FileNotFoundError:
            return None

    def begin(self, key: str) -> int:
        """Notes a start; returns how many there were before."""
        tries = self.tries(key)
        self._count(key, {**tries, "starts": tries["starts"] + 1})
        return tries["starts"]

    def died(self, key: str) -> int:
        """Notes that the unit's process died; returns how often by now."""
        tries = self.tries(key)
        self._count(key, {**tries, "deaths": tries["deaths"] + 1})
        return tries["deaths"] + 1

    def tries(self, key: str) -> dict[str, int]:
        try:
            return json.loads(self.path(key, "tries").read_text())
        except (FileNotFoundError, ValueError):
            return {"starts": 0, "deaths": 0}

    def _count(self, key: str, tries: dict[str, int]) -> None:
        path = self.path(key, "tries")
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_json(path, tries)

    def finish(self, key: str, row: dict, clips: list[dict] | None = None) -> None:
        """Marks a unit as done; its frames are there already."""
        self.path(key, "done").parent.mkdir(parents=True, exist_ok=True)
        if clips:
            atomic.write_bytes(self.path(key, "clips"), msgpack.packb(clips))
        atomic.write_json(self.path(key, "done"), row)

    def clip(self, key: str, number: int) -> tuple[Clip, dict]:
        """One clip of a finished unit and what was found in its file; the pictures stay on disk."""
        packed = msgpack.unpackb(self.path(key, "clips").read_bytes())[number]
        places = [tuple(place) for place in packed["places"]]
        points = packed["landmarks"]
        count = len(places)
        clip = Clip(
            clip_id=packed["clip_id"],
            identity=packed["identity"],
            split=packed["split"],
            frames=EncodedFrames(self.path(key, "frames"), places, tuple(packed["size"])),
            audio=decode_audio(np.frombuffer(packed["audio"], "<i2")),
            landmarks=None if points is None else np.frombuffer(points, "<f4").reshape(count, 68, 3),
            landmark_source=packed["landmark_source"],
            labels={}
            if packed["detected"] is None
            else {"detected": np.frombuffer(packed["detected"], bool)},
        )
        return clip, packed["meta"]


class FramesFile:
    """Takes encoded pictures; the file has its name only once it is whole."""

    def __init__(self, path: Path):
        self.path = path
        self.temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self.temporary, "wb")
        self._offset = 0

    def add(self, data: bytes) -> tuple[int, int]:
        """Where the picture went: offset and length."""
        self._file.write(data)
        place = self._offset, len(data)
        self._offset += len(data)
        return place

    def close(self, keep: bool) -> None:
        if keep:
            self._file.flush()
            os.fsync(self._file.fileno())
        self._file.close()
        if keep:
            os.replace(self.temporary, self.path)
        else:
            self.temporary.unlink(missing_ok=True)


def sha256_of(path: Path) -> str | None:
    """SHA-256 of a file, None if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
