"""What face-vid2vid sees in training: two frames of one clip, augmented alike, and labels where its teacher needs them."""

from dataclasses import dataclass

import numpy as np

from talkbench.data import augment
from talkbench.geometry.alignment import kabsch
from talkbench.geometry.head import head
from talkbench.geometry.rotations import head_rotation, hopenet_angles

# The method's algebra has y down and x to the right, as pictures have; labels and head mesh have y up.
_Y_DOWN = np.diag([1.0, -1.0, 1.0])
_MIRROR = np.diag([-1.0, 1.0, 1.0])


def head_rotations(view, frames: np.ndarray) -> np.ndarray:
    """Head rotations (n, 3, 3) at `frames`, in picture axes (y down): from the pose labels, else fitted to landmarks."""
    if view.pose is not None:
        return _Y_DOWN @ head_rotation(view.pose[frames, :3]) @ _Y_DOWN
    mesh = head()
    rest = mesh.vertices[mesh.landmarks68].astype(np.float64) @ _Y_DOWN
    return kabsch(rest, view.landmarks[frames])


class FeatureError(ValueError):
    """A clip without the labels that the config asks for; names the clip and the switch."""


@dataclass(frozen=True)
class Pair:
    """`features(view, rng)` of the stage: source and driving frame, uint8; picklable, numpy only.

    Two frame indices with replacement, sorted (source = earlier); with probability 1/2 the two change places, else
    with probability 1/2 both are mirrored; then one colour jitter for both (published order and ranges).

    Attributes:
        landmarks: (n,) landmark indices whose positions are given as `landmarks` (2, n, 2) in [-1, 1], source first.
        mouth: give the driving frame's `mouth` centre (2,) and half width, in [-1, 1].
        headpose: give `headpose` (2, 3): yaw, pitch, roll in degrees in the method's convention.
    """

    landmarks: tuple[int, ...] = ()
    mouth: bool = False
    headpose: bool = False
    flip: bool = True
    time_flip: bool = True
    colour: tuple[float, float, float, float] = (0.1, 0.1, 0.1, 0.1)

    def __call__(self, view, rng: np.random.Generator) -> dict:
        chosen = np.sort(rng.integers(0, view.num_frames, 2))
        mirrored = False
        if self.time_flip and rng.random() < 0.5:
            chosen = chosen[::-1]
        elif self.flip and rng.random() < 0.5:
            mirrored = True
        frames = view.frames(list(chosen))
        size = frames.shape[1]
        if mirrored:
            frames = frames[:, :, ::-1]
        if any(self.colour):
            frames = augment.colour_jitter(frames, augment.draw_jitter(rng, *self.colour))
        example = {"source": np.ascontiguousarray(frames[0]), "driving": np.ascontiguousarray(frames[1])}
        if not (self.landmarks or self.mouth or self.headpose):
            return example
        if view.landmarks is None:
            raise FeatureError(
                f"{view.clip_id}: no landmarks; put NAME.landmarks.npz beside the video, or pass "
                "--config.teacher.headpose=none --config.teacher.landmarks=[] --config.loss.mouth=0"
            )
        points = view.landmarks[chosen].astype(np.float32)
        if mirrored:
            points = augment.flip_landmarks(points, size)
        flat = points[..., :2] * (2 / size) - 1
        if self.landmarks:
            example["landmarks"] = flat[:, list(self.landmarks)]
        if self.mouth:
            mouth = flat[1, 48:68]
            half = np.ptp(mouth[:, 0]) / 2
            example["mouth"] = np.array([*mouth.mean(0), max(half, 0.05)], np.float32)
        if self.headpose:
            turns = head_rotations(view, chosen)
            turns = _MIRROR @ turns @ _MIRROR if mirrored else turns
            example["headpose"] = hopenet_angles(turns).astype(np.float32)
        return example
