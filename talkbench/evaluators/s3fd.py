"""S3FD face detector (Zhang et al. 2017), in the two ports that published metrics look through.

`"fan"` is face-alignment's, whose boxes FAN's crops are made for; `"syncnet"` is the SyncNet pipeline's.
Their
files have different keys, and the networks differ: fc6 is dilated in one only (so the coarse maps of the
other are four cells larger), a pool rounds up in one only, priors sit half a cell apart, and non-maximum
suppression counts pixels in one only.
"""

from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path

import cv2
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from talkbench.nn.conv import Conv
from talkbench.nn.pool import max_pool
from talkbench.weights import torch_layout
from talkbench.weights.readers import state_dict

PORTS = ("fan", "syncnet")
STRIDES = (4, 8, 16, 32, 64, 128)
MEAN_BGR = np.array([104, 117, 123], np.float32)
VARIANCES = (0.1, 0.2)

_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
_HEADS = ("conv3_3_norm", "conv4_3_norm", "conv5_3_norm", "fc7", "conv6_2", "conv7_2")


class L2Norm(nn.Module):
    """Each pixel's channels brought to unit length, times a learned scale."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = self.param("scale", nn.initializers.constant(10.0), x.shape[-1:])
        return x / (jnp.sqrt(jnp.square(x).sum(-1, keepdims=True)) + 1e-10) * scale


class S3FD(nn.Module):
    """(N, H, W, 3), mean subtracted -> six levels of raw scores (N, h, w, 2) and boxes (N, h, w, 4).

    Scores are (background, face); on the first level the background is the largest of three.
    """

    port: str = "fan"

    @nn.compact
    def __call__(self, x: jax.Array) -> list[tuple[jax.Array, jax.Array]]:
        if self.port not in PORTS:
            raise ValueError(f"S3FD has no port {self.port!r}: choose {' or '.join(PORTS)}")
        sources = []
        for block, (features, count) in enumerate(_BLOCKS, 1):
            for layer in range(1, count + 1):
                x = nn.relu(Conv(features, (3, 3), padding=1, name=f"conv{block}_{layer}")(x))
            if block >= 3:
                sources.append(L2Norm(name=f"conv{block}_3_norm")(x))
            if block == 3 and self.port == "syncnet":  # this pool rounds up
                edge = [(0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)]
                x = jnp.pad(x, edge, constant_values=-jnp.inf)
            x = max_pool(x, (2, 2))
        padding, dilation = (6, 6) if self.port == "syncnet" else (3, 1)
        x = nn.relu(Conv(1024, (3, 3), padding=padding, dilation=dilation, name="fc6")(x))
        x = nn.relu(Conv(1024, (1, 1), name="fc7")(x))
        sources.append(x)
        for name, features in (("6", 256), ("7", 128)):
            x = nn.relu(Conv(features, (1, 1), name=f"conv{name}_1")(x))
            x = nn.relu(Conv(2 * features, (3, 3), 2, 1, name=f"conv{name}_2")(x))
            sources.append(x)
        levels = []
        for level, (name, source) in enumerate(zip(_HEADS, sources, strict=True)):
            scores = Conv(2 if level else 4, (3, 3), padding=1, name=f"{name}_mbox_conf")(source)
            if level == 0:
                scores = jnp.concatenate([scores[..., :3].max(-1, keepdims=True), scores[..., 3:]], -1)
            levels.append((scores, Conv(4, (3, 3), padding=1, name=f"{name}_mbox_loc")(source)))
        return levels


# Boxes. Everything here is small, so it is numpy on the host.


def _overlaps(boxes: np.ndarray, box: np.ndarray, pixels: float) -> np.ndarray:
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:4], box[2:4])
    shared = np.maximum(high - low + pixels, 0).prod(1)
    areas = (boxes[:, 2:4] - boxes[:, :2] + pixels).prod(1), (box[2:4] - box[:2] + pixels).prod()
    return shared / (areas[0] + areas[1] - shared)


def suppress(
    boxes: np.ndarray, scores: np.ndarray, overlap: float, *, pixels: float = 0.0, most: int = 0
) -> np.ndarray:
    """Non-maximum suppression.

    Args:
        boxes: (n, 4) x1, y1, x2, y2.
        scores: (n,).
        overlap: intersection over union up to which a box beside a better one stays.
        pixels: 1.0 counts the pixels that whole-numbered corners enclose, 0.0 takes corners as they are.
        most: only the best so many candidates are looked at (0: all).

    Returns:
        Indices of the kept boxes by falling score.
    """
    order = np.argsort(scores, kind="stable")[::-1]
    order = order[:most] if most else order
    keep = []
    while len(order):
        keep.append(order[0])
        rest = order[1:]
        order = rest[_overlaps(boxes[rest], boxes[order[0]], pixels) <= overlap]
    return np.array(keep, np.int64)


def _decode(offsets: np.ndarray, priors: np.ndarray) -> np.ndarray:
    """Box offsets (n, 4) from priors (n, 4) cx, cy, w, h -> x1, y1, x2, y2."""
    centre = priors[:, :2] + offsets[:, :2] * np.float32(VARIANCES[0]) * priors[:, 2:]
    size = priors[:, 2:] * np.exp(offsets[:, 2:] * np.float32(VARIANCES[1]))
    low = centre - size / 2
    return np.concatenate([low, low + size], 1)


def candidates_fan(levels: Sequence[tuple[np.ndarray, np.ndarray]], least: float = 0.05) -> np.ndarray:
    """Candidates of one image in face-alignment's way.

    Args:
        levels: six pairs of scores (h, w, 2) before softmax and offsets (h, w, 4).

    Returns:
        (n, 5) x1, y1, x2, y2, score with score > `least`, by level, row and column.
    """
    rows = []
    for stride, (scores, offsets) in zip(STRIDES, levels, strict=True):
        scores, offsets = np.asarray(scores, np.float32), np.asarray(offsets, np.float32)
        face = _softmax(scores)[..., 1]
        y, x = np.nonzero(face > least)
        side = np.full(len(x), 4 * stride)
        priors = np.stack([stride / 2 + x * stride, stride / 2 + y * stride, side, side], 1).astype(
            np.float32
        )
        rows.append(np.concatenate([_decode(offsets[y, x], priors), face[y, x, None]], 1))
    return np.concatenate(rows)


def priors_syncnet(sizes: Sequence[tuple[int, int]], height: int, width: int) -> np.ndarray:
    """Prior boxes (P, 4) cx, cy, w, h as fractions of the image, for level maps of the given sizes."""
    rows = []
    for stride, (h, w) in zip(STRIDES, sizes, strict=True):
        y, x = np.divmod(np.arange(h * w), w)
        side = np.full(h * w, 4.0 * stride)
        rows.append(
            np.stack(
                [(x + 0.5) * stride / width, (y + 0.5) * stride / height, side / width, side / height], 1
            )
        )
    return np.concatenate(rows).astype(np.float32)


def flatten_syncnet(levels: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Offsets (P, 4) and softmax scores (P, 2) of one image, by level, row and column."""
    offsets = np.concatenate([np.asarray(offsets).reshape(-1, 4) for _, offsets in levels])
    scores = np.concatenate([np.asarray(scores).reshape(-1, 2) for scores, _ in levels])
    return offsets, _softmax(scores)


