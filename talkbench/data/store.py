"""Store: clips as ArrayRecord shards, so that training reads single frames without decoding video.

A store is a folder of `frames-SSSSS-of-NNNNN.array_record` (one PNG or JPEG a record; frame i of a clip is
record `offset + i` of its shard), `clips-SSSSS-of-NNNNN.array_record` (one msgpack record a clip: sound,
landmarks, pose, labels), `index.npz` (ids, offsets, lengths) and `manifest.json`, written last: a folder
without one is unfinished.
"""

import copy
import hashlib
import json
import os
import shutil
import socket
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import cv2
import msgpack
import numpy as np
from array_record.python.array_record_module import ArrayRecordReader, ArrayRecordWriter

from talkbench.data.clip import FPS, SAMPLE_RATE, Clip
from talkbench.data.view import ClipView, clip_record, decode_audio, encode_audio

FORMAT = "talkbench-store"
FORMAT_VERSION = 1
CODECS = ("png", "jpeg")
_WRITER_OPTIONS = "group_size:1,uncompressed"
_READER_OPTIONS = "readahead_buffer_size:0,max_parallelism:0"
_INDEX_FIELDS = ("clip_id", "identity", "split", "shard", "offset", "num_frames", "record", "height", "width")
# Of zlib's strategies this one gives the smallest and, read and written, quickest 64 px face frames.
_PNG_SETTINGS = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]


class StoreError(ValueError):
    """A store that cannot be read or written; the message names the folder and the remedy."""


# ---------------------------------------------------------------------------------------------------- frames


def encode_frame(frame: np.ndarray, codec: str, quality: int = 95) -> bytes:
    """uint8 (H, W, 3) RGB -> PNG bytes (exact) or JPEG bytes (4:2:0)."""
    bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    if codec == "png":
        ok, data = cv2.imencode(".png", bgr, _PNG_SETTINGS)
    else:
        sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
        ok, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality, *sampling])
    if not ok:
        raise StoreError(f"a frame of {frame.shape} could not be encoded as {codec}")
    return data.tobytes()


def decode_frame(data: bytes) -> np.ndarray:
    """PNG or JPEG bytes -> uint8 (H, W, 3) RGB; StoreError if they are neither."""
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise StoreError("a frame record holds no picture")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=bgr)


# ----------------------------------------------------------------------------------------------------- clips


def _pack_array(array: np.ndarray | None) -> dict | None:
    if array is None:
        return None
    array = np.ascontiguousarray(array)
    if array.dtype.hasobject:
        raise StoreError("labels must be plain arrays, not objects")
    return {"dtype": array.dtype.str, "shape": list(array.shape), "data": array.tobytes()}


def _unpack_array(packed: dict | None) -> np.ndarray | None:
    if packed is None:
        return None
    return np.frombuffer(packed["data"], np.dtype(packed["dtype"])).reshape(packed["shape"])


def _float32(array) -> np.ndarray | None:
    return None if array is None else np.asarray(array, np.float32)


def _pack_clip(clip: Clip, meta: dict) -> bytes:
    record = clip_record(clip)
    return msgpack.packb(
        {
            "clip_id": clip.clip_id,
            "identity": clip.identity,
            "split": clip.split,
            "num_frames": clip.num_frames,
            "audio": encode_audio(record["audio"]).tobytes(),
            "landmark_source": record["landmark_source"],
            "arrays": {
                name: _pack_array(_float32(record[name]))
                for name in ("landmarks", "pose", "shape", "expression")
            },
            "labels": {
                name: _pack_array(np.asarray(value)) for name, value in sorted(record["labels"].items())
            },
            "meta": meta,
        }
    )


def _unpack_clip(data: bytes) -> dict:
    packed = msgpack.unpackb(data)
    return {
        "clip_id": packed["clip_id"],
        "audio": np.frombuffer(packed["audio"], "<i2"),
        "landmark_source": packed["landmark_source"],
        **{name: _unpack_array(value) for name, value in packed["arrays"].items()},
        "labels": {name: _unpack_array(value) for name, value in packed["labels"].items()},
        "meta": packed["meta"],
    }


# --------------------------------------------------------------------------------------------------- writing


