"""Still backgrounds, drawn at 256 px and blurred: shelves, windows, panels, discs, a studio."""

from __future__ import annotations

import colorsys

import numpy as np
from scipy.ndimage import gaussian_filter

from talkbench.data.synthetic.paint import blend, polygon, spectral_noise, to_bytes
from talkbench.geometry.head import smoothstep

SIZE = 256
KINDS = ("gradient", "bookshelves", "window", "panels", "discs", "studio")


def _colour(
    rng: np.random.Generator, saturation: tuple[float, float], value: tuple[float, float]
) -> np.ndarray:
    hue, s, v = rng.uniform(), rng.uniform(*saturation), rng.uniform(*value)
    return np.array(colorsys.hsv_to_rgb(hue, s, v), np.float32)


def _rectangle(picture, x0, y0, x1, y1, colour, strength=1.0) -> None:
    window, mask = polygon(picture.shape[:2], np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]), 0.7)
    blend(picture[window], mask * np.float32(strength), colour)


def _gradient(rng, picture) -> None:
    first, second = _colour(rng, (0.05, 0.45), (0.35, 0.75)), _colour(rng, (0.05, 0.45), (0.25, 0.65))
    angle = rng.uniform(0.0, 2.0 * np.pi)
    y, x = np.mgrid[0:SIZE, 0:SIZE] / (SIZE - 1.0) - 0.5
    t = np.clip(0.5 + 0.8 * (x * np.cos(angle) + y * np.sin(angle)), 0, 1).astype(np.float32)
    picture[:] = first
    blend(picture, t, second)


def _bookshelves(rng, picture) -> None:
    wood = np.array([0.34, 0.24, 0.16], np.float32) * np.float32(rng.uniform(0.6, 1.5))
    if rng.uniform() < 0.3:
        wood = np.full(3, rng.uniform(0.5, 0.8), np.float32)
    picture[:] = wood * 0.35
    shelf = rng.uniform(44.0, 64.0)
    top = rng.uniform(-40.0, 0.0)
    while top < SIZE:
        x = rng.uniform(-8.0, 2.0)
        while x < SIZE:
            wide, high = rng.uniform(4.0, 12.0), rng.uniform(0.6, 0.92)
            if rng.uniform() < 0.08:
                x += rng.uniform(8.0, 24.0)
                continue
            colour = _colour(rng, (0.15, 0.7), (0.25, 0.75))
            base = top + shelf - 4.0
            _rectangle(picture, x, base - high * (shelf - 8.0), x + wide - 0.8, base, colour)
            if rng.uniform() < 0.4:
                y = base - high * (shelf - 8.0) * rng.uniform(0.6, 0.85)
                _rectangle(picture, x, y, x + wide - 0.8, y + 3.0, np.clip(colour * 1.5 + 0.15, 0, 1))
            x += wide
        _rectangle(picture, -2, top + shelf - 4.0, SIZE + 2, top + shelf, wood)
        top += shelf


def _window(rng, picture) -> None:
    _gradient(rng, picture)
    x0, y0 = rng.uniform(-30.0, 150.0), rng.uniform(-40.0, 40.0)
    wide, high = rng.uniform(80.0, 130.0), rng.uniform(100.0, 170.0)
    frame = np.full(3, rng.uniform(0.75, 0.92), np.float32)
    _rectangle(picture, x0 - 5, y0 - 5, x0 + wide + 5, y0 + high + 5, frame)
    sky = np.array([0.72, 0.84, 0.95], np.float32) * np.float32(rng.uniform(0.9, 1.05))
    columns, rows = rng.integers(1, 4), rng.integers(2, 4)
    for i in range(columns):
        for j in range(rows):
            x, y = x0 + wide * i / columns, y0 + high * j / rows
            _rectangle(
                picture,
                x + 2,
                y + 2,
                x + wide / columns - 2,
                y + high / rows - 2,
                np.clip(sky * (1 - 0.08 * j), 0, 1),
            )
    if rng.uniform() < 0.6:
        green = np.array([0.30, 0.45, 0.25], np.float32)
        _rectangle(
            picture, x0 + 2, y0 + high * rng.uniform(0.65, 0.85), x0 + wide - 2, y0 + high - 2, green, 0.8
        )


def _panels(rng, picture) -> None:
    colour = _colour(rng, (0.05, 0.4), (0.35, 0.7))
    picture[:] = colour
    wide = rng.uniform(18.0, 46.0)
    x = rng.uniform(-wide, 0.0)
    while x < SIZE:
        _rectangle(picture, x, -2, x + wide - 2, SIZE + 2, np.clip(colour * rng.uniform(0.92, 1.10), 0, 1))
        _rectangle(picture, x + wide - 2, -2, x + wide, SIZE + 2, colour * 0.7)
        x += wide
    if rng.uniform() < 0.5:
        y = rng.uniform(150.0, 215.0)
        _rectangle(picture, -2, y, SIZE + 2, SIZE + 2, colour * rng.uniform(0.55, 0.8))
        _rectangle(picture, -2, y, SIZE + 2, y + 4, np.clip(colour * 1.2, 0, 1))


def _discs(rng, picture) -> None:
    _gradient(rng, picture)
    turn = np.linspace(0.0, 2.0 * np.pi, 25)[:-1]
    for _ in range(rng.integers(10, 26)):
        centre, radius = rng.uniform(0.0, SIZE, 2), rng.uniform(7.0, 24.0)
        ring = centre + radius * np.stack([np.cos(turn), np.sin(turn)], axis=1)
        colour, strength = _colour(rng, (0.2, 0.6), (0.6, 1.0)), rng.uniform(0.25, 0.7)
        if (ring.max(0) < 2).any() or (ring.min(0) > SIZE - 2).any():
            continue
        window, mask = polygon(picture.shape[:2], ring, 1.5)
        blend(picture[window], mask * np.float32(strength), colour)


def _studio(rng, picture) -> None:
    colour = _colour(rng, (0.05, 0.5), (0.45, 0.75))
    y, x = np.mgrid[0:SIZE, 0:SIZE] / (SIZE - 1.0)
    cx, cy, reach = rng.uniform(0.3, 0.7), rng.uniform(0.25, 0.55), rng.uniform(0.5, 0.8)
    light = np.exp(-(((x - cx) ** 2 + (y - cy) ** 2) / reach**2))
    picture[:] = colour * (0.35 + 0.85 * light)[..., None]
    mottle = spectral_noise(rng, SIZE, 3.0, 1.6)
    picture *= (1.0 + 0.05 * mottle)[..., None]


_DRAW = dict(zip(KINDS, (_gradient, _bookshelves, _window, _panels, _discs, _studio)))


def paint_background(seed: int) -> np.ndarray:
    """The background of a seed: uint8 (256, 256, 3) sRGB (stream 33)."""
    rng = np.random.default_rng([seed, 33])
    kind = KINDS[rng.choice(6, p=[0.14, 0.15, 0.18, 0.18, 0.16, 0.19])]
    blur = rng.uniform(0.8, 3.5)
    dim = rng.uniform(0.75, 1.0)
    picture = np.zeros((SIZE, SIZE, 3), np.float32)
    _DRAW[kind](rng, picture)
    for channel in range(3):
        picture[..., channel] = gaussian_filter(picture[..., channel], blur, mode="nearest")
    y = np.linspace(-1.0, 1.0, SIZE, dtype=np.float32)
    corner = smoothstep(np.hypot(y[:, None], y[None]), 0.7, 1.5)
    picture *= (dim * (1.0 - 0.15 * corner))[..., None]
    return to_bytes(picture)
