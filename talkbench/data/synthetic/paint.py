"""Soft-edged shapes and noise on float32 pictures: the brushes of the synthetic textures and backgrounds.

Coverage is computed from exact distances to edges, not by a drawing library, so that every platform paints
the same.
Pixel coordinates are (x right, y down) with the centre of the first pixel at (0.5, 0.5).
"""

from __future__ import annotations

import numpy as np
from scipy import fft

from talkbench.geometry.compiled import compiled


def spectral_noise(
    rng: np.random.Generator, size: int, corner: float, power: float, stretch=(1.0, 1.0)
) -> np.ndarray:
    """Noise of zero mean and unit deviation, float32 (size, size), periodic in both directions.

    White noise whose spectrum is divided by max(k, corner)^power, k in cycles per picture; `stretch` (rows,
    columns)
    multiplies the frequencies of each axis before k is formed, so (1, 4) draws streaks along the columns'
    axis less.
    """
    white = rng.standard_normal((size, size))
    rows = np.fft.fftfreq(size, 1.0 / size)[:, None] * stretch[0]
    columns = np.fft.rfftfreq(size, 1.0 / size)[None] * stretch[1]
    spectrum = fft.rfft2(white) / np.maximum(np.sqrt(rows**2 + columns**2), corner) ** power
    spectrum[0, 0] = 0.0
    noise = fft.irfft2(spectrum, s=(size, size))
    return (noise / noise.std()).astype(np.float32)


@compiled
def _polygon(mask, points, softness, x0, y0):
    height, width = mask.shape
    count = len(points)
    for row in range(height):
        y = row + y0 + 0.5
        for column in range(width):
            x = column + x0 + 0.5
            nearest = 1e9
            inside = False
            previous = count - 1
            for index in range(count):
                ax, ay = points[previous, 0], points[previous, 1]
                bx, by = points[index, 0], points[index, 1]
                if (ay > y) != (by > y) and x < (bx - ax) * (y - ay) / (by - ay) + ax:
                    inside = not inside
                dx, dy = bx - ax, by - ay
                t = ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy + 1e-12)
                t = min(max(t, 0.0), 1.0)
                ex, ey = x - ax - t * dx, y - ay - t * dy
                nearest = min(nearest, ex * ex + ey * ey)
                previous = index
            distance = np.sqrt(nearest)
            u = (distance if inside else -distance) / softness * 0.5 + 0.5
            u = min(max(u, 0.0), 1.0)
            mask[row, column] = u * u * (3.0 - 2.0 * u)


def polygon(
    shape: tuple[int, int], points: np.ndarray, softness: float = 0.7
) -> tuple[tuple[slice, slice], np.ndarray]:
    """Coverage of a polygon (n, 2): the window it touches and the float32 mask of that window, 0 to 1.

    `softness` in pixels is how far from the edge the coverage reaches 0 or 1.
    """
    points = np.asarray(points, np.float64)
    margin = softness + 1.0
    x0, y0 = np.maximum(np.floor(points.min(0) - margin).astype(int), 0)
    x1, y1 = np.minimum(np.ceil(points.max(0) + margin).astype(int), (shape[1], shape[0]))
    mask = np.zeros((max(y1 - y0, 0), max(x1 - x0, 0)), np.float32)
    _polygon(mask, points, softness, x0, y0)
    return (slice(y0, y0 + mask.shape[0]), slice(x0, x0 + mask.shape[1])), mask


@compiled
def _strokes(mask, segments):
    height, width = mask.shape
    for index in range(len(segments)):
        ax, ay, bx, by, wide_a, wide_b, strength = segments[index]
        reach = max(wide_a, wide_b) * 0.5 + 1.5
        left, right = int(max(min(ax, bx) - reach, 0.0)), int(min(max(ax, bx) + reach, width - 1.0))
        top, bottom = int(max(min(ay, by) - reach, 0.0)), int(min(max(ay, by) + reach, height - 1.0))
        dx, dy = bx - ax, by - ay
        for row in range(top, bottom + 1):
            for column in range(left, right + 1):
                x, y = column + 0.5, row + 0.5
                t = ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy + 1e-12)
                t = min(max(t, 0.0), 1.0)
                ex, ey = x - ax - t * dx, y - ay - t * dy
                half = 0.5 * (wide_a + t * (wide_b - wide_a))
                # A stroke thinner than a pixel keeps its area: it is drawn paler, not thicker.
                cover = half + 0.5 - np.sqrt(ex * ex + ey * ey)
                cover = min(max(cover, 0.0), 1.0) * min(1.0, 2.0 * half) * strength
                if cover > mask[row, column]:
                    mask[row, column] = cover


def strokes(shape: tuple[int, int], segments: np.ndarray) -> np.ndarray:
    """Coverage float32 of tapered strokes (n, 7): x0, y0, x1, y1, two widths in px, strength 0..1."""
    mask = np.zeros(shape, np.float32)
    _strokes(mask, np.ascontiguousarray(segments, np.float64))
    return mask


def polyline(points: np.ndarray, width, strength=1.0) -> np.ndarray:
    """Strokes (n-1, 7) along points (n, 2); `width` and `strength` are numbers or one value a point."""
    points = np.asarray(points, np.float64)
    width = np.broadcast_to(np.asarray(width, np.float64), len(points))
    strength = np.broadcast_to(np.asarray(strength, np.float64), len(points))
    return np.concatenate(
        [
            points[:-1],
            points[1:],
            np.c_[width[:-1], width[1:]],
            0.5 * (strength[:-1] + strength[1:])[:, None],
        ],
        axis=1,
    )


def blend(picture: np.ndarray, mask: np.ndarray, colour) -> None:
    """Mix a colour (3,) or picture into a float32 picture (H, W, 3) in place, by mask (H, W)."""
    picture += mask[..., None] * (np.asarray(colour, np.float32) - picture)


def to_linear(srgb):
    """sRGB 0..1 to linear light."""
    srgb = np.asarray(srgb, np.float64)
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def to_bytes(picture: np.ndarray) -> np.ndarray:
    """Float picture 0..1 to uint8 with rounding."""
    return np.clip(np.rint(picture * 255.0), 0, 255).astype(np.uint8)
