"""First pass over a file: its sound, cuts, faces and stills, holding one picture at a time."""

from dataclasses import dataclass, field

import cv2
import numpy as np

from talkbench.data.clip import SAMPLES_PER_FRAME
from talkbench.data.landmark_file import LandmarkFileError, fill, read_landmarks
from talkbench.data.media import MediaInfo, VideoReader, read_audio
from talkbench.data.prepare import faces
from talkbench.data.prepare.checks import grey_edge
from talkbench.data.prepare.segments import Dropped
from talkbench.data.prepare.settings import Settings
from talkbench.data.prepare.units import Unit

_SMALL = (64, 36)
_BLOCK = 16  # frames that a landmark back end is given at a time


@dataclass
class Survey:
    """What the first pass found; N frames at 25 frames/s.

    Attributes:
        info: of the file. audio: float32 (640 N,). has_audio: whether any came with it.
        change: (N,) mean absolute HSV difference to the frame before (0 for the first).
        equal: bool (N,), whether the frame equals the one before.
        found: boxes (n, 4) of the faces, largest first, of each frame that was looked at.
        least: share of looked-at frames in which a face must be (the back end's).
        points: (N, 68, 3) in source pixels, or None. detected: bool (N,) with them. maker: what made them or the boxes.
        grey: largest number of grey rows or columns at an edge.
    """

    info: MediaInfo
    audio: np.ndarray
    has_audio: bool
    change: np.ndarray
    equal: np.ndarray
    least: float
    maker: str
    found: dict[int, np.ndarray] = field(default_factory=dict)
    points: np.ndarray | None = None
    detected: np.ndarray | None = None
    grey: int = 0

    @property
    def frames(self) -> int:
        return len(self.change)

    def covered(self, first: int, end: int) -> int:
        """Samples between two frames that the source has sound for."""
        begin = max(first * SAMPLES_PER_FRAME, self.info.audio_pad_head)
        stop = min(end * SAMPLES_PER_FRAME, len(self.audio) - self.info.audio_pad_tail)
        return max(stop - begin, 0)


def survey(unit: Unit, settings: Settings, backend=None) -> Survey:
    """Reads a file once.

    Args:
        backend: a landmark back end (see `faces`), or None: landmark file if there is one, else the frontal cascade.

    Raises:
        MediaError: the file is at fault. Dropped: no_audio, bad_landmarks.
    """
    from_file = backend is None and unit.landmarks is not None and settings.landmarks != "cascade"
    if settings.landmarks == "files" and not from_file:
        raise Dropped("bad_landmarks", "no NAME.landmarks.npz beside it, and --landmarks files asks for it")
    changes, equals, found = [], [], {}
    points: list[np.ndarray] = []
    block: list[np.ndarray] = []
    before = small_before = None
    grey = 0
    if hasattr(backend, "begin"):  # one that follows faces from frame to frame
        backend.begin()
    with VideoReader(unit.path) as reader:
        for number, frame in enumerate(reader):
            small = cv2.resize(frame, _SMALL, interpolation=cv2.INTER_AREA)
            hsv = cv2.cvtColor(small, cv2.COLOR_RGB2HSV).astype(np.int16)
            changes.append(0.0 if before is None else float(np.abs(hsv - before).mean()))
            equals.append(small_before is not None and np.array_equal(small, small_before))
            before, small_before = hsv, small
            if number % settings.face_every == 0:
                grey = max(grey, grey_edge(frame))
                if backend is None and not from_file:
                    found[number] = faces.detect(frame)
            if backend is not None:
                block.append(frame)
                if len(block) == _BLOCK:
                    points.append(np.asarray(backend.landmarks(np.stack(block)), np.float32))
                    block = []
        if block:
            points.append(np.asarray(backend.landmarks(np.stack(block)), np.float32))
        info, audio = reader.info, reader.audio
    has_audio = info.audio_codec is not None
    if not has_audio and unit.audio is not None:
        audio = _sound_of(unit, info, len(audio))
        has_audio = True
    if not has_audio and not settings.allow_silent:
        raise Dropped("no_audio", "the file has no sound; --allow-silent keeps such clips")
    seen = Survey(
        info, audio, has_audio, np.array(changes), np.array(equals), settings.least_cascade_faces, "cascade",
        found, grey=grey,
    )  # fmt: skip
    if points:
        every = np.concatenate(points)
        _take_points(seen, every, np.isfinite(every).all((1, 2)), backend.name)
    elif from_file:
        try:
            every, there, maker = read_landmarks(unit.landmarks, len(changes))
        except LandmarkFileError as error:
            raise Dropped("bad_landmarks", str(error)) from error
        _take_points(seen, every, there, maker)
    if seen.points is not None:
        seen.least = settings.least_faces
    return seen


def _take_points(seen: Survey, points: np.ndarray, there: np.ndarray, maker: str) -> None:
    seen.maker = maker
    seen.found = {
        n: box[None] if there[n] else np.zeros((0, 4), np.float32)
        for n, box in enumerate(faces.boxes_of(points))
    }
    if there.any():
        flat = points.shape[-1] == 2
        full = np.pad(points, ((0, 0), (0, 0), (0, 1))) if flat else points
        seen.points, seen.detected = fill(full.astype(np.float32), there), there


def _sound_of(unit: Unit, info: MediaInfo, samples: int) -> np.ndarray:
    """The sound file's samples as if they were the video's: both begin together."""
    sound = read_audio(unit.audio)[:samples]
    info.audio_codec = f"file:{unit.audio.suffix[1:]}"
    info.audio_pad_head, info.audio_pad_tail = 0, samples - len(sound)
    info.flags = [flag for flag in info.flags if flag != "no_audio"]
    return np.pad(sound, (0, samples - len(sound)))
