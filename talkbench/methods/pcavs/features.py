"""What PC-AVS sees in training; numpy only, picklable. Pictures are uint8, mel windows float32 in [0, 1]."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from talkbench.data.augment import colour_jitter, draw_jitter, flip_frames, flip_pose
from talkbench.methods.pcavs import augment, mel
from talkbench.methods.pcavs.frames import crop

SPREAD = 4  # see `Moments`


class FeatureError(ValueError):
    """A clip that cannot be used as the config asks for; names the clip and the switch."""


@dataclass(frozen=True)
class Pictures:
    """How frames are prepared.

    Attributes:
        crop: the published crop of aligned 224-px frames, before everything else.
        colour, shape, blur: parts of the augmentation of the non-identity encoder's frames (see `augment`).
    """

    crop: bool = True
    colour: str = "gain"
    shape: bool = True
    blur: bool = True

    def read(self, view, frames: np.ndarray) -> np.ndarray:
        """Frames of a clip, uint8 (n, H, W, 3)."""
        read = view.frames(list(frames))
        return crop(read) if self.crop else read

    def change(self, frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The same frames as the non-identity encoder sees them: one change for all."""
        drawn = augment.draw(rng, self.colour)
        frames = augment.recolour(frames, drawn.gain, drawn.channels, drawn.order)
        made = []
        for frame in frames:
            frame = augment.reshape(frame, drawn) if self.shape else frame
            made.append(augment.finish(frame, drawn, rng) if self.blur else frame)
        return np.stack(made)


@dataclass(frozen=True)
class Portrait:
    """Stage `identity`: one frame and the number of its person among the people of the set, in their sorted order."""

    pictures: Pictures
    people: int

    def __call__(self, view, rng: np.random.Generator) -> dict:
        index = rng.integers(0, view.num_frames, 1)
        return {
            "source": self.pictures.read(view, index)[0],
            "label": np.int32(person(view, self.people)),
        }


@dataclass(frozen=True)
class Speech:
    """Stage `sync`: `length` consecutive frames and their mel windows, and windows of other times of the same clip.

    Gives `seen` (L, H, W, 3), `heard` (L, 80, 20), `shifted` (negatives, L, 80, 20).
    """

    pictures: Pictures
    length: int
    negatives: int = 0
    apart: int = 3  # frames between a clip and its shifted negatives, at least

    def __call__(self, view, rng: np.random.Generator) -> dict:
        last = last_start(view, self.length)
        first = int(rng.integers(0, last + 1))
        frames = first + np.arange(self.length)
        example = {
            "seen": self.pictures.change(self.pictures.read(view, frames), rng),
            "heard": windows(view, frames),
        }
        if self.negatives:
            starts = np.arange(last + 1)
            starts = starts[np.abs(starts - first) >= self.apart]
            if not len(starts):
                raise FeatureError(
                    f"{view.clip_id}: {view.num_frames} frames are too few for shifted negatives; "
                    "pass --config.sync.negatives=0"
                )
            chosen = rng.choice(starts, self.negatives, replace=len(starts) < self.negatives)
            example["shifted"] = np.stack([windows(view, start + np.arange(self.length)) for start in chosen])
        return example


@dataclass(frozen=True)
class Moments:
    """Stage `sync` where moments of a clip are told apart, not clips: `length` frames of it, in order, and their mel windows.

    Gives `seen` (L, H, W, 3), `heard` (L, 80, 20) and, where asked for, `pose` (L, 6), see `pose_numbers`. The frames lie
    within `SPREAD` times as many.
    """

    pictures: Pictures
    length: int
    pose: bool = False

    def __call__(self, view, rng: np.random.Generator) -> dict:
        last_start(view, self.length)
        stretch = min(view.num_frames, SPREAD * self.length)
        first = int(rng.integers(0, view.num_frames - stretch + 1))
        chosen = np.sort(rng.choice(stretch, self.length, replace=False))
        frames = first + chosen
        pictures = self.pictures.read(view, frames)
        example = {
            "seen": self.pictures.change(pictures, rng),
            "heard": windows(view, first + np.arange(stretch))[chosen],
        }
        return example | ({"pose": labelled_pose(view, frames, pictures.shape[1])} if self.pose else {})


