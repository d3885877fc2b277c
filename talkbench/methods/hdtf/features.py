"""What HDTF's stages see of a clip in training; numpy only, runs in loader workers."""

from dataclasses import dataclass

import numpy as np

from talkbench.data import augment
from talkbench.methods.hdtf import mesh, sound
from talkbench.methods.hdtf.host_flow import approximate_flow


class FeatureError(ValueError):
    """A clip without the labels that a stage needs; names the clip and the remedy."""


def motion_of(view, frames: np.ndarray, size: int) -> mesh.Motion:
    """The labelled motion of some frames of a clip.

    Raises:
        FeatureError: the clip has no mesh coefficients, angles or landmarks.
    """
    labels = {"shape": view.shape, "expression": view.expression, "pose": view.pose}
    labels["landmarks"] = view.landmarks
    absent = [name for name, value in labels.items() if value is None]
    if absent:
        raise FeatureError(
            f"{view.clip_id}: no {', '.join(absent)}; HDTF learns from clips with landmarks and mesh coefficients: "
            "`python -m talkbench.methods.hdtf.fit` makes these of landmarks"
        )
    return mesh.from_labels(
        view.shape, view.expression[frames], view.pose[frames, :3], view.landmarks[frames], size
    )


@dataclass(frozen=True)
class Pair:
    """`features(view, rng)` of the stage `video`: `source`, `driving` uint8 (S, S, 3) and `flow` F_app float32 (S, S, 2).

    Two frames of one clip, drawn independently (the paper doesn't say how).

    Attributes:
        flip: mirror both with probability 1/2.
        colour: widths of a colour jitter that both share, see `data.augment.draw_jitter`.
        jitter: deviation of a common shift of both meshes, in shares of the side: fitted meshes lie a little off.
        mouth: give the driving frame's `mouth`: centre x, y and half width in [-1, 1].
        seen_only: driving vertices that face away move no pixels.
    """

    flip: bool = True
    colour: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    jitter: float = 0.0
    mouth: bool = False
    seen_only: bool = False

    def __call__(self, view, rng: np.random.Generator) -> dict:
        chosen = rng.integers(0, view.num_frames, 2)
        frames = view.frames(list(chosen))
        size = frames.shape[1]
        source, driving = mesh.points(motion_of(view, chosen, size), size) + size * self.jitter * rng.normal(
            size=2
        )
        hidden = mesh.hidden(driving[None])[0] if self.seen_only else None
        flow = approximate_flow(source, driving, size, hidden)[0].astype(np.float32)
        mirrored = self.flip and rng.random() < 0.5
        if mirrored:
            frames, flow = frames[:, :, ::-1], mesh.mirrored_flow(flow)
        if any(self.colour):
            frames = augment.colour_jitter(
                np.ascontiguousarray(frames), augment.draw_jitter(rng, *self.colour)
            )
        example = {"source": np.ascontiguousarray(frames[0]), "driving": np.ascontiguousarray(frames[1])}
        example["flow"] = flow
        if self.mouth:
            mouth = view.landmarks[chosen[1], 48:68, :2] * (2 / size) - 1
            mouth = mouth * (-1, 1) if mirrored else mouth
            half = max(np.ptp(mouth[:, 0]) / 2, 0.05)
            example["mouth"] = np.array([*mouth.mean(0), half], np.float32)
        return example


@dataclass(frozen=True)
class Speech:
    """`features(view, rng)` of the stage `animation`: a stretch of sound and what the face did, at 100 frames/s.

    `audio` (n, 15), `mouth` (n, 28), `eyebrow` (n, 5), `head` (n, 5); `image` uint8 (S, S, 3) and `landmarks` (68, 2) of a
    random frame of the clip, whose face gives the style.

    Attributes:
        frames: n, a multiple of 4.
        head_scale: what the head's numbers are divided by; its place counts from the clip's mean place.
    """

    frames: int
    head_scale: tuple[float, ...]

    def __call__(self, view, rng: np.random.Generator) -> dict:
        length = self.frames // sound.PER_FRAME
        if view.num_frames < length:
            raise FeatureError(
                f"{view.clip_id}: {view.num_frames} frames, {length} are needed; leave the clip out, or lower "
                "config.model.frames (4 for each video frame)"
            )
        reference = int(rng.integers(view.num_frames))
        picture = view.frame(reference)
        motion = motion_of(view, np.arange(view.num_frames), len(picture))
        head = motion.head - np.append(np.zeros(3), motion.head[:, 3:].mean(0))
        curves = np.concatenate([motion.expression, head / np.asarray(self.head_scale)], 1)
        start = sound.PER_FRAME * int(rng.integers(view.num_frames - length + 1))
        cut = slice(start, start + self.frames)
        curves = sound.to_feature_rate(curves)[cut]
        return {
            "audio": sound.features(view.audio())[cut],
            "mouth": curves[:, list(mesh.MOUTH)],
            "eyebrow": curves[:, list(mesh.EYEBROWS)],
            "head": curves[:, mesh.EXPRESSIONS :],
            "image": picture,
            "landmarks": view.landmarks[reference, :, :2].astype(np.float32),
        }
