"""`synth-landmarks`: the builtin landmark judge, trained on the synthetic benchmark by the project's own command.

It finds the 68 points in a picture of the benchmark: first all of them from the whole picture, then the mouth's twenty
once more from a window around the mouth that it found. It is never called FAN, and its error is stated with it.
"""

import hashlib
from collections import OrderedDict
from functools import partial

import cv2
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from talkbench.batches import in_batches
from talkbench.geometry.head import mean_face
from talkbench.geometry.topology import MIRROR, MOUTH
from talkbench.metrics import landmark
from talkbench.nn.blocks import pyramid
from talkbench.nn.conv import Conv, Linear
from talkbench.stage import Stage

NAME, POSE_NAME = "synth-landmarks", "synth-pose"
SIZE = 64  # pictures of other sizes are resampled to it
REMEMBERED = 4  # clips whose landmarks a judge keeps
WINDOW = 24  # side of the mouth's window in pixels of the 64-px picture, sampled at 2 samples a pixel


class _Features(nn.Module):
    """A pyramid of blocks, each after a halving -> their outputs, finest first."""

    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, x, train=False):
        return pyramid(x, self.widths, train)


class _Trunk(nn.Module):
    """The pyramid, then two dense layers."""

    widths: tuple[int, ...]
    dense: int
    outputs: int

    @nn.compact
    def __call__(self, x, train):
        x = pyramid(x, self.widths, train)[-1]
        x = Conv(self.widths[-1] // 2, (1, 1), name="squeeze")(x).reshape(len(x), -1)
        x = nn.relu(Linear(self.dense, name="dense")(x))
        return Linear(self.outputs, name="points")(x)


class LandmarkNet(nn.Module):
    """Picture (B, 64, 64, 3) in [0, 1] -> landmarks (B, 68, 2) in pixels of the 64-px picture, centres at +0.5.

    Returns them and the first, coarse estimate of all of them.
    """

    widths: tuple[int, ...] = (32, 64, 96)
    mouth_widths: tuple[int, ...] = (32, 64, 96)
    dense: int = 192

    @nn.compact
    def __call__(self, image, train: bool = False):
        image = image - 0.5
        coarse = _Trunk(self.widths, self.dense, 136, name="face")(image, train)
        points = (coarse.reshape(-1, 68, 2) * 0.25 + 0.5) * SIZE
        # The window follows the coarse mouth; its position is no path for gradients.
        centre = jax.lax.stop_gradient(points[:, MOUTH].mean(1))
        window = _window(image, centre)
        fine = _Trunk(self.mouth_widths, self.dense, 40, name="mouth")(window, train)
        mouth = centre[:, None] + fine.reshape(-1, 20, 2) * (WINDOW / 4)
        both = jnp.concatenate([points[:, :48], mouth], 1)
        return both, points


def _window(image, centre):
    """(B, 48, 48, 3) samples around `centre` (B, 2) px, two a pixel, by separable linear weights (no gather)."""
    steps = (jnp.arange(2 * WINDOW) + 0.5) / 2 - WINDOW / 2
    pixels = jnp.arange(SIZE) + 0.5

    def weights(c):
        return jnp.maximum(0, 1 - jnp.abs((c[:, None] + steps)[:, :, None] - pixels))

    rows, columns = weights(centre[:, 1]), weights(centre[:, 0])
    return jnp.einsum("bip,bjq,bpqc->bijc", rows, columns, image)


def _augment(frame: np.ndarray, points: np.ndarray, rng: np.random.Generator):
    """A similarity, a flip, gain and tint, blur, noise: what generated pictures do to a face."""
    if rng.random() < 0.5:
        frame = frame[:, ::-1]
        points = points[MIRROR] * (-1, 1) + (SIZE, 0)
    angle, scale = rng.normal(0, 6), np.exp(rng.normal(0, 0.07))
    shift = rng.normal(0, 2.0, 2)
    turn = cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), angle, scale)
    turn[:, 2] += shift
    at_centres = turn.copy()  # OpenCV puts pixel centres at whole numbers
    at_centres[:, 2] += turn[:, :2] @ (0.5, 0.5) - 0.5
    image = cv2.warpAffine(
        np.ascontiguousarray(frame), at_centres, (SIZE, SIZE), borderMode=cv2.BORDER_REPLICATE
    )
    points = points @ turn[:, :2].T + turn[:, 2]
    image = image.astype(np.float32) / 255
    image = image * np.exp(rng.normal(0, 0.15)) * np.exp(rng.normal(0, 0.05, 3)) + rng.normal(0, 0.04)
    if rng.random() < 0.4:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 0.9))
    if rng.random() < 0.3:
        image = image + rng.normal(0, rng.uniform(0, 0.03), image.shape)
    return np.clip(image, 0, 1).astype(np.float32), points.astype(np.float32)


def features(view, rng: np.random.Generator) -> dict:
    """One augmented frame of a clip: `image` (64, 64, 3) in [0, 1], `points` (68, 2) px."""
    i = int(rng.integers(view.num_frames))
    frame = view.frame(i)
    points = view.landmarks[i, :, :2] * (SIZE / frame.shape[1])
    image, points = _augment(_resize(frame[None])[0], points, rng)
    return {"image": image, "points": points}


