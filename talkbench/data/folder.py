"""A folder of videos as a data source, and any source as a store."""

import fcntl
import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from talkbench.data.clip import Clip, ClipError
from talkbench.data.landmark_file import LandmarkFileError, landmark_path, read_landmarks
from talkbench.data.media import VIDEO_SUFFIXES, MediaError, VideoReader, centre_square, read_video
from talkbench.data.store import FORMAT_VERSION, Store, StoreError, is_store, write_store

# VoxCeleb's names: id07414/VIDEO/00104.mp4, id10001#VIDEO#START#END.mp4
VOXCELEB_ID = re.compile(r"(?:^|[#_])(id\d{5})(?=[#_]|$)")
_HASHED_ENDS = 1 << 20


class FolderError(ValueError):
    """A folder (or landmark file) that cannot be used; the message names it and the remedy."""


class FolderSource:
    """Clips from the video files of a folder.

    Beside `NAME.mp4` may lie `NAME.landmarks.npz` with `landmarks` (T, 68, 2 or 3) for the frames at 25
    frames/s, in pixels whose centres are integers (x W - 0.5), z away from the viewer, as face meshes do;
    `detected` (T,) bool (points of other frames are interpolated); and `source`, the name of what made them.

    A clip's id is its path below the folder without suffix, "/" written as "#". Its identity follows
    VoxCeleb's names (id and five digits), else it is the clip id itself.

    Attributes:
        name: the folder's name.
        clip_ids: sorted; files whose header cannot be read are not among them.
        rejected: {path below the folder: reason} of files that cannot be used; grows while clips are read.
    """

    def __init__(self, folder: str | Path, size: int | None = None, *, recursive: bool = False):
        """Lists the folder and opens every file's header.

        Args:
            folder: where the videos are.
            size: resize to size x size (centre square, averaged over areas); None: frames as they are.
            recursive: also the folders below.

        Raises:
            FolderError: no such folder, no video in it, or none that can be opened.
        """
        self.folder = Path(folder)
        self.size = size
        self.recursive = recursive
        self.name = self.folder.resolve().name
        self.rejected: dict[str, str] = {}
        self._paths: dict[str, Path] = {}
        self._manifest: dict | None = None
        if not self.folder.is_dir():
            what = "a file, not a folder" if self.folder.exists() else "no such folder"
            raise FolderError(f"{folder}: {what}")
        found = sorted(path for path in self.folder.glob("**/*" if recursive else "*") if is_video(path))
        if not found:
            hint = "" if recursive else " (folders below it are not searched)"
            raise FolderError(f"{folder}: no video files{hint}; expected {', '.join(VIDEO_SUFFIXES)}")
        for path in found:
            clip_id = "#".join(path.relative_to(self.folder).with_suffix("").parts)
            try:
                if clip_id in self._paths:
                    raise MediaError(path, "unreadable", f"same name as {self._paths[clip_id].name}")
                VideoReader(path).close()
            except MediaError as error:
                self._reject(path, error)
            else:
                self._paths[clip_id] = path
        self._some_are_usable(bool(self._paths))

    @property
    def clip_ids(self) -> list[str]:
        return list(self._paths)

    @property
    def manifest(self) -> dict:
        """What the clips depend on: the files' contents by hash, and how they are read."""
        if self._manifest is None:
            digest = hashlib.sha256()
            for clip_id in self._paths:
                digest.update(self.content(clip_id).encode())
            self._manifest = {
                "kind": "folder",
                "name": self.name,
                "size": self.size,
                "files": len(self._paths),
                "files_sha256": digest.hexdigest(),
            }
        return self._manifest

    def content(self, clip_id: str) -> str:
        """What a clip's files hold, as lines with a hash of each: changes when they do."""
        path = self._paths[clip_id]
        files = (path, landmark_path(path))
        return "".join(f"{clip_id}{file.suffixes}{content_hash(file)}\n" for file in files)

    def has_landmarks(self, clip_id: str) -> bool:
        """Whether a landmark file lies beside the video."""
        return landmark_path(self._paths[clip_id]).exists()

    def clip(self, clip_id: str) -> Clip:
        """Reads one clip; MediaError, ClipError or FolderError (noted in `rejected`) if it cannot be used."""
        return self.read(clip_id)[0]

    def read(self, clip_id: str) -> tuple[Clip, dict]:
        """Like `clip`, with what was found in the file (`MediaInfo`, path below the folder, crop)."""
        path = self._paths.get(clip_id)
        if path is None:
            raise FolderError(f"{self.folder}: no clip {clip_id!r}")
        try:
            return self._read(clip_id, path)
        except (MediaError, ClipError, FolderError) as error:
            self._reject(path, error)
            raise

    def items(self) -> Iterator[tuple[Clip, dict]]:
        """(clip, what was found in its file), one after the other.

        Bad files are left out and noted in `rejected`; FolderError at the end if none was usable.
        """
        usable = False
        for clip_id in self.clip_ids:
            try:
                item = self.read(clip_id)
            except (MediaError, ClipError, FolderError):
                continue
            usable = True
            yield item
        self._some_are_usable(usable)

    def clips(self) -> Iterator[Clip]:
        """Clips of `items`."""
        for clip, _ in self.items():
            yield clip

    def _read(self, clip_id: str, path: Path) -> tuple[Clip, dict]:
        video = read_video(path, self.size)
        info = video.info
        top, left, side = centre_square(info.height, info.width) if self.size else (0, 0, None)
        landmarks, made_by, undetected = _read_landmarks(landmark_path(path), len(video.frames))
        if landmarks is not None:
            landmarks -= np.array([left, top, 0], np.float32)
            if self.size:
                landmarks *= self.size / side
        meta = {**info.as_dict(), "path": self._below(path), "crop": [left, top, side] if side else None}
        meta["landmarks_interpolated"] = undetected
        identity = VOXCELEB_ID.search(clip_id)
        clip = Clip(
            clip_id=clip_id,
            identity=identity[1] if identity else clip_id,
            frames=video.frames,
            audio=video.audio,
            landmarks=landmarks,
            landmark_source=made_by,
        )
        return clip, meta

    def _below(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _reject(self, path: Path, error: ValueError) -> None:
        self.rejected[self._below(path)] = error.text if isinstance(error, MediaError) else str(error)

    def _some_are_usable(self, usable: bool) -> None:
        if not usable:
            path, reason = next(iter(self.rejected.items()))
            count = f"none of {len(self.rejected)} video files is usable"
            raise FolderError(f"{self.folder}: {count}: {path} {reason}")


def is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".") and path.is_file()


