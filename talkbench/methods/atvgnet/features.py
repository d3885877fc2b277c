"""What ATVGnet's stages see of a clip in training; numpy and OpenCV only, runs in loader workers."""

from dataclasses import dataclass

import numpy as np

from talkbench.data.clip import SAMPLES_PER_FRAME
from talkbench.geometry.alignment import similarity, transform
from talkbench.geometry.topology import T_SHAPE
from talkbench.methods.atvgnet import audio, crop, shapes
from talkbench.methods.atvgnet.shapes import Shapes


class FeatureError(ValueError):
    """A clip that is too short or has no landmarks; names the clip and the remedy."""


def _landmarks(view, least: int) -> np.ndarray:
    if view.landmarks is None:
        raise FeatureError(f"{view.clip_id}: no landmarks; put NAME.landmarks.npz beside the video")
    if view.num_frames < least:
        raise FeatureError(
            f"{view.clip_id}: {view.num_frames} frames, {least} are needed; leave the clip out, or lower config.model.frames"
        )
    return view.landmarks


def held_still(landmarks: np.ndarray) -> np.ndarray:
    """Landmarks (T, 68, 3) moved rigidly, so that every head stands as in frame 0: what is left is the face's own motion."""
    landmarks = np.asarray(landmarks, np.float64)
    fit = similarity(landmarks[:, T_SHAPE], landmarks[0, T_SHAPE])
    return transform(landmarks, *fit)


@dataclass(frozen=True)
class Speech:
    """`features(view, rng)` of the stage `atnet`: `example` (codes,), `audio` (T, 28, 12), `codes` (T, codes).

    The example is a random frame r, the targets are the `frames` after it. r leaves room for whole audio windows, as the
    published loader does; nothing is padded.

    Attributes:
        normalisation: see `shapes.normalise`; the example is the reference frame.
        still: targets are landmarks `held_still` in the example's head pose.
    """

    table: Shapes
    codes: int
    frames: int = 16
    normalisation: str = "plain"
    still: bool = False

    def __call__(self, view, rng: np.random.Generator) -> dict:
        # r - 2 and r + frames + 3 are the outermost video frames that a window reaches; the last MFCC frame of a clip lacks.
        room = self.frames + audio.AFTER + 2
        landmarks = _landmarks(view, audio.BEFORE + room + 1)
        r = int(rng.integers(audio.BEFORE, view.num_frames - room))
        landmarks = landmarks[r : r + self.frames + 1]
        points = crop.points_of(held_still(landmarks) if self.still else landmarks)
        network = shapes.normalise(points, self.table, self.normalisation)
        codes = shapes.encode(network, self.table, self.codes)
        # One MFCC hop earlier than needed, and dropped: pre-emphasis looks one sample back.
        start = (r + 1 - audio.BEFORE) * SAMPLES_PER_FRAME - audio.HOP
        stop = (r + self.frames + audio.AFTER + 2) * SAMPLES_PER_FRAME
        cepstra = audio.features(view.samples(start, stop))[1:]
        heard = audio.windows(cepstra, np.arange(self.frames) + audio.BEFORE)
        return {"example": codes[0], "audio": heard, "codes": codes[1:]}


@dataclass(frozen=True)
class Footage:
    """`features(view, rng)` of the stage `vgnet`: aligned crops and network landmarks.

    `image` uint8 (S, S, 3) and `example` (136,) of a random frame; `frames` uint8 (T, S, S, 3) and `landmarks` (T, 136) of
    `frames` frames in a row. Every frame is aligned by its own landmarks, as in the published data.

    Attributes:
        size: side of the crops, S.
        projected: landmarks go through that many PCA codes and back, as AT-net's do at inference; 0: as they are.
    """

    table: Shapes
    size: int
    frames: int = 16
    normalisation: str = "plain"
    projected: int = 0

    def __call__(self, view, rng: np.random.Generator) -> dict:
        landmarks = _landmarks(view, self.frames)
        start = int(rng.integers(view.num_frames - self.frames + 1))
        chosen = [int(rng.integers(view.num_frames)), *range(start, start + self.frames)]
        pictures, points = view.frames(chosen), crop.points_of(landmarks[chosen])
        network = shapes.normalise(points, self.table, self.normalisation)
        if self.projected:
            network = shapes.decode(shapes.encode(network, self.table, self.projected), self.table)
        crops = np.stack(
            [
                crop.warp(picture, crop.crop_matrix(p, self.table.base_68, self.size), (self.size, self.size))
                for picture, p in zip(pictures, points, strict=True)
            ]
        )
        return {"image": crops[0], "example": network[0], "frames": crops[1:], "landmarks": network[1:]}
