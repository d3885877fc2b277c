"""ArcFace with the IR-SE50 backbone (Deng et al. 2019): identity embeddings for CSIM.

The publisher trained on images whose planes were blue, green, red. `embed` takes RGB and turns it round by
default; the order is part of the metric's version.
"""

from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from talkbench.nn.conv import Conv, Linear
from talkbench.nn.norm import BatchNorm
from talkbench.weights import torch_layout
from talkbench.weights.readers import state_dict

SIZE = 112
UNITS = ((64, 3), (128, 4), (256, 14), (512, 3))  # (width, count); the first unit of each has stride 2

# eyes, nose, mouth corners in the 112 x 112 crop: the published 96 x 112 template, 8 pixels to the right
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)


class PReLU(nn.Module):
    """max(x, 0) + scale * min(x, 0), a slope for each channel."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        slope = self.param("scale", nn.initializers.constant(0.25), x.shape[-1:])
        return jnp.where(x >= 0, x, slope * x)


class SqueezeExcite(nn.Module):
    """Channels weighted by a small network of their means."""

    reduction: int = 16

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = x.mean((1, 2), keepdims=True)
        y = nn.relu(Conv(x.shape[-1] // self.reduction, (1, 1), use_bias=False, name="fc1")(y))
        return x * nn.sigmoid(Conv(x.shape[-1], (1, 1), use_bias=False, name="fc2")(y))


class Unit(nn.Module):
    """Residual unit: BN, 3x3, PReLU, 3x3 with the stride, BN, squeeze and excite."""

    features: int
    stride: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = BatchNorm(name="res_layer_0")(x)
        y = Conv(self.features, (3, 3), padding=1, use_bias=False, name="res_layer_1")(y)
        y = PReLU(name="res_layer_2")(y)
        y = Conv(self.features, (3, 3), self.stride, 1, use_bias=False, name="res_layer_3")(y)
        y = SqueezeExcite(name="res_layer_5")(BatchNorm(name="res_layer_4")(y))
        if x.shape[-1] == self.features:
            return x[:, :: self.stride, :: self.stride] + y
        x = Conv(self.features, (1, 1), self.stride, use_bias=False, name="shortcut_layer_0")(x)
        return BatchNorm(name="shortcut_layer_1")(x) + y


class IRSE50(nn.Module):
    """(N, 112, 112, 3) in [-1, 1], planes as trained -> ((N, 512) unit vectors, (N, 7, 7, 512) last map)."""

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        x = Conv(64, (3, 3), padding=1, use_bias=False, name="input_layer_0")(x)
        x = PReLU(name="input_layer_2")(BatchNorm(name="input_layer_1")(x))
        number = 0
        for features, count in UNITS:
            for i in range(count):
                x = Unit(features, 2 if i == 0 else 1, name=f"body_{number}")(x)
                number += 1
        body = x
        x = BatchNorm(name="output_layer_0")(x)
        x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)  # the published linear layer reads channels first
        x = BatchNorm(name="output_layer_4")(Linear(512, name="output_layer_3")(x))
        return x / jnp.linalg.norm(x, axis=-1, keepdims=True), body


def five_points(landmarks: np.ndarray) -> np.ndarray:
    """Eye centres, nose tip and mouth corners (..., 5, 2) of 68 landmarks (..., 68, >= 2)."""
    p = np.asarray(landmarks, np.float64)[..., :2]
    eyes = p[..., 36:42, :].mean(-2), p[..., 42:48, :].mean(-2)
    return np.stack([*eyes, p[..., 30, :], p[..., 48, :], p[..., 54, :]], -2)


def similarity(points: np.ndarray, target: np.ndarray = TEMPLATE) -> np.ndarray:
    """The least-squares rotation, scale and shift (2, 3) from points (n, 2) to target (n, 2), without
    reflection.
    """
    points, target = np.asarray(points, np.float64), np.asarray(target, np.float64)
    p, q = points - points.mean(0), target - target.mean(0)
    spread = (p**2).sum()
    if spread < 1e-12:
        raise ValueError("the five facial points coincide: no similarity can align them")
    a = (p * q).sum() / spread
    b = (p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]).sum() / spread
    matrix = np.array([[a, -b], [b, a]])
    return np.hstack([matrix, (target.mean(0) - matrix @ points.mean(0))[:, None]])


def align(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The 112 x 112 face of an image.

    Args:
        image: uint8 (H, W, 3).
        landmarks: (68, >= 2) or (5, 2) in pixels, pixel centres at +0.5.

    Returns:
        uint8 (112, 112, 3), channels as given; zeros outside the image.
    """
    import cv2

    points = np.asarray(landmarks)[:, :2] if len(landmarks) == 5 else five_points(landmarks)
    matrix = similarity(points - 0.5)  # OpenCV's pixel centres are whole numbers
    return cv2.warpAffine(image, matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR)


@partial(jax.jit, static_argnames="order")
def embed(variables, faces: jax.Array, order: str = "bgr") -> jax.Array:
    """Embeddings of aligned faces.

    Args:
        variables: of `read_weights`.
        faces: (N, 112, 112, 3) uint8 RGB (`align`).
        order: "bgr": the network sees the planes as it was trained; "rgb": as code that reuses it often does.

    Returns:
        (N, 512) float32 unit vectors; their dot product is the cosine similarity.
    """
    if order not in ("bgr", "rgb"):
        raise ValueError(f"order {order!r}: choose bgr or rgb")
    x = faces[..., ::-1] if order == "bgr" else faces
    return IRSE50().apply(variables, (x.astype(jnp.float32) / 255 - 0.5) / 0.5)[0]


@cache
def abstract() -> dict:
    """Shapes of the network's variables."""
    return torch_layout.abstract_variables(IRSE50().init, (1, SIZE, SIZE, 3))


def convert(published: Mapping[str, np.ndarray]) -> dict:
    """The published state dict as variables."""
    return torch_layout.convert(published, abstract(), name="ArcFace IR-SE50")


def read_weights(path: str | Path) -> dict:
    """Variables from `model_ir_se50.pth` (registry name `arcface`)."""
    return convert(state_dict(path))
