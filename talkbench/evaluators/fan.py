"""FAN, the face alignment network (Bulat and Tzimiropoulos 2017): 68 landmarks, 2-D or 3-D.

2DFAN-4 and 3DFAN-4 are one architecture with different weights; 3-D points get their depth from a ResNet-152
that sees the crop and drawn landmarks. The published landmarks are whole pixels. `subpixel=True` leaves the
rounding out; its points follow this project's convention (pixel centres at +0.5) and are another metric.
"""

from collections.abc import Mapping
from functools import cache, lru_cache, partial
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from talkbench.batches import in_batches
from talkbench.nn.conv import Conv, Linear
from talkbench.nn.fan import ConvBlock
from talkbench.nn.norm import BatchNorm
from talkbench.nn.pool import avg_pool
from talkbench.nn.resize import upsample_nearest
from talkbench.nn.resnet import ResNet
from talkbench.weights import torch_layout
from talkbench.weights.readers import state_dict

POINTS = 68
CROP = 256
MAP = 64
REFERENCE_SCALE = 195.0  # of the S3FD face boxes; other detectors differ
STAGES = 4

# one-based pairs of points that trade places in a mirror
_PAIRS = (
    *((i, 18 - i) for i in range(1, 9)),
    *((i, 45 - i) for i in range(18, 23)),
    *((37, 46), (38, 45), (39, 44), (40, 43), (41, 48), (42, 47)),
    *((32, 36), (33, 35)),
    *((49, 55), (50, 54), (51, 53), (56, 60), (57, 59), (61, 65), (62, 64), (66, 68)),
)


def _mirror() -> np.ndarray:
    order = np.arange(POINTS)
    for a, b in _PAIRS:
        order[a - 1], order[b - 1] = b - 1, a - 1
    return order


MIRROR = _mirror()


class CropError(ValueError):
    """A face box whose crop lies outside the image."""


class HourGlass(nn.Module):
    """Four levels down by averaging and up by repetition; the size and width stay."""

    features: int = 256
    depth: int = 4

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return self._level(self.depth, x)

    def _level(self, level: int, x: jax.Array) -> jax.Array:
        def block(name, x):
            return ConvBlock(self.features, name=name)(x)

        up = block(f"b1_{level}", x)
        low = block(f"b2_{level}", avg_pool(x, (2, 2)))
        low = self._level(level - 1, low) if level > 1 else block("b2_plus_1", low)
        return up + upsample_nearest(block(f"b3_{level}", low), (2, 2))


