"""What face-vid2vid sees in training: two frames of one clip, augmented alike, and labels where its teacher needs them."""

from dataclasses import dataclass

import numpy as np

from talkbench.data import augment
from talkbench.geometry.head import head
from talkbench.geometry.rotations import euler_from_landmarks


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
            frames = augment.colour_jitter(frames, rng, *self.colour)
        example = {"source": np.ascontiguousarray(frames[0]), "driving": np.ascontiguousarray(frames[1])}
        if not (self.landmarks or self.mouth or self.headpose):
            return example
        if view.landmarks is None:
            raise FeatureError(
                f"{view.clip_id}: no landmarks; put NAME.landmarks.npz beside the video, or pass "
                "--config.teacher.headpose=none --config.teacher.landmarks=[] --config.loss.mouth=0"
            )
        points = view.landmarks[chosen].astype(np.float32)
        pose = view.pose[chosen, :3] if view.pose is not None else euler_from_landmarks(points, head().landmarks)
        if mirrored:
            points = augment.flip_landmarks(points, size)
            pose = pose * (-1, 1, -1)
        flat = points[..., :2] * (2 / size) - 1
        if self.landmarks:
            example["landmarks"] = flat[:, list(self.landmarks)]
        if self.mouth:
            mouth = flat[1, 48:68]
            half = np.ptp(mouth[:, 0]) / 2
            example["mouth"] = np.array([*mouth.mean(0), max(half, 0.05)], np.float32)
        if self.headpose:
            # Labels count pitch and roll in a frame with y up, the method's algebra in one with y down.
            example["headpose"] = (pose * (1, -1, -1)).astype(np.float32)
        return example
