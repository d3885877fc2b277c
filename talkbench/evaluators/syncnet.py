"""SyncNet v2 (Chung and Zisserman 2016): features of lips and of sound whose distance tells whether they
agree.

The video tower sees five frames at 25 frames/s, 224 x 224, **BGR, 0..255**; the audio tower 20 columns (0.2
s) of 13 MFCC coefficients of 16 kHz sound. Window i of both starts at frame i. `metrics.sync` compares the
features.
"""

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from talkbench.nn.conv import Conv, Linear, conv
from talkbench.nn.norm import BatchNorm
from talkbench.nn.pool import max_pool
from talkbench.weights import torch_layout
from talkbench.weights.readers import state_dict

SIZE = 224
FRAMES = 5  # of a window
COLUMNS = 20  # of a window, four for each frame


class _FlatConv(nn.Module):
    """A 3-D convolution whose kernel has depth 1, on images: XLA's CPU backend has no quick 3-D form."""

    features: int
    window: int
    stride: int = 1
    padding: int = 0

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (1, self.window, self.window, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return conv(x, kernel[0], stride=self.stride, padding=self.padding) + bias


class SyncNet(nn.Module):
    """Both towers. `lip` and `sound` are called with `apply(..., method=...)`; a plain call runs both."""

    def setup(self):
        norms = {
            f"{tower}_{i}": BatchNorm() for tower in ("netcnnlip", "netcnnaud") for i in (1, 5, 9, 12, 15, 19)
        }
        layers = {
            **norms,
            "netcnnlip_0": Conv(96, (FRAMES, 7, 7), (1, 2, 2)),
            "netcnnlip_4": _FlatConv(256, 5, 2, 1),
            "netcnnlip_8": _FlatConv(256, 3, 1, 1),
            "netcnnlip_11": _FlatConv(256, 3, 1, 1),
            "netcnnlip_14": _FlatConv(256, 3, 1, 1),
            "netcnnlip_18": _FlatConv(512, 6),
            "netcnnaud_0": Conv(64, (3, 3), padding=1),
            "netcnnaud_4": Conv(192, (3, 3), padding=1),
            "netcnnaud_8": Conv(384, (3, 3), padding=1),
            "netcnnaud_11": Conv(256, (3, 3), padding=1),
            "netcnnaud_14": Conv(256, (3, 3), padding=1),
            "netcnnaud_18": Conv(512, (5, 4)),
        }
        for tower in ("netfclip", "netfcaud"):
            layers |= {f"{tower}_0": Linear(512), f"{tower}_1": BatchNorm(), f"{tower}_3": Linear(1024)}
        for name, layer in layers.items():
            setattr(self, name, layer)

    def _layer(self, tower: str, index: int, x: jax.Array) -> jax.Array:
        return nn.relu(getattr(self, f"{tower}_{index + 1}")(getattr(self, f"{tower}_{index}")(x)))

    def _head(self, tower: str, x: jax.Array) -> jax.Array:
        return getattr(self, f"{tower}_3")(self._layer(tower, 0, x))

    def lip_features(self, x: jax.Array) -> jax.Array:
        """(N, 5, 224, 224, 3) BGR 0..255 -> (N, 512), before the fully connected layers."""
        tower = "netcnnlip"
        x = self._layer(tower, 0, x)[:, 0]
        x = max_pool(x, (3, 3), (2, 2))
        x = max_pool(self._layer(tower, 4, x), (3, 3), (2, 2), (1, 1))
        for index in (8, 11, 14):
            x = self._layer(tower, index, x)
        x = self._layer(tower, 18, max_pool(x, (3, 3), (2, 2)))
        return x.reshape(len(x), -1)

    def lip(self, x: jax.Array) -> jax.Array:
        """(N, 5, 224, 224, 3) BGR 0..255 -> (N, 1024)."""
        return self._head("netfclip", self.lip_features(x))

    def sound(self, x: jax.Array) -> jax.Array:
        """(N, 13, 20, 1) MFCC -> (N, 1024)."""
        tower = "netcnnaud"
        x = self._layer(tower, 0, x)
        x = max_pool(self._layer(tower, 4, x), (3, 3), (1, 2))
        for index in (8, 11, 14):
            x = self._layer(tower, index, x)
        x = self._layer(tower, 18, max_pool(x, (3, 3), (2, 2)))
        return self._head("netfcaud", x.reshape(len(x), -1))

    def __call__(self, lips: jax.Array, sounds: jax.Array) -> tuple[jax.Array, jax.Array]:
        return self.lip(lips), self.sound(sounds)


@jax.jit
def _lip(variables, frames: jax.Array) -> jax.Array:
    """(W + 4, H, W, 3) frames -> (W, 1024): every window of five."""
    count = len(frames) - FRAMES + 1
    windows = jnp.stack([frames[i : i + count] for i in range(FRAMES)], 1).astype(jnp.float32)
    return SyncNet().apply(variables, windows, method="lip")


@jax.jit
def _sound(variables, windows: jax.Array) -> jax.Array:
    return SyncNet().apply(variables, windows, method="sound")


def window_count(frames: int, columns_or_samples: int, *, samples: bool = True) -> int:
    """Number of windows that the published code scores: min(frames, sound in frames) - 5, at least 0."""
    sound = columns_or_samples // (640 if samples else 4)
    return max(0, min(frames, sound) - FRAMES)


def video_features(variables, frames: np.ndarray, windows: int, batch: int = 16) -> np.ndarray:
    """Features of the windows 0..windows-1 of a clip.

    Args:
        variables: of `read_weights`.
        frames: (T, 224, 224, 3) uint8 **BGR**, T >= windows + 4.
        windows: how many.
        batch: windows in one call; each shape is compiled once, so the last call is filled up.

    Returns:
        (windows, 1024) float32.
    """
    if frames.ndim != 4 or frames.shape[1:] != (SIZE, SIZE, 3) or len(frames) < windows + FRAMES - 1:
        raise ValueError(f"SyncNet needs {windows + FRAMES - 1} frames of 224 x 224 x 3, not {frames.shape}")
    out = []
    for start in range(0, windows, batch):
        part = frames[start : start + batch + FRAMES - 1]
        part = np.concatenate([part, np.repeat(part[-1:], batch + FRAMES - 1 - len(part), 0)])
        out.append(np.asarray(_lip(variables, part))[: windows - start])
    return np.concatenate(out) if out else np.zeros((0, 1024), np.float32)


def audio_features(variables, mfcc: np.ndarray, windows: int, batch: int = 64) -> np.ndarray:
    """Features of the windows 0..windows-1 of a clip's sound.

    Args:
        mfcc: (columns, 13), one every 10 ms (`data.mfcc.mfcc`), columns >= 4 windows + 16.

    Returns:
        (windows, 1024) float32.
    """
    if mfcc.ndim != 2 or mfcc.shape[1] != 13 or len(mfcc) < 4 * (windows - 1) + COLUMNS:
        raise ValueError(
            f"SyncNet needs {4 * (windows - 1) + COLUMNS} columns of 13 coefficients, not {mfcc.shape}"
        )
    stacked = np.lib.stride_tricks.sliding_window_view(mfcc.astype(np.float32), COLUMNS, 0)[::4][:windows]
    out = []
    for start in range(0, windows, batch):
        part = stacked[start : start + batch, ..., None]
        part = np.concatenate([part, np.repeat(part[-1:], batch - len(part), 0)])
        out.append(np.asarray(_sound(variables, part))[: windows - start])
    return np.concatenate(out) if out else np.zeros((0, 1024), np.float32)


# Face tracks and crops of the published pipeline

TRACK_IOU = 0.5
TRACK_GAP = 25  # frames that may be missing inside a track
TRACK_SIDE = 100  # smallest mean side of a scored face, pixels
TRACK_FRAMES = 100  # a track must be longer than this in the published pipeline
CROP_SCALE = 0.4
GREY = 110  # around the frame


def tracks(
    boxes: Sequence[np.ndarray], smallest: int = TRACK_FRAMES, side: float = TRACK_SIDE
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Faces followed through a scene.

    Args:
        boxes: for each frame, (n, >= 4) detections x1, y1, x2, y2 in pixels.
        smallest: only tracks of more frames than this.
        side: and of at least this mean side, in pixels.

    Returns:
        [(frame numbers (k,), boxes (k, 4))]; gaps of up to `TRACK_GAP` frames are filled by straight lines.
    """
    free = [[np.asarray(box[:4], np.float64) for box in frame] for frame in boxes]
    found = []
    while True:
        numbers, chain = [], []
        for number, frame in enumerate(free):
            if not chain:
                if frame:
                    numbers, chain = [number], [frame.pop(0)]
                continue
            if number - numbers[-1] > TRACK_GAP:
                break
            for i, box in enumerate(frame):
                if iou(box, chain[-1]) > TRACK_IOU:
                    numbers.append(number)
                    chain.append(frame.pop(i))
                    break
        if not chain:
            return found
        if len(chain) <= smallest:
            continue
        every = np.arange(numbers[0], numbers[-1] + 1)
        line = np.stack([np.interp(every, numbers, column) for column in np.transpose(chain)], 1)
        if max((line[:, 2] - line[:, 0]).mean(), (line[:, 3] - line[:, 1]).mean()) > side:
            found.append((every, line))


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes x1, y1, x2, y2."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:4], b[2:4])
    shared = np.prod(np.maximum(high - low, 0))
    areas = np.prod(a[2:4] - a[:2]) + np.prod(b[2:4] - b[:2])
    return float(shared / (areas - shared))


def crop_track(frames: Sequence[np.ndarray], numbers: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """The track's faces as SyncNet wants them: lower part of the head, smoothly followed, 224 x 224.

    Args:
        frames: all frames of the clip, uint8 (H, W, 3), any channel order.
        numbers, boxes: a track of `tracks`.

    Returns:
        (k, 224, 224, 3) uint8, channels as given.
    """
    import cv2
    from scipy.signal import medfilt

    s = medfilt(np.maximum(boxes[:, 3] - boxes[:, 1], boxes[:, 2] - boxes[:, 0]) / 2, 13)
    x = medfilt((boxes[:, 0] + boxes[:, 2]) / 2, 13)
    y = medfilt((boxes[:, 1] + boxes[:, 3]) / 2, 13)
    out = np.zeros((len(numbers), SIZE, SIZE, 3), np.uint8)
    for i, number in enumerate(numbers):
        pad = int(s[i] * (1 + 2 * CROP_SCALE))
        wide = np.pad(frames[number], ((pad, pad), (pad, pad), (0, 0)), constant_values=GREY)
        cx, cy = x[i] + pad, y[i] + pad
        top, bottom = int(cy - s[i]), int(cy + s[i] * (1 + 2 * CROP_SCALE))
        left, right = int(cx - s[i] * (1 + CROP_SCALE)), int(cx + s[i] * (1 + CROP_SCALE))
        out[i] = cv2.resize(wide[top:bottom, left:right], (SIZE, SIZE))
    return out


@partial(jax.jit, static_argnames="swap")
def _resize(frames: jax.Array, swap: bool) -> jax.Array:
    from talkbench.nn.resize import resize_linear

    out = resize_linear(frames.astype(jnp.float32), (SIZE, SIZE))
    out = jnp.clip(jnp.floor(out + 0.5), 0, 255).astype(jnp.uint8)
    return out[..., ::-1] if swap else out


def whole_frames(frames: np.ndarray, batch: int = 32) -> np.ndarray:
    """Whole frames for clips that are face crops already: RGB uint8 (T, H, W, 3) -> BGR (T, 224, 224, 3),
    bilinear.
    """
    parts = [np.asarray(_resize(frames[i : i + batch], True)) for i in range(0, len(frames), batch)]
    return np.concatenate(parts)


@cache
def abstract() -> dict:
    """Shapes of the network's variables."""
    return torch_layout.abstract_variables(SyncNet().init, (1, FRAMES, SIZE, SIZE, 3), (1, 13, COLUMNS, 1))


def convert(published: dict[str, np.ndarray]) -> dict:
    """The published tensors as variables."""
    return torch_layout.convert(published, abstract(), name="SyncNet")


def read_weights(path: str | Path) -> dict:
    """Variables from `syncnet_v2.model` (registry name `syncnet`)."""
    return convert(state_dict(path))