class FAN(nn.Module):
    """Crops (N, 256, 256, 3) RGB in [0, 1] -> heatmaps [(N, 64, 64, 68)] of each stage; the last counts."""

    stages: int = STAGES
    features: int = 256

    @nn.compact
    def __call__(self, x: jax.Array) -> list[jax.Array]:
        width = self.features
        x = Conv(width // 4, (7, 7), 2, 3, name="conv1")(x)
        x = nn.relu(BatchNorm(name="bn1")(x))
        x = avg_pool(ConvBlock(width // 2, name="conv2")(x), (2, 2))
        x = ConvBlock(width // 2, name="conv3")(x)
        x = ConvBlock(width, name="conv4")(x)
        maps = []
        for i in range(self.stages):
            y = ConvBlock(width, name=f"top_m_{i}")(HourGlass(width, name=f"m{i}")(x))
            y = nn.relu(BatchNorm(name=f"bn_end{i}")(Conv(width, (1, 1), name=f"conv_last{i}")(y)))
            maps.append(Conv(POINTS, (1, 1), name=f"l{i}")(y))
            if i < self.stages - 1:
                x = x + Conv(width, (1, 1), name=f"bl{i}")(y) + Conv(width, (1, 1), name=f"al{i}")(maps[-1])
        return maps


class ResNetDepth(nn.Module):
    """(N, 256, 256, 3 + 68) crop and drawn landmarks -> (N, 68) depths in crop pixels."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = ResNet((3, 8, 36, 3), name="trunk")(x)
        # the published pool is 7x7 with stride 7, so that 8x8 maps give one cell and lose a row and a column
        return Linear(POINTS, name="fc")(x[:, :7, :7].mean((1, 2)))


# Crop and decode


def box_frame(box: np.ndarray, reference_scale: float = REFERENCE_SCALE) -> tuple[np.ndarray, float]:
    """Centre (x, y) and scale of the crop for a face box x1, y1, x2, y2: a little above its middle."""
    x1, y1, x2, y2 = np.asarray(box, np.float64)[:4]
    centre = np.array([x2 - (x2 - x1) / 2, y2 - (y2 - y1) / 2 - 0.12 * (y2 - y1)])
    return centre, (x2 - x1 + y2 - y1) / reference_scale


def to_image(points: np.ndarray, centre: np.ndarray, scale: float, resolution: int) -> np.ndarray:
    """Points (..., 2) of a crop of `resolution` pixels in image pixels."""
    side = 200.0 * scale
    return (np.asarray(points, np.float64) - resolution / 2) * (side / resolution) + centre


def _corner(value: float, centre: np.ndarray, scale: float) -> np.ndarray:
    """A corner of the crop in whole image pixels, with the float32 matrix inverse of the published code."""
    side = 200.0 * scale
    matrix = np.eye(3, dtype=np.float32)
    matrix[0, 0] = matrix[1, 1] = CROP / side
    matrix[0, 2], matrix[1, 2] = (CROP * (0.5 - c / side) for c in np.float32(centre))
    point = np.linalg.inv(matrix) @ np.array([value, value, 1], np.float32)
    return np.trunc(point[:2]).astype(int)


def crop(image: np.ndarray, centre: np.ndarray, scale: float) -> np.ndarray:
    """The 256 x 256 crop that FAN sees, zeros outside the image, OpenCV's bilinear resize.

    Args:
        image: uint8 (H, W, 3).
        centre, scale: of `box_frame`.

    Raises:
        CropError: the crop doesn't meet the image, or is empty.
    """
    import cv2

    height, width = image.shape[:2]
    (left, top), (right, bottom) = _corner(1, centre, scale), _corner(CROP, centre, scale)
    x1, x2, y1, y2 = max(left, 0), min(right, width), max(top, 0), min(bottom, height)
    if x1 >= x2 or y1 >= y2:
        raise CropError(
            f"face crop {left}..{right} x {top}..{bottom} is outside the image of {width} x {height}"
        )
    canvas = np.zeros((bottom - top, right - left, image.shape[2]), np.uint8)
    canvas[y1 - top : y2 - top, x1 - left : x2 - left] = image[y1:y2, x1:x2]
    return cv2.resize(canvas, (CROP, CROP), interpolation=cv2.INTER_LINEAR)


def peaks(heatmaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where heatmaps are largest.

    Args:
        heatmaps: (N, H, W, P).

    Returns:
        points (N, P, 2) float32 x, y in heatmap pixels (centres at +0.5), moved by a quarter pixel towards
        the larger neighbour unless they lie on the border; the maxima (N, P).
    """
    number, height, width, count = heatmaps.shape
    flat = heatmaps.reshape(number, height * width, count)
    best = flat.argmax(1)
    scores = np.take_along_axis(flat, best[:, None], 1)[:, 0]
    y, x = np.divmod(best, width)
    inside = (x > 0) & (x < width - 1) & (y > 0) & (y < height - 1)

    def at(dy, dx):
        index = np.clip(y + dy, 0, height - 1) * width + np.clip(x + dx, 0, width - 1)
        return np.take_along_axis(flat, index[:, None], 1)[:, 0]

    step = np.stack([np.sign(at(0, 1) - at(0, -1)), np.sign(at(1, 0) - at(-1, 0))], -1)
    points = np.stack([x, y], -1) + 0.5 + 0.25 * step * inside[..., None]
    return points.astype(np.float32), scores


def draw_points(points: np.ndarray) -> np.ndarray:
    """Landmarks as 68 maps for the depth network.

    Args:
        points: (N, 68, 2) in crop pixels (256). Points that are not right of 0 and below 0 stay undrawn.

    Returns:
        (N, 256, 256, 68) float32: a 13 x 13 Gaussian of height 1 and 3.25 pixels deviation at each point.
    """
    out = np.zeros((len(points), CROP, CROP, points.shape[1]), np.float32)
    patch = _patch()
    for n, p in np.argwhere((points > 0).all(-1)):
        low = np.floor(points[n, p]).astype(int) - 6
        high = low + 12
        if (low > CROP).any() or (high < 1).any():
            continue
        # one-based, both ends belong to it; at the left and top border the published patch starts too early
        start, skip = np.maximum(low, 1), np.maximum(-low, 1)
        end = np.minimum(high, CROP)
        (x, y), (right, bottom), (u, v) = start - 1, end, skip - 1
        out[n, y:bottom, x:right, p] = patch[v : v + bottom - y, u : u + right - x]
    return out


@lru_cache(maxsize=1)
def _patch() -> np.ndarray:
    line = np.exp(-0.5 * ((np.arange(13) - 6) / 3.25) ** 2)
    return np.outer(line, line).astype(np.float32)


# Landmarks of frames


@partial(jax.jit, static_argnames="flip")
def heatmaps(variables, crops: jax.Array, flip: bool = False) -> jax.Array:
    """Last heatmaps (N, 64, 64, 68) of uint8 crops (N, 256, 256, 3); with `flip` plus those of the mirror
    image.
    """
    x = crops.astype(jnp.float32) / 255
    if not flip:
        return FAN().apply(variables, x)[-1]
    maps = FAN().apply(variables, jnp.concatenate([x, x[:, :, ::-1]]))[-1]
    return maps[: len(x)] + maps[len(x) :, :, ::-1][..., MIRROR]


@jax.jit
def depths(variables, crops: jax.Array, drawn: jax.Array) -> jax.Array:
    """(N, 68) depths in crop pixels of uint8 crops and `draw_points`."""
    return ResNetDepth().apply(variables, jnp.concatenate([crops.astype(jnp.float32) / 255, drawn], -1))


def landmarks(
    variables,
    frames: np.ndarray,
    boxes: np.ndarray,
    *,
    depth_variables=None,
    flip: bool = False,
    subpixel: bool = False,
    batch: int = 8,
) -> tuple[np.ndarray, np.ndarray]:
    """68 landmarks of one face in each frame.

    Args:
        variables: of `read_weights`: 2DFAN-4, or 3DFAN-4 with `depth_variables`.
        frames: (T, H, W, 3) uint8 RGB.
        boxes: (T, >= 4) face boxes x1, y1, x2, y2 in pixels (`s3fd.detect`); a row with NaN is a frame
            without face.
        depth_variables: of `read_depth_weights` for 3-D points, else None.
        flip: add the mirror image's answer (the published default; AKD is measured without).
        subpixel: don't round to whole pixels.
        batch: frames in one call; each shape is compiled once, so the last call is filled up.

    Returns:
        points (T, 68, 2 or 3) float32 in pixels, scores (T, 68); NaN where there is no face.
    """
    size = 2 if depth_variables is None else 3
    points = np.full((len(frames), POINTS, size), np.nan, np.float32)
    scores = np.full((len(frames), POINTS), np.nan, np.float32)
    found = []
    for t in range(len(frames)):
        if not np.isnan(boxes[t]).any():
            centre, scale = box_frame(boxes[t])
            found.append((t, centre, scale, crop(frames[t], centre, scale)))
    if not found:
        return points, scores

    def look(crops):
        local, best = peaks(np.asarray(heatmaps(variables, crops, flip)))
        if size == 2:
            return local, best
        return local, best, depths(depth_variables, crops, draw_points(local * 4))

    local, best, *z = in_batches(look, batch, np.stack([row[3] for row in found]))
    for i, (t, centre, scale, _) in enumerate(found):
        place = to_image(local[i], centre, scale, MAP)
        points[t, :, :2] = place if subpixel else np.trunc(place)
        scores[t] = best[i]
        if z:
            points[t, :, 2] = z[0][i] * (200 * scale / CROP)
    return points, scores


@cache
def abstract() -> dict:
    """Shapes of FAN's variables."""
    return torch_layout.abstract_variables(FAN().init, (1, CROP, CROP, 3))


def convert(published: Mapping[str, np.ndarray]) -> dict:
    """A 2DFAN-4 or 3DFAN-4 state dict as variables."""
    return torch_layout.convert(published, abstract(), name="FAN")


def read_weights(path: str | Path) -> dict:
    """Variables from the published file (registry names `fan-2d`, `fan-3d`)."""
    return convert(state_dict(path))


@cache
def depth_abstract() -> dict:
    """Shapes of the depth network's variables."""
    return torch_layout.abstract_variables(ResNetDepth().init, (1, CROP, CROP, 3 + POINTS))


def convert_depth(published: Mapping[str, np.ndarray]) -> dict:
    """The depth network's state dict as variables."""
    return torch_layout.convert(published, depth_abstract(), [(r"^(?!fc\.)", "trunk.")], name="FAN depth")


def read_depth_weights(path: str | Path) -> dict:
    """Variables from the published file (registry name `fan-depth`)."""
    return convert_depth(state_dict(path))