def candidates_syncnet(offsets: np.ndarray, scores: np.ndarray, priors: np.ndarray) -> np.ndarray:
    """Detections (n, 5) score, x1, y1, x2, y2 (fractions), best first: score > 0.05, overlap 0.3, at most
    750.
    """
    chosen = scores[:, 1] > 0.05
    boxes, face = _decode(offsets[chosen], priors[chosen]), scores[chosen, 1]
    keep = suppress(boxes, face, 0.3, most=5000)[:750]
    return np.concatenate([face[keep, None], boxes[keep]], 1)


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# Detection


@partial(jax.jit, static_argnames="port")
def levels(variables, images: jax.Array, port: str = "fan") -> list[tuple[jax.Array, jax.Array]]:
    """The network on uint8 RGB images (N, H, W, 3), with the port's mean and channel order."""
    x = images.astype(jnp.float32)
    x = x[..., ::-1] - MEAN_BGR if port == "fan" else x - MEAN_BGR[::-1]
    return S3FD(port).apply(variables, x)


def detect(variables, frames: np.ndarray, *, least: float = 0.5, batch: int = 8) -> list[np.ndarray]:
    """Faces as face-alignment finds them.

    Args:
        variables: of `read_weights`.
        frames: (T, H, W, 3) uint8 RGB.
        least: smallest score.
        batch: frames in one call; each shape is compiled once, so the last call is filled up.

    Returns:
        For each frame (n, 5) x1, y1, x2, y2, score in pixels, best first.
    """
    found = []
    for rows in _batched(variables, frames, "fan", batch):
        boxes = candidates_fan(rows)
        boxes = boxes[suppress(boxes[:, :4], boxes[:, 4], 0.3, pixels=1.0)]
        found.append(boxes[boxes[:, 4] > least])
    return found


