"""Clothes: a garment laid over the torso from a neckline down, with collars, and its cloth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from talkbench.data.synthetic.paint import blend, spectral_noise
from talkbench.data.synthetic.parts import Part, grid_triangles
from talkbench.geometry.head import head, smoothstep

PATTERNS = ("plain", "stripes", "check", "knit", "shirt")
COLLARS = ("none", "round", "high", "shirt", "hood")
REGION = (0.425, 0.715, 0.69, 0.99)  # u0, u1, v0, v1 in the atlas
ROWS, COLUMNS = (
    slice(349, 512),
    slice(213, 372),
)  # the atlas pixels painted with cloth, a little more than REGION
_RING = 36


@dataclass(frozen=True)
class Garment:
    """What is worn. Colours sRGB 0..1, lengths in head units.

    height: of the neckline at the sides. v_neck: how far it goes down in front. loose: distance from the
    torso.
    """

    pattern: str
    collar: str
    colour: tuple[float, float, float]
    second: tuple[float, float, float]
    height: float
    v_neck: float
    loose: float
    scale: float


_PALETTE = np.array(
    [
        (0.11, 0.12, 0.15),
        (0.16, 0.20, 0.33),
        (0.24, 0.36, 0.58),
        (0.60, 0.14, 0.15),
        (0.17, 0.33, 0.23),
        (0.86, 0.85, 0.82),
        (0.46, 0.46, 0.48),
        (0.72, 0.60, 0.40),
        (0.45, 0.24, 0.38),
        (0.80, 0.55, 0.20),
        (0.30, 0.50, 0.52),
        (0.36, 0.24, 0.18),
    ]
)


def draw_garment(rng: np.random.Generator) -> Garment:
    """Draw what is worn; always the same number of draws."""
    pattern = PATTERNS[rng.choice(5, p=[0.34, 0.18, 0.14, 0.18, 0.16])]
    first, second = rng.choice(len(_PALETTE), 2, replace=False)
    shade = rng.uniform(0.85, 1.15, 2)
    u = rng.uniform(0.0, 1.0, 5)
    collar = COLLARS[rng.choice(5, p=[0.26, 0.28, 0.18, 0.16, 0.12])]
    if pattern == "shirt":
        collar = "shirt"
    elif collar == "shirt" and pattern == "knit":
        collar = "high"
    v_neck = (0.0, 0.0, 0.35, 0.6)[int(4 * u[0])] if collar == "none" else 0.30 if collar == "shirt" else 0.0
    return Garment(
        pattern=pattern,
        collar=collar,
        colour=tuple(np.clip(_PALETTE[first] * shade[0], 0, 0.92)),
        second=tuple(np.clip(_PALETTE[second] * shade[1], 0, 0.92)),
        height=float(-1.32 + 0.12 * u[1]),
        v_neck=float(v_neck),
        loose=float(0.04 + 0.03 * u[2]),
        scale=float(0.7 + 0.7 * u[3]),
    )


def _profile(y: np.ndarray) -> tuple[np.ndarray, ...]:
    """Half width, half depth, centre z and power of the torso's cross section at heights y."""
    table = np.asarray(head().torso_profile, np.float64)[::-1]
    return tuple(np.interp(y, table[:, 0], table[:, i]) for i in range(1, 5))


