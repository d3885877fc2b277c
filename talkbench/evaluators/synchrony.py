"""`synth-sync`: the builtin judge of lips and sound, after SyncNet (Chung and Zisserman 2016), trained on the synthetic
benchmark by the project's own command.

It sees what SyncNet sees: windows of five frames of the lower face, and the 20 columns of 13 cepstral coefficients that
are heard with them. It is never called SyncNet, and its figures are comparable only with each other.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from talkbench.data.clip import SAMPLES_PER_FRAME
from talkbench.data.mfcc import mfcc
from talkbench.evaluators import face_crop
from talkbench.geometry.topology import T_SHAPE
from talkbench.metrics import sync as formulas
from talkbench.nn.blocks import SameBlock
from talkbench.nn.conv import Conv, Linear
from talkbench.nn.norm import BatchNorm
from talkbench.nn.pool import avg_pool
from talkbench.stage import Stage

NAME = "synth-sync"
FRAMES = 5  # of a window
COLUMNS = 20  # of sound in a window, four a frame
CROP = 28  # side in pixels of the picture of the lower face
EYES, CENTRE = 25.0, (0.0, 0.6)  # of `face_crop.crop`: from the nose's base to below an open jaw
SEGMENT = 30  # frames of a training example
CANDIDATES, SHIFT = 16, 10  # of the held-out figures: sounds to choose from, largest shift in frames


class SyncNets(nn.Module):
    """Both towers; `lips` and `sound` are called with `apply(..., method=...)`, a plain call runs both.

    Embeddings are unit vectors with a 1 behind them. `metrics.sync` compares windows beyond a clip's end as zero
    vectors; those are then sqrt(2) away, further than windows that have nothing to do with each other are on average.
    """

    widths: tuple[int, int] = (16, 32)
    code: int = 48
    sound_widths: tuple[int, ...] = (48, 64)
    dense: int = 128
    outputs: int = 63

    def setup(self):
        self.scale = self.param("scale", nn.initializers.constant(np.log(10.0)), ())
        self.lip_tower = _LipTower(self.widths, self.code, self.dense, self.outputs)
        self.sound_tower = _SoundTower(self.sound_widths, self.dense, self.outputs)

    def lips(self, pictures, train: bool = False):
        """(B, T, 28, 28, 3) in [0, 1] -> (B, T - 4, outputs + 1): every window of five frames."""
        return _unit(self.lip_tower(pictures, train))

    def sound(self, windows, train: bool = False):
        """(B, W, 20, 13) cepstral coefficients -> (B, W, outputs + 1)."""
        return _unit(self.sound_tower(windows, train))

    def __call__(self, pictures, windows, train: bool = False):
        return self.lips(pictures, train), self.sound(windows, train), jnp.exp(self.scale)


def _unit(x):
    x = x * jax.lax.rsqrt(jnp.square(x).sum(-1, keepdims=True) + 1e-8)
    return jnp.concatenate([x, jnp.ones_like(x[..., :1])], -1)


class _LipTower(nn.Module):
    """A code of each frame, then two layers over five of them in a row."""

    widths: tuple[int, int]
    code: int
    dense: int
    outputs: int

    @nn.compact
    def __call__(self, x, train):
        batch, count = x.shape[:2]
        x = x.reshape(-1, *x.shape[2:]) - 0.5
        x = Conv(self.widths[0], (5, 5), stride=2, padding=2, name="stem")(x)
        x = avg_pool(nn.relu(BatchNorm(name="stem_norm")(x, train)), (2, 2))
        x = SameBlock(self.widths[1], name="block")(x, train).reshape(batch, count, -1)
        x = nn.relu(BatchNorm(name="code_norm")(Linear(self.code, name="code")(x), train))
        x = jnp.concatenate([x[:, i : count - FRAMES + 1 + i] for i in range(FRAMES)], -1)
        x = nn.relu(BatchNorm(name="norm")(Linear(self.dense, name="dense")(x), train))
        return Linear(self.outputs, name="out")(x)


class _SoundTower(nn.Module):
    """Two convolutions along time, then two layers over the window."""

    widths: tuple[int, ...]
    dense: int
    outputs: int

    @nn.compact
    def __call__(self, x, train):
        batch, count = x.shape[:2]
        x = BatchNorm(affine=False, name="standard")(x, train)
        x = x.reshape(-1, COLUMNS, 1, x.shape[-1])
        for i, width in enumerate(self.widths):
            x = Conv(width, (3, 1), stride=(1 + min(i, 1), 1), padding=(1, 0), name=f"conv{i}")(x)
            x = nn.relu(BatchNorm(name=f"norm{i}")(x, train))
        x = x.reshape(batch, count, -1)
        x = nn.relu(BatchNorm(name="norm")(Linear(self.dense, name="dense")(x), train))
        return Linear(self.outputs, name="out")(x)


def window_count(frames: int, samples: int) -> int:
    """Windows of a clip, counted as SyncNet's program does: min(frames, sound in frames) - 5, at least 0."""
    return max(0, min(frames, samples // SAMPLES_PER_FRAME) - FRAMES)


def sound_windows(audio: np.ndarray, count: int) -> np.ndarray:
    """Cepstral coefficients float32 (count, 20, 13) of float audio in [-1, 1]; window i starts at frame i."""
    columns = mfcc(audio).astype(np.float32)
    return np.lib.stride_tricks.sliding_window_view(columns, COLUMNS, 0)[::4][:count].swapaxes(1, 2)


def features(view, rng: np.random.Generator) -> dict:
    """A stretch of a clip: `lips` (29, 28, 28, 3) in [0, 1], `sound` (25, 20, 13)."""
    start = int(rng.integers(view.num_frames - SEGMENT + 1))
    stop, count = start + SEGMENT, SEGMENT - FRAMES
    frames = view.frames(slice(start, stop - 1))
    points = face_crop.jitter(view.landmarks[start : stop - 1, :, :2], rng, clip=0.04, frame=0.012)
    lips = face_crop.tinted(face_crop.crop(frames, points, CROP, EYES, CENTRE), rng)
    if rng.random() < 0.5:
        lips = lips[:, :, ::-1]
    audio = np.clip(view.audio(start, stop) * np.float32(np.exp(rng.normal(0, 0.3))), -1, 1)
    return {"lips": np.ascontiguousarray(lips), "sound": sound_windows(audio, count)}


def _network(model) -> SyncNets:
    return SyncNets(
        tuple(model["widths"]), model["code"], tuple(model["sound_widths"]), model["dense"], model["outputs"]
    )


def stage(config) -> Stage:
    """The judge as a stage of the trainer: each window of lips finds its sound among those of the same stretch, and back.

    The others are all of the same speaker: nothing is learned of whose voice a face has.
    """
    net = _network(config.model)

    def init(key, batch):
        variables = net.init(key, batch["lips"], batch["sound"], train=True)
        return {"params": {"net": variables["params"]}, "stats": {"net": variables["batch_stats"]}}, None

    def loss(params, stats, _, frozen, batch, rng):
        variables = {"params": params["net"], "batch_stats": stats["net"]}
        (lips, sound, scale), new = net.apply(
            variables, batch["lips"], batch["sound"], train=True, mutable=["batch_stats"]
        )
        alike = jnp.einsum("bid,bjd->bij", lips, sound) - 1  # without the constant coordinate
        logits = alike * scale
        own = jnp.diagonal(logits, axis1=1, axis2=2)
        terms = {
            "lips_to_sound": (jax.nn.logsumexp(logits, 2) - own).mean(),
            "sound_to_lips": (jax.nn.logsumexp(logits, 1) - own).mean(),
            "found": (logits.argmax(2) == jnp.arange(logits.shape[1])).mean(),
            "scale": scale,
        }
        return terms, ({"net": new["batch_stats"]}, {})

    return Stage(NAME, features, init, loss, dict(config.loss))


class SyncJudge:
    """The trained judge: `sync(frames, audio)`.

    Attributes:
        name: "synth-sync". hash: digests of its weights and of the landmark judge's, by which it finds the face.
        meta: what its file says of it (held-out figures).
    """

    name = NAME
    whole_pictures = True

    def __init__(self, tree: dict, meta: dict, landmarks):
        net = _network(meta["config"]["model"])
        self.hash, self.meta = f"{meta['digest']}-{landmarks.hash}", meta
        self._landmarks = landmarks
        self._variables = {"params": tree["params"]["net"], "batch_stats": tree["stats"]["net"]}
        self._lips = jax.jit(lambda v, x: net.apply(v, x[None].astype(jnp.float32) / 255, method="lips")[0])
        self._sound = jax.jit(lambda v, x: net.apply(v, x[None], method="sound")[0])

    def lips(self, frames: np.ndarray, batch: int = 50) -> np.ndarray:
        """uint8 (T, H, H, 3) -> float32 (T - 4, d): window i of frames i..i+4."""
        points = self._landmarks.landmarks(frames)[:, T_SHAPE]
        pictures = face_crop.crop(frames, points, CROP, EYES, CENTRE)
        count, found = max(0, len(pictures) - FRAMES + 1), []
        for start in range(0, count, batch):
            part = pictures[start : start + batch + FRAMES - 1]
            padded = np.concatenate([part, np.repeat(part[-1:], batch + FRAMES - 1 - len(part), 0)])
            found.append(np.asarray(self._lips(self._variables, padded))[: count - start])
        return np.concatenate(found) if found else np.zeros((0, self._width), np.float32)

    def sound(self, audio: np.ndarray, count: int, batch: int = 50) -> np.ndarray:
        """float (n,) in [-1, 1] -> float32 (count, d): window i of the 0.2 s that start with frame i."""
        windows = sound_windows(audio, count) if count else np.zeros((0, COLUMNS, 13), np.float32)
        found = []
        for start in range(0, count, batch):
            part = windows[start : start + batch]
            padded = np.concatenate([part, np.repeat(part[-1:], batch - len(part), 0)])
            found.append(np.asarray(self._sound(self._variables, padded))[: len(part)])
        return np.concatenate(found) if found else np.zeros((0, self._width), np.float32)

    @property
    def _width(self) -> int:
        return self.meta["config"]["model"]["outputs"] + 1

    def sync(self, frames: np.ndarray, audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """uint8 (T, H, H, 3) and float32 (640 T,) -> features of lips and of sound, both (W, d), window i from frame i."""
        count = window_count(len(frames), len(audio))
        return self.lips(frames)[:count], self.sound(audio, count)


def held_out(judge: SyncJudge, clips, seed: int = 0) -> dict[str, float]:
    """The judge's quality on clips whose lips and sound agree.

    Sound is shifted by up to `SHIFT` frames, drawn for each clip and stretch, inside the clip: what is found owes
    nothing to the clip's ends or to a liking for offset 0.

    Returns:
        `offset_found`, `offset_exact` (shares of clips whose shift is found within one frame, exactly),
        `stretch_found`, `stretch_exact` (the same of stretches of 30 frames, the shortest that `metrics.sync` takes),
        `retrieval` (share of single windows of lips that are nearest to their own sound among 16 of the same clip;
        chance 1/16), `lse_c` and `lse_d` of the clips, `wrong_lse_c` of each with the next clip's sound, `clips`.
    """
    rng = np.random.default_rng(seed)
    seen = [judge.sync(clip.frames, clip.audio) for clip in clips]
    rows, stretches, hits = [], [], []

    def miss(lips, sound, start, count):
        shift = int(rng.integers(-SHIFT, SHIFT + 1))
        part = formulas.search(lips[start : start + count], sound[start + shift : start + shift + count])
        return abs(part.offset - shift)

    for i, (lips, sound) in enumerate(seen):
        other = seen[(i + 1) % len(seen)][1]
        count = min(len(lips), len(other))
        whole, wrong = formulas.search(lips, sound), formulas.search(lips[:count], other[:count])
        error = miss(lips, sound, SHIFT, len(lips) - 2 * SHIFT)
        rows.append((error <= 1, error == 0, whole.lse_c, whole.lse_d, wrong.lse_c))
        windows = formulas.SMALLEST_WINDOWS
        for start in range(SHIFT, len(lips) - SHIFT - windows + 1, windows):
            error = miss(lips, sound, start, windows)
            stretches.append((error <= 1, error == 0))
        for j in range(len(lips)):
            others = rng.choice(np.delete(np.arange(len(sound)), j), CANDIDATES - 1, replace=False)
            distance = np.linalg.norm(sound[[j, *others]] - lips[j], axis=1)
            hits.append(distance.argmin() == 0)
    found, exact, lse_c, lse_d, wrong = np.mean(rows, 0)
    near, on = np.mean(stretches, 0)
    return {
        "offset_found": float(found), "offset_exact": float(exact),
        "stretch_found": float(near), "stretch_exact": float(on), "retrieval": float(np.mean(hits)),
        "lse_c": float(lse_c), "lse_d": float(lse_d), "wrong_lse_c": float(wrong), "clips": len(rows),
    }  # fmt: skip