class _Shards:
    """Writes the shards of one kind; names carry the count, so they get theirs at the end."""

    def __init__(self, folder: Path, kind: str):
        self.folder, self.kind = folder, kind
        self.writer: ArrayRecordWriter | None = None
        self.records: list[int] = []  # of each shard
        self.bytes = 0  # of the open shard

    def _path(self, shard: int) -> Path:
        return self.folder / f"{self.kind}-{shard:05d}.tmp"

    def next_shard(self) -> None:
        self.close()
        self.writer = ArrayRecordWriter(str(self._path(len(self.records))), _WRITER_OPTIONS)
        self.records.append(0)
        self.bytes = 0

    def write(self, data: bytes) -> None:
        self.writer.write(data)
        self.records[-1] += 1
        self.bytes += len(data)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    def finish(self) -> dict[str, dict]:
        """Gives every shard its name; {name: {sha256, bytes, records}}."""
        self.close()
        shards = {}
        for shard, count in enumerate(self.records):
            path = self._path(shard)
            reader = ArrayRecordReader(str(path), _READER_OPTIONS)
            if reader.num_records() != count:
                raise StoreError(
                    f"{path.name}: {reader.num_records()} of {count} records arrived; is the disk full?"
                )
            reader.close()
            _sync(path)
            name = f"{self.kind}-{shard:05d}-of-{len(self.records):05d}.array_record"
            path.rename(self.folder / name)
            shards[name] = {
                "sha256": file_sha256(self.folder / name),
                "bytes": (self.folder / name).stat().st_size,
                "records": count,
            }
        return shards


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _ids_sha256(clip_ids: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(clip_ids)).encode()).hexdigest()


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("array-record", "numpy", "opencv-python-headless")}