def _read_landmarks(path: Path, frames: int) -> tuple[np.ndarray | None, str | None, list[int]]:
    """(float32 (T, 68, 3) in a `Clip`'s convention, what made them, frames without a face whose points are
    interpolated), or (None, None, []) without a file.
    """
    if not path.exists():
        return None, None, []
    try:
        landmarks, there, made_by = read_landmarks(path, frames)
    except LandmarkFileError as error:
        raise FolderError(str(error)) from error
    return landmarks, made_by, [int(frame) for frame in np.flatnonzero(~there)]


def content_hash(path: Path) -> str:
    """Of a file's size, first and last MiB: enough to tell that it changed, quick on thousands of files."""
    if not path.exists():
        return "none"
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with open(path, "rb") as file:
        digest.update(file.read(_HASHED_ENDS))
        file.seek(max(size - _HASHED_ENDS, 0))
        digest.update(file.read(_HASHED_ENDS))
    return digest.hexdigest()


def cached_store(source, folder: str | Path, *, codec: str = "png", quality: int = 95) -> Store:
    """The source's clips as a store below `folder`, written on the first call and only opened on later ones.

    Args:
        source: has `name`, `clip_ids`, `clip(clip_id)` and a `manifest` that changes when the clips do;
            `items()` (see `FolderSource`) is used if it has it, and `rejected` goes into the manifest.
        folder: of all cached stores; made if needed. The store's own folder is named by a hash of both.
        codec, quality: as for `write_store`.

    Returns:
        The store. Processes that ask for the same one at the same time wait for the first.

    Raises:
        StoreError, FolderError: it can't be written; no usable clip.
    """
    settings = [FORMAT_VERSION, source.manifest, codec, quality if codec == "jpeg" else None]
    key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    target = Path(folder) / f"{source.name}-{key}"
    with _locked(target):
        if is_store(target):
            try:
                return Store(target)
            except StoreError:  # damaged since: it is only a cache
                shutil.rmtree(target)
        items = (
            source.items()
            if hasattr(source, "items")
            else (source.clip(clip_id) for clip_id in source.clip_ids)
        )
        extra = {"source": source.manifest, "rejected": getattr(source, "rejected", {})}
        return write_store(target, items, codec=codec, quality=quality, name=source.name, extra=extra)


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    path = target.with_name(f".{target.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "w")
    except OSError as error:
        raise StoreError(f"{target.parent}: cannot write a store there: {error.strerror}") from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