@dataclass(frozen=True)
class Reconstruction:
    """Stage `generator`: any frame as identity, another as target, the target again as pose, its mel window.

    Attributes:
        people: > 0: also `label`, the person's number (see `Portrait`).
        flip: mirror both frames, in half of the examples.
        jitter: brightness, contrast, saturation, hue of both frames, as `data.augment.draw_jitter` takes them.
        mouth: also `mouth`: the target's mouth centre and half width, in [-1, 1].
        pose: also `pose` (6,): the target's head pose as the pose code is told to say it (`pose_numbers`).
    """

    pictures: Pictures
    people: int = 0
    flip: bool = False
    jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    mouth: bool = False
    pose: bool = False

    def __call__(self, view, rng: np.random.Generator) -> dict:
        chosen = rng.integers(0, view.num_frames, 2)
        frames = self.pictures.read(view, chosen)
        mirrored = self.flip and rng.random() < 0.5
        if mirrored:
            frames = flip_frames(frames)
        if any(self.jitter):
            frames = colour_jitter(frames, draw_jitter(rng, *self.jitter))
        source, target = frames
        example = {
            "source": source,
            "target": target,
            "posing": self.pictures.change(target[None], rng)[0],
            "heard": windows(view, chosen[1:])[0],
        }
        if self.people:
            example["label"] = np.int32(person(view, self.people))
        size = target.shape[0]
        if self.mouth:
            if view.landmarks is None:
                raise FeatureError(
                    f"{view.clip_id}: no landmarks; put NAME.landmarks.npz beside the video, or pass "
                    "--config.loss.mouth=0"
                )
            mouth = view.landmarks[chosen[1], 48:68, :2] * (2 / size) - 1
            (x, y), half = mouth.mean(0), np.ptp(mouth[:, 0]) / 2
            example["mouth"] = np.array([-x if mirrored else x, y, max(half, 0.05)], np.float32)
        if self.pose:
            example["pose"] = labelled_pose(view, chosen[1], size, mirrored)
        return example


def labelled_pose(view, frames, size: int, mirrored: bool = False) -> np.ndarray:
    """`pose_numbers` of a clip's frames (or of one of them), pictures of `size`, perhaps mirrored.

    Raises:
        FeatureError: the clip has no such labels.
    """
    if view.pose is None:
        raise FeatureError(
            f"{view.clip_id}: no head pose; pass --config.loss.pose_code=0 --config.model.frozen=\"['to_mouth']\""
        )
    pose = view.pose[frames]
    return pose_numbers(flip_pose(pose) if mirrored else pose, size)


def pose_numbers(pose: np.ndarray, size: int) -> np.ndarray:
    """Labels (..., 6) yaw, pitch, roll in degrees, tx, ty in pixels, scale -> numbers of order 1; all 0: frontal, centred.

    Angles / 15, shifts * 32 / size, 10 log(scale).
    """
    pose = np.asarray(pose, np.float32)
    parts = [pose[..., :3] / 15, pose[..., 3:5] * (32 / size), 10 * np.log(pose[..., 5:])]
    return np.concatenate(parts, -1).astype(np.float32)


def last_start(view, length: int) -> int:
    """Where the last stretch of `length` frames of a clip begins; FeatureError where there is none."""
    if view.num_frames < length:
        raise FeatureError(
            f"{view.clip_id}: {view.num_frames} frames, the sync stage needs {length}; leave the clip out or "
            f"pass --config.sync.length={view.num_frames}"
        )
    return view.num_frames - length


def windows(view, frames: np.ndarray) -> np.ndarray:
    """Mel windows (n, 80, 20) of consecutive frames of a clip."""
    return mel.windows_of_frames(view.samples, frames, mel.loudness(view.audio()))


def person(view, people: int) -> int:
    """The number of a clip's person among all of its set, by name.

    Raises:
        FeatureError: there are more than `people`.
    """
    numbers = _people(view.source) if hasattr(view.source, "clip_ids") else {view.identity: 0}
    if len(numbers) > people:
        raise FeatureError(
            f"{len(numbers)} people, and the identity encoder tells {people} apart; "
            f"pass --config.model.identity.num_classes={len(numbers)}"
        )
    return numbers[view.identity]


@lru_cache(maxsize=2)
def _people(store) -> dict[str, int]:
    """{name: number} of a store's people."""
    names = sorted({store.identity(clip_id) for clip_id in store.clip_ids})
    return {name: number for number, name in enumerate(names)}