def _partial_folder(folder: Path) -> Path:
    """An empty folder beside `folder` for the unfinished store; what dead writers left there is removed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    host = socket.gethostname()
    for stale in folder.parent.glob(f".{folder.name}.partial-{host}-*"):
        with suppress(ValueError):
            if not _alive(int(stale.name.removesuffix("-old").rsplit("-", 1)[1])):
                shutil.rmtree(stale, ignore_errors=True)
    partial = folder.parent / f".{folder.name}.partial-{host}-{os.getpid()}"
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir()
    return partial


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def write_store(
    folder: str | Path,
    clips: Iterable[Clip | tuple[Clip, dict]],
    *,
    size: int | None = None,
    codec: str = "png",
    quality: int = 95,
    name: str | None = None,
    extra: dict | None = None,
    shard_bytes: int = 1 << 30,
    overwrite: bool = False,
) -> "Store":
    """Writes clips into a new store, holding never more than one of them.

    All is written into a hidden folder beside `folder` and renamed in one step at the end: whatever happens
    on the way (a kill, a full disk, a source that raises), `folder` is either a whole store or untouched.
    The bytes depend on the clips and the arguments only.

    Args:
        folder: where the store shall be; must not exist, be empty, or (with `overwrite`) be a store.
        clips: the clips in storage order, or (clip, meta) pairs; `meta` (plain values) is kept with the clip.
        size: if given, every frame must be size x size.
        codec: "png" (exact; for evaluation and small sizes) or "jpeg" (for training at 256 px and more).
        quality: JPEG quality.
        name: name of the data set; the folder's name if None.
        extra: further manifest entries (plain JSON), read after the last clip: sources may fill it meanwhile.
        shard_bytes: a shard that has reached this size gets no further clip; a clip never crosses shards.
        overwrite: replace a store that is already there.

    Returns:
        The opened store.

    Raises:
        StoreError: no clips, a clip id twice, a frame of another size, a foreign folder, no space.
    """
    folder = Path(folder)
    if codec not in CODECS:
        raise StoreError(f"codec {codec!r}: use one of {', '.join(CODECS)}")
    _check_target(folder, overwrite)
    try:
        partial = _partial_folder(folder)
    except OSError as error:
        raise StoreError(f"{folder}: cannot write a store there: {error.strerror}") from error
    try:
        _write_into(partial, clips, size, codec, quality, name or folder.name, extra, shard_bytes)
        _move_into_place(partial, folder, overwrite)
    except (OSError, RuntimeError) as error:  # what array_record raises when the disk fails is a RuntimeError
        raise StoreError(f"{folder}: the store could not be written: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Store(folder)


def _check_target(folder: Path, overwrite: bool) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise StoreError(f"{folder}: is a file; give a folder for the store")
    if (folder / "manifest.json").exists():
        if not overwrite:
            raise StoreError(f"{folder}: holds a store already; remove it or ask to overwrite it")
        Store(folder)  # only a store of ours is ever removed
    elif any(folder.iterdir()):
        raise StoreError(f"{folder}: holds files that are no store; give an empty or new folder")


def _move_into_place(partial: Path, folder: Path, overwrite: bool) -> None:
    _check_target(folder, overwrite)
    if folder.exists() and any(folder.iterdir()):
        old = partial.with_name(partial.name + "-old")
        folder.rename(old)
        partial.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    else:
        partial.rename(folder)
    _sync(folder.parent)


def _write_into(folder, clips, size, codec, quality, name, extra, shard_bytes) -> None:
    frames, records = _Shards(folder, "frames"), _Shards(folder, "clips")
    columns: dict[str, list] = {field: [] for field in _INDEX_FIELDS}
    seen: set[str] = set()
    try:
        for item in clips:
            clip, meta = item if isinstance(item, tuple) else (item, {})
            height, width = clip.frames.shape[1:3]
            if clip.clip_id in seen:
                raise StoreError(
                    f"{clip.clip_id}: a second clip of this id; ids must be unique within a store"
                )
            if size is not None and (height, width) != (size, size):
                raise StoreError(
                    f"{clip.clip_id}: frames of {width}x{height}, but the store is {size}x{size}"
                )
            seen.add(clip.clip_id)
            if not frames.records or frames.bytes >= shard_bytes:
                frames.next_shard()
                records.next_shard()
            row = (clip.clip_id, clip.identity, clip.split, len(frames.records) - 1, frames.records[-1])
            row += (clip.num_frames, records.records[-1], height, width)
            for field, value in zip(_INDEX_FIELDS, row, strict=True):
                columns[field].append(value)
            records.write(_pack_clip(clip, meta))
            for frame in clip.frames:
                # pictures that were encoded elsewhere go in as they are
                frames.write(frame if isinstance(frame, bytes) else encode_frame(frame, codec, quality))
        if not seen:
            raise StoreError("no clip came from the source: nothing to store")
        shards = {**frames.finish(), **records.finish()}
    finally:
        frames.close()
        records.close()
    with open(folder / "index.npz", "wb") as file:
        np.savez(file, **{field: np.array(values) for field, values in columns.items()})
        file.flush()
        os.fsync(file.fileno())
    sizes = {(h, w) for h, w in zip(columns["height"], columns["width"])}
    height, width = next(iter(sizes))
    count = sum(columns["num_frames"])
    manifest = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "name": name,
        "size": height if len(sizes) == 1 and height == width else None,
        "codec": codec,
        "quality": quality if codec == "jpeg" else None,
        "fps": FPS,
        "sample_rate": SAMPLE_RATE,
        "clips": len(seen),
        "frames": count,
        "seconds": count / FPS,
        "identities": len(set(columns["identity"])),
        "splits": dict(sorted(Counter(columns["split"]).items())),
        "clip_ids_sha256": _ids_sha256(seen),
        "content_sha256": hashlib.sha256("".join(s["sha256"] for s in shards.values()).encode()).hexdigest(),
        "index_sha256": file_sha256(folder / "index.npz"),
        "shards": shards,
        "versions": _versions(),
    }
    clash = set(extra or {}) & set(manifest)
    if clash:
        raise StoreError(f"extra manifest entries {sorted(clash)} would replace the store's own")
    with open(folder / "manifest.json", "w") as file:
        json.dump({**manifest, **(extra or {})}, file, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())


# --------------------------------------------------------------------------------------------------- reading


class Store:
    """A finished store, itself a source of clips; cheap to open and pickle, safe with threads and forks.

    Attributes:
        folder: where it is.
        manifest: the manifest as a dict.
        name: name of the data set.
        clip_ids: all ids in storage order.
    """

    RECORD_CACHE_BYTES = 128 << 20

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.manifest = _read_manifest(self.folder)
        self.name: str = self.manifest["name"]
        self._index = _read_index(self.folder, self.manifest)
        self.clip_ids: list[str] = self._index["clip_id"].tolist()
        self._row = {clip_id: row for row, clip_id in enumerate(self.clip_ids)}
        self._shards = len([name for name in self.manifest["shards"] if name.startswith("frames-")])
        self._resident: dict[int, np.ndarray] = {}
        self._reset()

    def _reset(self) -> None:
        self._readers: dict[tuple[str, int], ArrayRecordReader] = {}
        self._records: OrderedDict[int, dict] = OrderedDict()
        self._records_bytes = 0
        self._lock = threading.Lock()
        self._process = os.getpid()

    def __getstate__(self) -> dict:
        state = self.__dict__.copy()
        for name in ("_readers", "_records", "_records_bytes", "_lock", "_process"):
            del state[name]
        return {**state, "_resident": {}}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._reset()

    def __len__(self) -> int:
        return len(self.clip_ids)

    def __repr__(self) -> str:
        return f"Store({str(self.folder)!r}, clips={len(self)}, frames={self.manifest['frames']})"

    @property
    def fingerprint(self) -> str:
        """Hash of everything stored; equal stores have equal ones."""
        return self.manifest["content_sha256"]

    def ids(self, split: str | None = None) -> list[str]:
        """Clip ids of one split, in storage order (None: of all)."""
        if split is None:
            return list(self.clip_ids)
        return self._index["clip_id"][self._index["split"] == split].tolist()

    def only(self, clip_ids: Iterable[str]) -> "Store":
        """The same store with these clips alone; StoreError for an id it has not, or none."""
        part = copy.copy(self)
        part.clip_ids = list(clip_ids)
        for clip_id in part.clip_ids:
            self._at(clip_id)
        if not part.clip_ids:
            raise StoreError(f"{self.folder}: no clips chosen")
        return part

    def identity(self, clip_id: str) -> str:
        return str(self._index["identity"][self._at(clip_id)])

    def clips(self, clip_ids: Iterable[str] | None = None) -> Iterator[Clip]:
        """Clips one after the other."""
        for clip_id in self.clip_ids if clip_ids is None else clip_ids:
            yield self.clip(clip_id)

    def view(self, clip_id: str) -> ClipView:
        """A view that reads only what is asked of it."""
        row, index = self._at(clip_id), self._index
        return ClipView(
            clip_id,
            str(index["identity"][row]),
            str(index["split"][row]),
            int(index["num_frames"][row]),
            self,
        )

    def clip(self, clip_id: str) -> Clip:
        """The whole clip."""
        view = self.view(clip_id)
        record = self.read_record(clip_id)
        return Clip(
            clip_id=clip_id,
            identity=view.identity,
            split=view.split,
            frames=view.frames(),
            audio=decode_audio(record["audio"]),
            **{
                name: record[name] for name in ("landmarks", "landmark_source", "pose", "shape", "expression")
            },
            labels=dict(record["labels"]),
        )

    def meta(self, clip_id: str) -> dict:
        """What was stored beside the clip (source file, flags)."""
        return self.read_record(clip_id)["meta"]

    def read_frames(self, clip_id: str, indices: list[int]) -> np.ndarray:
        """uint8 (n, H, W, 3); what `ClipView.frames` calls."""
        row = self._at(clip_id)
        if row in self._resident:
            return self._resident[row][indices]
        shape = (len(indices), int(self._index["height"][row]), int(self._index["width"][row]), 3)
        out = np.empty(shape, np.uint8)
        if indices:
            shard, offset = int(self._index["shard"][row]), int(self._index["offset"][row])
            for place, data in enumerate(self._read("frames", shard, [offset + index for index in indices])):
                try:
                    out[place] = decode_frame(data)
                except (StoreError, ValueError) as error:
                    raise self._damaged("frames", shard, f"frame {indices[place]} of {clip_id}") from error
        return out

    def read_record(self, clip_id: str) -> dict:
        """The decoded clip record (arrays are read-only); the last ones read stay in memory."""
        row = self._at(clip_id)
        self._after_fork()
        with self._lock:
            if row in self._records:
                self._records.move_to_end(row)
                return self._records[row]
        shard = int(self._index["shard"][row])
        data = self._read("clips", shard, [int(self._index["record"][row])])[0]
        try:
            record = _unpack_clip(data)
        except (ValueError, KeyError, TypeError, msgpack.UnpackException) as error:
            raise self._damaged("clips", shard, clip_id) from error
        record["bytes"] = len(data)
        with self._lock:
            if row not in self._records:
                self._records[row] = record
                self._records_bytes += len(data)
            while self._records_bytes > self.RECORD_CACHE_BYTES and len(self._records) > 1:
                self._records_bytes -= self._records.popitem(last=False)[1]["bytes"]
        return record

    def load_frames(self, limit_bytes: int = 4 << 30, clip_ids: Iterable[str] | None = None) -> int:
        """Decodes frames into memory, so that later reads cost a copy; returns the bytes held.

        Raises StoreError if they would take more than `limit_bytes`. Pickles of the store don't carry them.
        """
        rows = [self._at(clip_id) for clip_id in (self.clip_ids if clip_ids is None else clip_ids)]
        need = sum(
            int(np.prod([self._index[f][row] for f in ("num_frames", "height", "width")])) * 3 for row in rows
        )
        if need > limit_bytes:
            gigabytes = f"{need / 2**30:.1f} GiB, {limit_bytes / 2**30:.1f} GiB are allowed"
            raise StoreError(
                f"{self.folder}: its frames take {gigabytes}; raise the limit or read the records"
            )
        for row in rows:
            if row not in self._resident:
                self._resident[row] = self.view(self.clip_ids[row]).frames()
        return need

    def verify(self) -> None:
        """Compares every shard with its checksum and count; StoreError names the first that differs."""
        for name, expected in self.manifest["shards"].items():
            if file_sha256(self.folder / name) != expected["sha256"]:
                raise StoreError(f"{self.folder / name}: differs from its checksum; write the store again")
        if self._index["num_frames"].sum() != self.manifest["frames"]:
            raise StoreError(f"{self.folder}: index and manifest count other frames; write the store again")

    def _at(self, clip_id: str) -> int:
        row = self._row.get(clip_id)
        if row is None:
            raise StoreError(
                f"{self.folder}: no clip {clip_id!r}; it has {len(self)} clips, {self.clip_ids[0]!r} is one"
            )
        return row

    def _after_fork(self) -> None:
        # file positions of the parent's readers are shared with it: a forked child opens its own
        if self._process != os.getpid():
            self._reset()

    def _read(self, kind: str, shard: int, positions: list[int]) -> list[bytes]:
        self._after_fork()
        with self._lock:
            reader = self._readers.get((kind, shard))
            if reader is None:
                try:
                    reader = ArrayRecordReader(str(self._shard_path(kind, shard)), _READER_OPTIONS)
                except (RuntimeError, ValueError) as error:
                    raise self._damaged(kind, shard, "its index") from error
                self._readers[kind, shard] = reader
        try:
            # one by one: a list of random positions takes array_record five times as long
            return [reader.read([position])[0] for position in positions]
        except (RuntimeError, ValueError, IndexError) as error:
            raise self._damaged(kind, shard, f"records {positions}") from error

    def _shard_path(self, kind: str, shard: int) -> Path:
        return self.folder / f"{kind}-{shard:05d}-of-{self._shards:05d}.array_record"

    def _damaged(self, kind: str, shard: int, what: str) -> StoreError:
        return StoreError(
            f"{self._shard_path(kind, shard)}: {what} cannot be read; the store is damaged, write it again"
        )


def clips_by_identity(store, clip_ids: Iterable[str] | None = None) -> dict[str, list[str]]:
    """{identity: its clips} of a `Store`, or whatever has `clip_ids` and `identity(clip_id)`; of these clips only, if given."""
    found: dict[str, list[str]] = {}
    for clip_id in store.clip_ids if clip_ids is None else clip_ids:
        found.setdefault(store.identity(clip_id), []).append(clip_id)
    return found


def is_store(folder: str | Path) -> bool:
    """Whether `folder` holds a finished store (by its manifest alone)."""
    with suppress(OSError, ValueError):
        manifest = json.loads((Path(folder) / "manifest.json").read_text())
        return isinstance(manifest, dict) and manifest.get("format") == FORMAT
    return False


def _read_manifest(folder: Path) -> dict:
    if not folder.is_dir():
        raise StoreError(f"{folder}: no such folder")
    path = folder / "manifest.json"
    if not path.exists():
        raise StoreError(f"{folder}: not a finished store (no manifest.json); write it again")
    try:
        manifest = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: cannot be read: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise StoreError(f"{path}: not the manifest of a store")
    if manifest.get("format_version") != FORMAT_VERSION:
        raise StoreError(
            f"{path}: format version {manifest.get('format_version')}, not {FORMAT_VERSION}; write it again"
        )
    for name, expected in manifest["shards"].items():
        shard = folder / name
        if not shard.exists():
            raise StoreError(f"{shard}: is missing; the store is damaged, write it again")
        if shard.stat().st_size != expected["bytes"]:
            raise StoreError(
                f"{shard}: {shard.stat().st_size} bytes instead of {expected['bytes']}; write the store again"
            )
    return manifest


def _read_index(folder: Path, manifest: dict) -> dict[str, np.ndarray]:
    path = folder / "index.npz"
    if not path.exists():
        raise StoreError(f"{path}: is missing; the store is damaged, write it again")
    if file_sha256(path) != manifest["index_sha256"]:
        raise StoreError(f"{path}: differs from its checksum; the store is damaged, write it again")
    with np.load(path, allow_pickle=False) as index:
        return {field: index[field] for field in _INDEX_FIELDS}