def detect_syncnet(
    variables, frames: np.ndarray, *, scale: float = 0.25, least: float = 0.9, batch: int = 8
) -> list[np.ndarray]:
    """Faces as the SyncNet pipeline finds them: on frames shrunk by `scale`. Arguments and result as
    `detect`.
    """
    height, width = frames.shape[1:3]
    small = np.stack(
        [cv2.resize(frame, (0, 0), fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR) for frame in frames]
    )
    found, priors = [], None
    for rows in _batched(variables, small, "syncnet", batch):
        if priors is None:
            priors = priors_syncnet([scores.shape[:2] for scores, _ in rows], *small.shape[1:3])
        boxes = candidates_syncnet(*flatten_syncnet(rows), priors)
        boxes = boxes[boxes[:, 0] > least]
        boxes = np.concatenate([boxes[:, 1:] * np.float32([width, height, width, height]), boxes[:, :1]], 1)
        found.append(boxes[suppress(boxes[:, :4], boxes[:, 4], 0.1)])
    return found


def _batched(variables, frames: np.ndarray, port: str, batch: int):
    for start in range(0, len(frames), batch):
        part = frames[start : start + batch]
        full = np.concatenate([part, np.repeat(part[-1:], batch - len(part), 0)])
        out = [(np.asarray(a), np.asarray(b)) for a, b in levels(variables, full, port)]
        for i in range(len(part)):
            yield [(a[i], b[i]) for a, b in out]


def largest(faces: Sequence[np.ndarray]) -> np.ndarray:
    """The largest face of each frame (T, 4), NaN where there is none."""
    out = np.full((len(faces), 4), np.nan, np.float32)
    for t, boxes in enumerate(faces):
        if len(boxes):
            out[t] = boxes[(boxes[:, 2:4] - boxes[:, :2]).prod(1).argmax(), :4]
    return out


# Weights


def _rules(port: str) -> torch_layout.Rules:
    if port == "fan":
        return ()
    rules, index = [], 0
    for block, (_, count) in enumerate(_BLOCKS, 1):
        for layer in range(1, count + 1):
            rules.append((rf"^vgg\.{index}\.", f"conv{block}_{layer}."))
            index += 2
        index += 1
    rules += [(rf"^vgg\.{index}\.", "fc6."), (rf"^vgg\.{index + 2}\.", "fc7.")]
    rules += [(r"^L2Norm(\d)_3\.", r"conv\1_3_norm.")]
    extras = ("conv6_1", "conv6_2", "conv7_1", "conv7_2")
    rules += [(rf"^extras\.{i}\.", f"{name}.") for i, name in enumerate(extras)]
    for i, name in enumerate(_HEADS):
        rules += [(rf"^loc\.{i}\.", f"{name}_mbox_loc."), (rf"^conf\.{i}\.", f"{name}_mbox_conf.")]
    return rules


@cache
def abstract() -> dict:
    """Shapes of the network's variables, the same for both ports."""
    return torch_layout.abstract_variables(S3FD().init, (1, 128, 128, 3))


def convert(published: Mapping[str, np.ndarray], port: str = "fan") -> dict:
    """A port's state dict as variables."""
    return torch_layout.convert(published, abstract(), _rules(port), name=f"S3FD ({port})")


def read_weights(path: str | Path) -> dict:
    """Variables from face-alignment's file (registry name `s3fd`)."""
    return convert(state_dict(path), "fan")


def read_weights_syncnet(path: str | Path) -> dict:
    """Variables from the SyncNet pipeline's file (registry name `s3fd-sync`)."""
    return convert(state_dict(path), "syncnet")