def _around(angle: np.ndarray, y: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Points (..., 3) at `out` from the torso; angle 0 in front, positive to +x."""
    width, depth, centre, power = _profile(y)
    side, front = np.sin(angle), np.cos(angle)
    x = (width + out) * np.sign(side) * np.abs(side) ** (2.0 / power)
    z = centre + (depth + out) * np.sign(front) * np.abs(front) ** (2.0 / power)
    return np.stack(np.broadcast_arrays(x, y, z), axis=-1)


def _uv(angle: np.ndarray, v: np.ndarray) -> np.ndarray:
    u0, u1, v0, v1 = REGION
    pad = 0.008
    u = u0 + pad + (u1 - u0 - 2 * pad) * (angle / (2.0 * np.pi) + 0.5)
    return np.stack(np.broadcast_arrays(u, v0 + pad + (v1 - v0 - 2 * pad) * v), axis=-1).reshape(-1, 2)


def _sheet(angle, y, out, v) -> Part:
    points = _around(angle, y, out)
    rows, columns = points.shape[:2]
    triangles = grid_triangles(rows, columns, closed=False)
    return Part(points.reshape(-1, 3), triangles, _uv(angle, v), two_sided=True)


def build_garment(garment: Garment) -> list[Part]:
    """Meshes of the garment on the rest torso, two-sided."""
    angle = np.linspace(-np.pi, np.pi, _RING + 1)[None]  # the seam at the back has its vertices twice
    front, back = np.maximum(np.cos(angle), 0.0), np.maximum(-np.cos(angle), 0.0)
    neck = garment.height - garment.v_neck * np.exp(-((angle / 0.42) ** 2)) - 0.16 * front + 0.12 * back
    t = (np.linspace(0.0, 1.0, 10) ** 1.6)[:, None]
    y = neck + (-3.2 - neck) * t
    out = np.full_like(y, garment.loose)
    # the rim turns in towards the skin, so that the cloth has an edge
    y = np.concatenate([neck - 0.02, neck, y[1:]])
    out = np.concatenate([np.full_like(neck, -0.02), np.full_like(neck, garment.loose + 0.012), out[1:]])
    v = np.clip((-1.0 - y) / 2.2, 0.0, 1.0)
    parts = [_sheet(angle, y, out, v)]
    if garment.collar == "round":
        t = np.array([0.0, 0.5, 1.0, 1.0])[:, None]
        parts.append(
            _sheet(
                angle,
                neck + 0.045 - 0.11 * t,
                garment.loose + np.array([[-0.03], [0.02], [0.03], [-0.03]]),
                0.0 * t + 0.02,
            )
        )
    elif garment.collar == "high":
        top = -1.06 + 0.03 * back
        t = np.linspace(0.0, 1.0, 7)[:, None]
        rim = np.array([[-0.04], [0.035], [0.05], [0.045], [0.04], [0.045], [0.05]]) + garment.loose - 0.03
        parts.append(
            _sheet(angle, top + (neck - 0.06 - top) * t, rim, np.broadcast_to(0.25 * t, (7, _RING + 1)))
        )
    elif garment.collar == "shirt":
        open_half = 0.16
        wrap = np.linspace(open_half, 2.0 * np.pi - open_half, _RING + 1)[None]
        from_opening = np.minimum(wrap, 2.0 * np.pi - wrap) - open_half
        ahead = np.exp(-((from_opening / 0.5) ** 2))
        top = -1.09 + 0.05 * np.maximum(-np.cos(wrap), 0.0) - 0.03 * ahead
        fall = top - 0.22 - 0.16 * ahead
        rows = [(top - 0.06, -0.01), (top, 0.035), (0.5 * (top + fall), 0.085), (fall, 0.12)]
        heights = np.concatenate([row[0] for row in rows])
        outs = np.concatenate([np.full_like(top, row[1]) for row in rows])
        folded = (wrap + np.pi) % (2.0 * np.pi) - np.pi
        v = np.array([0.02, 0.03, 0.06, 0.10])[:, None]
        part = _sheet(wrap, heights, outs, v)
        parts.append(Part(part.vertices, part.triangles, _uv(folded * 0.9, v), two_sided=True))
    elif garment.collar == "hood":
        roll = np.array([0.0, 0.25, 0.5, 0.75, 1.0])[:, None]
        size = 0.10 + 0.08 * back - 0.02 * front
        heights = neck + 0.02 + size * np.sin(np.pi * roll)
        outs = garment.loose - 0.04 + 1.4 * size * roll
        parts.append(_sheet(angle, heights, outs, np.broadcast_to(0.02 + 0.2 * roll, (5, _RING + 1))))
    return parts


def paint_cloth(garment: Garment, rng: np.random.Generator) -> np.ndarray:
    """Texture float32 (163, 159, 3) sRGB 0..1 for the atlas pixels ROWS x COLUMNS."""
    height, width = ROWS.stop - ROWS.start, COLUMNS.stop - COLUMNS.start
    broad = spectral_noise(rng, 256, 3.0, 1.0)[:height, :width]
    fine = spectral_noise(rng, 256, 50.0, 0.2)[:height, :width]
    first, second = np.array(garment.colour, np.float32), np.array(garment.second, np.float32)
    cloth = np.empty((height, width, 3), np.float32)
    cloth[:] = first
    row, column = np.arange(height)[:, None] + 0.5, np.arange(width)[None] + 0.5
    scale = garment.scale

    def band(position, period, share):
        phase = np.abs((position / period) % 1.0 - 0.5) * 2.0
        return smoothstep(phase, 1.0 - share - 0.12, 1.0 - share + 0.12).astype(np.float32)

    if garment.pattern == "stripes":
        blend(cloth, np.broadcast_to(band(row, 13.0 * scale, 0.45), (height, width)), second)
    elif garment.pattern == "check":
        across, down = band(column, 12.0 * scale, 0.4), band(row, 11.0 * scale, 0.4)
        blend(cloth, 0.5 * across + 0.5 * down, second)
    elif garment.pattern == "knit":
        stitch = np.cos(2 * np.pi * (row / 3.2 + 0.5 * np.abs((column / 4.0) % 1.0 - 0.5)))
        cloth *= (1.0 + 0.10 * stitch * np.cos(np.pi * column / 4.0) ** 2 - 0.05)[..., None]
        blend(cloth, np.broadcast_to(0.7 * band(row + 4, 60.0 * scale, 0.10), (height, width)), second)
    elif garment.pattern == "shirt":
        middle = np.exp(-(((column - width / 2) / 1.2) ** 2))
        cloth *= (1.0 - 0.25 * middle)[..., None]
        buttons = np.exp(-(((column - width / 2) / 1.3) ** 2)) * np.exp(
            -((((row / 20.0) % 1.0 - 0.5) * 20.0 / 1.3) ** 2)
        )
        blend(cloth, np.clip(buttons, 0, 1).astype(np.float32), 0.4 * second + 0.5)
        blend(cloth, np.broadcast_to(0.25 * band(column, 8.0 * scale, 0.25), (height, width)), second)
    cloth *= (1.0 + 0.035 * broad + 0.03 * fine)[..., None]
    return np.clip(cloth, 0.0, 1.0)
