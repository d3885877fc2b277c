"""ClipView: lazy reading of one clip, what a stage's `features(view, rng)` sees."""

from collections.abc import Sequence

import numpy as np

from talkbench.data.clip import SAMPLES_PER_FRAME, Clip

INT16_PEAK = 32767


class ClipView:
    """One clip of which only what is asked for is read.

    Attributes:
        clip_id, identity, split: as in `Clip`.
        num_frames: length in frames at 25 frames/s.
        source: what the view reads from (a `Store`, or the `Clip` behind it): a way to a clip's siblings.
    """

    def __init__(self, clip_id: str, identity: str, split: str, num_frames: int, source):
        self.clip_id = clip_id
        self.identity = identity
        self.split = split
        self.num_frames = num_frames
        self.source = source

    def __repr__(self) -> str:
        return f"ClipView({self.clip_id!r}, identity={self.identity!r}, frames={self.num_frames})"

    def _read_frames(self, indices: list[int]) -> np.ndarray:
        return self.source.read_frames(self.clip_id, indices)

    def _record(self) -> dict:
        return self.source.read_record(self.clip_id)

    def frame(self, index: int) -> np.ndarray:
        """uint8 (H, W, 3) RGB."""
        return self.frames((index,))[0]

    def frames(self, indices: Sequence[int] | slice | None = None) -> np.ndarray:
        """uint8 (n, H, W, 3) RGB of the frames named by `indices` (any order, repeats allowed; None: all).

        Raises IndexError for an index outside 0..num_frames-1.
        """
        if indices is None:
            indices = range(self.num_frames)
        elif isinstance(indices, slice):
            indices = range(*indices.indices(self.num_frames))
        wanted = [int(index) for index in indices]
        if any(not 0 <= index < self.num_frames for index in wanted):
            raise IndexError(f"{self.clip_id}: frames {wanted} of a clip of {self.num_frames} frames")
        return self._read_frames(wanted)

    def audio(self, start_frame: int = 0, stop_frame: int | None = None) -> np.ndarray:
        """float32 (640 (stop_frame - start_frame),) in [-1, 1]; zeros outside the clip."""
        stop_frame = self.num_frames if stop_frame is None else stop_frame
        return self.samples(start_frame * SAMPLES_PER_FRAME, stop_frame * SAMPLES_PER_FRAME)

    def samples(self, start: int, stop: int) -> np.ndarray:
        """float32 (stop - start,): like `audio`, in samples of 1/16000 s (both may lie outside the clip)."""
        stored = self._record()["audio"]
        out = np.zeros(max(stop - start, 0), np.float32)
        low, high = max(start, 0), min(stop, len(stored))
        if low < high:
            out[low - start : high - start] = decode_audio(stored[low:high])
        return out

    @property
    def landmarks(self) -> np.ndarray | None:
        """float32 (T, 68, 3), or None."""
        return self._record()["landmarks"]

    @property
    def landmark_source(self) -> str | None:
        return self._record()["landmark_source"]

    @property
    def pose(self) -> np.ndarray | None:
        """float32 (T, 6), or None."""
        return self._record()["pose"]

    @property
    def shape(self) -> np.ndarray | None:
        """float32 (60,), or None."""
        return self._record()["shape"]

    @property
    def expression(self) -> np.ndarray | None:
        """float32 (T, 33), or None."""
        return self._record()["expression"]

    @property
    def labels(self) -> dict[str, np.ndarray]:
        return self._record()["labels"]


class _ClipReader:
    """Reads a whole `Clip` the way a store reads its records."""

    def __init__(self, clip: Clip):
        self._clip = clip

    def view(self, clip_id: str) -> ClipView:
        if clip_id != self._clip.clip_id:
            raise KeyError(clip_id)
        return view_of(self._clip)

    def read_frames(self, clip_id: str, indices: list[int]) -> np.ndarray:
        return self._clip.frames[indices]

    def read_record(self, clip_id: str) -> dict:
        return clip_record(self._clip)


def clip_record(clip: Clip) -> dict:
    """Everything of a clip except its frames, as `ClipView` reads it."""
    names = ("audio", "landmarks", "landmark_source", "pose", "shape", "expression", "labels")
    return {name: getattr(clip, name) for name in names}


def view_of(clip: Clip) -> ClipView:
    """A view of a clip that is already in memory."""
    return ClipView(clip.clip_id, clip.identity, clip.split, clip.num_frames, _ClipReader(clip))


def encode_audio(audio: np.ndarray) -> np.ndarray:
    """float32 in [-1, 1] -> int16 (what lies outside is clipped); exact to half of 1/32767."""
    return np.rint(np.clip(audio, -1.0, 1.0) * INT16_PEAK).astype("<i2")


def decode_audio(stored: np.ndarray) -> np.ndarray:
    """The inverse of `encode_audio`; float32 passes through as a copy."""
    if stored.dtype == np.float32:
        return stored.copy()
    return stored.astype(np.float32) / np.float32(INT16_PEAK)
