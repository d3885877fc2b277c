"""`synth-identity`, `synth-features` and `synth-lpips`: one small network, trained to tell the speakers of the synthetic
benchmark apart by the project's own command.

The first gives an embedding of the aligned face, for CSIM and AED; the second the network's last maps over the whole
picture, averaged, for FID and KID; the third compares all its maps of two pictures, for LPIPS. They are never called
ArcFace, Inception or LPIPS's VGG, and their figures are comparable only with each other.
"""

from functools import partial

import cv2
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from talkbench.batches import in_batches
from talkbench.evaluators import face_crop, lpips
from talkbench.geometry.topology import T_SHAPE
from talkbench.metrics import frechet
from talkbench.metrics.embedding import normalised
from talkbench.nn.blocks import pyramid
from talkbench.nn.conv import Conv, Linear
from talkbench.stage import Stage

NAME, FEATURES_NAME, PERCEPTUAL_NAME = "synth-identity", "synth-features", "synth-lpips"
SIZE = 64  # of the whole pictures that `synth-features` and `synth-lpips` look at; others are resampled to it
CROP = 32  # side in pixels of the picture of the face
EYES, CENTRE = 18.0, (0.0, 0.13)  # of `face_crop.crop`: from the brows to the chin, ear to ear


class IdentityNet(nn.Module):
    """Picture of a face (B, 32, 32, 3) in [0, 1] -> embedding (B, 64) of length 1; of pictures of any size `features`, the
    last maps averaged, or all `maps`, finest first.
    """

    widths: tuple[int, ...] = (16, 32, 64)
    outputs: int = 64

    @nn.compact
    def __call__(self, image, train: bool = False, features: bool = False, maps: bool = False):
        levels = pyramid(image - 0.5, self.widths, train)
        if maps:
            return levels
        x = levels[-1]
        if features:
            return x.mean((1, 2))
        x = Conv(self.widths[-1] // 4, (1, 1), name="squeeze")(x).reshape(len(x), -1)
        x = Linear(self.outputs, name="embedding")(x)
        return x * jax.lax.rsqrt(jnp.square(x).sum(-1, keepdims=True) + 1e-8)


def features(view, rng: np.random.Generator) -> dict:
    """An aligned face of a clip: `image` (32, 32, 3) in [0, 1], `speaker` its number.

    Raises:
        ValueError: the clips are not the synthetic set's, whose identities are numbers.
    """
    if not (view.identity.startswith("s") and view.identity[1:].isdecimal()):
        raise ValueError(f"identity {view.identity!r}: this judge is trained with --data synthetic only")
    i = int(rng.integers(view.num_frames))
    points = face_crop.jitter(view.landmarks[i : i + 1, :, :2], rng, clip=0.04, frame=0.012)
    image = face_crop.tinted(face_crop.crop(view.frame(i)[None], points, CROP, EYES, CENTRE), rng)[0]
    if rng.random() < 0.5:
        image = image[:, ::-1]
    return {"image": np.ascontiguousarray(image), "speaker": np.int32(view.identity[1:])}


def stage(config) -> Stage:
    """The judge as a stage of the trainer: which speaker, by the cosine with a vector of each, less a margin for the right
    one (CosFace, Wang et al. 2018).
    """
    model = config.model
    net = IdentityNet(tuple(model.widths), model.outputs)

    def init(key, batch):
        variables = net.init(key, batch["image"], train=True)
        vectors = jax.random.normal(jax.random.fold_in(key, 1), (model.speakers, model.outputs))
        params = {"net": variables["params"], "speakers": {"vectors": vectors}}
        return {"params": params, "stats": {"net": variables["batch_stats"]}}, None

    def loss(params, stats, _, frozen, batch, rng):
        variables = {"params": params["net"], "batch_stats": stats["net"]}
        embedding, new = net.apply(variables, batch["image"], train=True, mutable=["batch_stats"])
        vectors = params["speakers"]["vectors"]
        cosine = embedding @ (vectors / jnp.linalg.norm(vectors, axis=1, keepdims=True)).T
        right = jax.nn.one_hot(batch["speaker"], model.speakers)
        logits = model.scale * (cosine - model.margin * right)
        terms = {
            "speaker": -(jax.nn.log_softmax(logits) * right).sum(1).mean(),
            "named": (cosine.argmax(1) == batch["speaker"]).mean(),
        }
        return terms, ({"net": new["batch_stats"]}, {})

    return Stage(NAME, features, init, loss, dict(config.loss))


def exported(side: dict) -> dict:
    """Of the trained `{"params", "stats"}` what the judge needs: not the vectors of the training speakers."""
    return {part: {"net": networks["net"]} for part, networks in side.items()}


class _Judge:
    def __init__(self, tree: dict, meta: dict):
        model = meta["config"]["model"]
        self._net = IdentityNet(tuple(model["widths"]), model["outputs"])
        self.hash, self.meta = meta["digest"], meta
        self._variables = {"params": tree["params"]["net"], "batch_stats": tree["stats"]["net"]}

    def _rows(self, pictures: np.ndarray, batch: int) -> np.ndarray:
        return in_batches(partial(self._apply, self._variables), batch, pictures)


class IdentityJudge(_Judge):
    """The trained judge: `embed(frames)`.

    Attributes:
        name: "synth-identity". hash: digests of its weights and of the landmark judge's, by which it finds the face.
        meta: what its file says of it (held-out figures).
    """

    name = NAME
    whole_pictures = True

    def __init__(self, tree: dict, meta: dict, landmarks):
        super().__init__(tree, meta)
        self.hash = f"{self.hash}-{landmarks.hash}"
        self._landmarks = landmarks
        self._apply = jax.jit(lambda v, x: self._net.apply(v, x.astype(jnp.float32) / 255))

    def embed(self, frames: np.ndarray, batch: int = 50) -> np.ndarray:
        """uint8 (T, H, H, 3) -> float32 (T, 64) of length 1."""
        points = self._landmarks.landmarks(frames)[:, T_SHAPE]
        return self._rows(face_crop.crop(frames, points, CROP, EYES, CENTRE), batch)


class FeatureJudge(_Judge):
    """The same network over whole pictures: `features(frames)`.

    Attributes:
        name: "synth-features". hash: digest of its weights. meta: as `IdentityJudge`.
    """

    name = FEATURES_NAME
    whole_pictures = True

    def __init__(self, tree: dict, meta: dict):
        super().__init__(tree, meta)
        self._apply = jax.jit(lambda v, x: self._net.apply(v, x.astype(jnp.float32) / 255, features=True))

    def features(self, frames: np.ndarray, batch: int = 50) -> np.ndarray:
        """uint8 (T, H, H, 3) -> float32 (T, 64), every one >= 0."""
        return self._rows(_resized(frames), batch)


class PerceptualJudge(_Judge):
    """Its maps in the place of LPIPS's trunk (Zhang et al. 2018, equation 1), every channel with the same weight:
    `distance(real, fake)`.

    Attributes:
        name: "synth-lpips". hash: digest of its weights. meta: as `IdentityJudge`.
    """

    name = PERCEPTUAL_NAME
    whole_pictures = True

    def __init__(self, tree: dict, meta: dict):
        super().__init__(tree, meta)
        self._apply = jax.jit(self._compared)

    def _compared(self, variables, pairs):
        count = len(pairs)
        both = jnp.concatenate([pairs[:, 0], pairs[:, 1]]).astype(jnp.float32) / 255
        units = [lpips.normalised(level) for level in self._net.apply(variables, both, maps=True)]
        return sum(jnp.square(unit[:count] - unit[count:]).sum(-1).mean((1, 2)) for unit in units) / len(
            units
        )

    def distance(self, real: np.ndarray, fake: np.ndarray, batch: int = 25) -> np.ndarray:
        """Two uint8 (T, H, H, 3) -> float32 (T,), from 0 to 4."""
        return self._rows(np.stack([_resized(real), _resized(fake)], 1), batch)


def _resized(frames: np.ndarray) -> np.ndarray:
    if frames.shape[1:3] == (SIZE, SIZE):
        return frames
    return np.stack([cv2.resize(f, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for f in frames])


def auc(same: np.ndarray, other: np.ndarray) -> float:
    """Probability that a score of `same` lies above one of `other` (ties count half): area under the ROC curve."""
    below = np.searchsorted(np.sort(other), same, "left") + np.searchsorted(np.sort(other), same, "right")
    return float(below.mean() / (2 * len(other)))


def held_out(judge: IdentityJudge, whole: FeatureJudge, clips, frames: int = 10) -> dict[str, float]:
    """Both judges' quality on speakers that they were not trained on.

    Args:
        clips: at least two of each speaker. frames: of each clip, evenly spaced.

    Returns:
        `auc` (area under the ROC curve of telling frames of one speaker, from different clips, from frames of two),
        `same` and `other` (mean cosines of such pairs), `fid_blurred` and `fid_still` (FID of the frames against
        themselves blurred with sigma 1 px, and against each clip's first frame repeated), `clips`.
    """
    vectors, speakers, numbers, seen = [], [], [], {"real": [], "blurred": [], "still": []}
    for number, clip in enumerate(clips):
        chosen = np.linspace(0, clip.num_frames - 1, frames).round().astype(int)
        vectors.append(judge.embed(clip.frames[chosen], frames))
        speakers += [clip.identity] * frames
        numbers += [number] * frames
        seen["real"].append(whole.features(clip.frames))
        seen["blurred"].append(
            whole.features(np.stack([cv2.GaussianBlur(f, (0, 0), 1) for f in clip.frames]))
        )
        seen["still"].append(np.repeat(seen["real"][-1][:1], clip.num_frames, 0))
    vectors, speakers, numbers = normalised(np.concatenate(vectors)), np.array(speakers), np.array(numbers)
    cosines = vectors @ vectors.T
    one_speaker = speakers[:, None] == speakers
    same = cosines[one_speaker & (numbers[:, None] != numbers)]
    other = cosines[~one_speaker]
    real, blurred, still = (np.concatenate(rows) for rows in seen.values())
    return {
        "auc": auc(same, other), "same": float(same.mean()), "other": float(other.mean()),
        "fid_blurred": frechet.fid(real, blurred), "fid_still": frechet.fid(real, still), "clips": int(numbers[-1]) + 1,
    }  # fmt: skip