def _resize(frames: np.ndarray) -> np.ndarray:
    if frames.shape[1:3] == (SIZE, SIZE):
        return frames
    return np.stack([cv2.resize(f, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for f in frames])


def stage(config) -> Stage:
    """The judge as a stage of the trainer: mean distance over all points, over both mouths, and of the mouth's shape."""
    net = LandmarkNet(tuple(config.model.widths), tuple(config.model.mouth_widths), config.model.dense)

    def init(key, batch):
        variables = net.init(key, batch["image"], train=True)
        return {"params": {"net": variables["params"]}, "stats": {"net": variables["batch_stats"]}}, None

    def loss(params, stats, _, frozen, batch, rng):
        (points, coarse), new = net.apply(
            {"params": params["net"], "batch_stats": stats["net"]},
            batch["image"],
            train=True,
            mutable=["batch_stats"],
        )
        truth = batch["points"]

        def distance(a, b):
            return jnp.sqrt(jnp.square(a - b).sum(-1) + 1e-4).mean()

        def shape(x):
            return x[:, MOUTH] - x[:, MOUTH].mean(1, keepdims=True)

        terms = {
            "coarse": distance(coarse, truth),
            "face": distance(points[:, :48], truth[:, :48]),
            "mouth": distance(points[:, MOUTH], truth[:, MOUTH]),
            "mouth_shape": distance(shape(points), shape(truth)),
        }
        return terms, ({"net": new["batch_stats"]}, {})

    return Stage(NAME, features, init, loss, dict(config.loss))


class LandmarkJudge:
    """The trained judge: `landmarks(frames)`.

    Attributes:
        name: "synth-landmarks". hash: digest of its weights. meta: what its file says of it (held-out error).
    """

    name = NAME
    whole_pictures = True

    def __init__(self, tree: dict, meta: dict):
        model = meta["config"]["model"]
        net = LandmarkNet(tuple(model["widths"]), tuple(model["mouth_widths"]), model["dense"])
        self.hash, self.meta = meta["digest"], meta
        self._variables = {"params": tree["params"]["net"], "batch_stats": tree["stats"]["net"]}
        self._apply = jax.jit(lambda v, x: net.apply(v, x.astype(jnp.float32) / 255)[0])
        self._seen: OrderedDict[tuple, np.ndarray] = OrderedDict()

    def landmarks(self, frames: np.ndarray, batch: int = 50) -> np.ndarray:
        """uint8 (T, H, H, 3) -> float32 (T, 68, 2) pixels of the given size. Always finds a face: it knows no other.

        What it found in the last few clips is remembered: other judges find the face by it and ask for the same again.
        """
        key = hashlib.blake2b(np.ascontiguousarray(frames), digest_size=16).hexdigest(), frames.shape, batch
        if key not in self._seen:
            self._seen[key] = self._look(frames, batch)
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
        return self._seen[key].copy()

    def _look(self, frames, batch):
        small, scale = _resize(frames), frames.shape[1] / SIZE
        return in_batches(partial(self._apply, self._variables), batch, small) * scale


class PoseJudge:
    """Head pose from the points that a landmark judge finds: the mean head's T shape, fitted in weak perspective.

    Attributes:
        name: "synth-pose". hash: of the landmark judge.
    """

    name = POSE_NAME
    whole_pictures = True

    def __init__(self, judge: LandmarkJudge):
        self._judge, self.hash, self.meta = judge, judge.hash, judge.meta

    def pose(self, frames: np.ndarray) -> np.ndarray:
        """uint8 (T, H, H, 3) -> (T, 3) yaw, pitch, roll in degrees, signs as in `Clip.pose`. A face unlike the mean head looks
        turned by some degrees, the same ones in each of its frames.
        """
        pitch, yaw, roll = landmark.euler(landmark.rotations(self._judge.landmarks(frames), mean_face())).T
        return np.stack([yaw, -pitch, -roll], 1)  # pictures count y downwards


def held_out_error(judge: LandmarkJudge, clips) -> dict[str, float]:
    """The judge's error on clips with true landmarks, and what the `static` baseline has there.

    Returns:
        `error_px` (mean over 68 points), `error_eye` (share of the outer eye distance), `mouth_px` (mouth points, each
        frame's mouth mean removed), `static_mouth_px` (the same for the first frame's true points), `mouth_ratio`.
    """
    rows = []
    for clip in clips:
        truth, found = clip.landmarks[:, :, :2], judge.landmarks(clip.frames)
        eyes = np.linalg.norm(truth[:, 36] - truth[:, 45], axis=-1).mean()
        error = np.linalg.norm(found - truth, axis=-1).mean()
        centred = lambda p: p[:, MOUTH] - p[:, MOUTH].mean(1, keepdims=True)  # noqa: E731
        mouth = np.linalg.norm(centred(found) - centred(truth), axis=-1)[1:].mean()
        static = np.linalg.norm(centred(truth[:1]) - centred(truth), axis=-1)[1:].mean()
        rows.append((error, error / eyes, mouth, static))
    error, share, mouth, static = np.mean(rows, 0)
    return {
        "error_px": float(error), "error_eye": float(share), "mouth_px": float(mouth),
        "static_mouth_px": float(static), "mouth_ratio": float(mouth / static), "clips": len(rows),
    }  # fmt: skip


def trunk(widths):
    """The face trunk's feature maps as a perceptual teacher.

    Returns:
        `features(variables, images (B, H, W, 3) in [0, 1]) -> list of maps`, at 1/2, 1/4, 1/8 of the size.
    """
    net = _Features(tuple(widths))
    return lambda variables, images: net.apply(variables, images - 0.5)


def trunk_variables(tree: dict) -> dict:
    """Of a trained judge's `{"params", "stats"}`, what `trunk` needs."""
    keep = lambda side: {k: v for k, v in side["net"]["face"].items() if k == "stem" or k.startswith("block")}  # noqa: E731
    return {"params": keep(tree["params"]), "batch_stats": keep(tree["stats"])}
