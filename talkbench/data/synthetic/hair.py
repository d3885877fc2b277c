"""Hair: a shell over the scalp from the crown to a drawn hairline, curtains for long styles, loose tufts.

The rows of the shell end on the hairline itself (each column of the grid has its own length), so its edge is
as ragged as the columns make it and no half triangles are left. Everything is built on the rest head; shape
directions move it later.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from talkbench.data.synthetic.parts import Part, grid_triangles
from talkbench.geometry.compiled import compiled
from talkbench.geometry.head import head, smoothstep

CENTRE = np.array([0.0, 0.45, -0.8])  # C0: the scalp is measured from here
REGION = (0.01, 0.39, 0.69, 0.99)  # u0, u1, v0, v1 of the hair in the atlas
STYLES = ("bald", "buzz", "short", "quiff", "fringe", "long", "bob", "afro", "curly", "bun")
COLUMNS, ROWS = 84, 17
LOWEST = np.deg2rad(-48.0)  # elevation at which the scalp grid ends
_SCALP_ROWS, _SCALP_COLUMNS = 47, 96

_LINE_ANGLE = np.array([0.0, 25.0, 45.0, 58.0, 68.0, 84.0, 96.0, 108.0, 125.0, 150.0, 180.0])
_LINE_HEIGHT = np.array([1.0, 0.99, 0.93, 0.74, 0.62, np.nan, 0.48, 0.46, -0.1, -0.35, -0.4])


@dataclass(frozen=True)
class HairStyle:
    """How the hair is cut. Lengths in head units, angles in degrees.

    thickness_side, thickness_top: of the shell. sideburn: height at which the hair ends before the ear.
    fringe: how far it comes down over the forehead. recede: how far the hairline has gone up at the temples;
    raised: in the whole front. sweep, peak: asymmetry of the hairline and its point in the middle. parting:
    azimuth or None. bottom: height at which long hair ends, None if it is short. rough: deviation of the
    thickness. asymmetry: more hair on one side. lean: slant of the strands. tufts: number of loose tufts
    along the hairline; curl: 0 straight to 1 curly strands; colour: sRGB 0..1.
    """

    name: str
    colour: tuple[float, float, float]
    thickness_side: float = 0.0
    thickness_top: float = 0.0
    sideburn: float = 0.1
    fringe: float = 0.0
    recede: float = 0.0
    raised: float = 0.0
    sweep: float = 0.0
    peak: float = 0.0
    parting: float | None = None
    bottom: float | None = None
    rough: float = 0.06
    asymmetry: float = 0.0
    lean: float = 0.0
    tufts: int = 0
    curl: float = 0.0

    @property
    def has_shell(self) -> bool:
        """Whether there is hair with relief (bald and shaved heads are paint only)."""
        return self.name not in ("bald", "buzz")

    @property
    def is_long(self) -> bool:
        """Whether a curtain hangs below the ears."""
        return self.bottom is not None


_COLOURS = {
    "black": (0.105, 0.095, 0.095),
    "dark brown": (0.20, 0.135, 0.10),
    "brown": (0.36, 0.235, 0.155),
    "auburn": (0.44, 0.22, 0.13),
    "red": (0.60, 0.29, 0.14),
    "dark blond": (0.56, 0.43, 0.27),
    "blond": (0.80, 0.66, 0.42),
    "grey": (0.56, 0.56, 0.57),
    "white": (0.72, 0.71, 0.69),
}
_COLOUR_CHANCES = {  # fair, middle, dark skin
    "fair": (0.10, 0.16, 0.20, 0.09, 0.11, 0.11, 0.13, 0.06, 0.04),
    "middle": (0.34, 0.27, 0.15, 0.05, 0.01, 0.04, 0.02, 0.09, 0.03),
    "dark": (0.62, 0.19, 0.06, 0.02, 0.0, 0.01, 0.01, 0.07, 0.02),
}


def draw_hair(rng: np.random.Generator, tone: float) -> HairStyle:
    """Draw a style for a skin tone (0 fair to 1 dark). Always the same number of draws."""
    group = "fair" if tone < 0.4 else "middle" if tone < 0.68 else "dark"
    base = _COLOURS[list(_COLOURS)[rng.choice(len(_COLOURS), p=_COLOUR_CHANCES[group])]]
    colour = tuple(np.clip(np.array(base) * rng.uniform(0.85, 1.15) * rng.uniform(0.95, 1.05, 3), 0.03, 0.95))
    afro = 0.05 if tone < 0.55 else 0.15
    chances = np.array([0.09, 0.08, 0.18, 0.12, 0.13, 0.15, 0.09, afro, 0.09, 0.07])
    name = STYLES[rng.choice(len(STYLES), p=chances / chances.sum())]
    u = rng.uniform(0.0, 1.0, 12)
    side = rng.choice([-1.0, 1.0])

    def between(index: int, low: float, high: float) -> float:
        return float(low + (high - low) * u[index])

    common = {
        "name": name,
        "colour": colour,
        "sideburn": between(0, -0.02, 0.24),
        "recede": between(1, -0.25, 0.16) if u[1] > 0.6 else 0.0,
        "sweep": float(side * between(2, 0.0, 0.10)),
        "peak": between(3, 0.0, 0.07),
        "raised": between(11, -0.03, 0.13),
        "asymmetry": float(side * between(4, 0.0, 0.25)),
        "lean": float(-side * between(5, 0.0, 0.12)),
        "parting": float(side * between(6, 14.0, 34.0)) if u[6] > 0.5 else None,
        "tufts": int(between(7, 22, 46)),
    }
    if name in ("bald", "buzz"):
        return HairStyle(**common | {"tufts": 0, "recede": max(common["recede"], 0.0), "parting": None})
    if name == "short":
        return HairStyle(
            **common, thickness_side=between(8, 0.04, 0.09), thickness_top=between(9, 0.10, 0.20), rough=0.10
        )
    if name == "quiff":
        up = {"tufts": 0, "recede": 0.03, "parting": None, "peak": 0.0}
        return HairStyle(**common | up, thickness_side=0.04, thickness_top=between(9, 0.20, 0.30), rough=0.09)
    if name == "fringe":
        low = {
            "raised": 0.0,
            "fringe": between(10, 0.15, 0.30),
            "recede": 0.0,
            "sweep": 1.5 * common["sweep"],
            "peak": 0.0,
        }
        return HairStyle(
            **common | low,
            thickness_side=between(8, 0.08, 0.12),
            thickness_top=between(9, 0.14, 0.20),
            rough=0.05,
        )
    if name == "long":
        low = {"raised": 0.0, "fringe": between(10, 0.12, 0.26) if u[11] > 0.55 else 0.0, "recede": 0.0}
        sizes = {"thickness_side": between(8, 0.08, 0.13), "thickness_top": between(9, 0.12, 0.20)}
        return HairStyle(**common | low | sizes, bottom=between(0, -2.3, -1.3), rough=0.04)
    if name == "bob":
        low = {"raised": 0.0, "fringe": between(10, 0.15, 0.27) if u[11] > 0.4 else 0.0, "recede": 0.0}
        return HairStyle(
            **common | low,
            thickness_side=0.12,
            thickness_top=0.18,
            bottom=between(0, -0.8, -0.45),
            rough=0.04,
        )
    round_cut = {
        "recede": 0.0,
        "parting": None,
        "tufts": 0,
        "lean": 0.0,
        "sweep": 0.3 * common["sweep"],
    }
    if name == "afro":
        return HairStyle(
            **common | round_cut,
            thickness_side=between(8, 0.16, 0.30),
            thickness_top=between(9, 0.24, 0.40),
            rough=0.10,
            curl=1.0,
        )
    if name == "curly":
        return HairStyle(
            **common | round_cut | {"fringe": between(10, 0.0, 0.12)},
            thickness_side=between(8, 0.08, 0.14),
            thickness_top=between(9, 0.16, 0.26),
            rough=0.20,
            curl=1.0,
        )
    pulled = {"recede": 0.0, "tufts": 0, "sweep": 0.0, "lean": 0.0}
    return HairStyle(
        **common | pulled, thickness_side=0.045, thickness_top=between(9, 0.06, 0.10), rough=0.03
    )


def hairline(style: HairStyle, azimuth: np.ndarray) -> np.ndarray:
    """Height y of the hairline at an azimuth in radians about CENTRE, 0 in front, positive to +x."""
    psi = np.rad2deg(np.asarray(azimuth, np.float64))
    psi = (psi + 180.0) % 360.0 - 180.0
    turn = np.abs(psi)
    heights = np.where(np.isnan(_LINE_HEIGHT), style.sideburn, _LINE_HEIGHT)
    y = np.interp(turn, _LINE_ANGLE, heights)
    temple = np.exp(-(((turn - 45.0) / 26.0) ** 2))
    y = y + style.raised * smoothstep(-turn, -75.0, -40.0)
    y = y - style.fringe * smoothstep(-turn, -66.0, -46.0)
    y = y + style.recede * (0.35 * np.exp(-((turn / 40.0) ** 2)) + temple)
    y = y + style.sweep * np.sin(np.deg2rad(2.0 * psi)) * np.exp(-((psi / 60.0) ** 2))
    return y - style.peak * np.exp(-((psi / 9.0) ** 2))


@compiled
def _cast(origin, directions, corners):
    """Distance from a point inside a mesh to its farthest surface along directions, 0 at a hole."""
    out = np.zeros(len(directions))
    for d in range(len(directions)):
        dx, dy, dz = directions[d]
        for f in range(len(corners)):
            ax, ay, az = corners[f, 0]
            ux, uy, uz = corners[f, 1, 0] - ax, corners[f, 1, 1] - ay, corners[f, 1, 2] - az
            vx, vy, vz = corners[f, 2, 0] - ax, corners[f, 2, 1] - ay, corners[f, 2, 2] - az
            px, py, pz = dy * vz - dz * vy, dz * vx - dx * vz, dx * vy - dy * vx
            scale = ux * px + uy * py + uz * pz
            if abs(scale) < 1e-12:
                continue
            tx, ty, tz = origin[0] - ax, origin[1] - ay, origin[2] - az
            a = (tx * px + ty * py + tz * pz) / scale
            qx, qy, qz = ty * uz - tz * uy, tz * ux - tx * uz, tx * uy - ty * ux
            b = (dx * qx + dy * qy + dz * qz) / scale
            if a < -1e-6 or b < -1e-6 or a + b > 1.0 + 1e-6:
                continue
            distance = (vx * qx + vy * qy + vz * qz) / scale
            if distance > out[d]:
                out[d] = distance
    return out


@cache
def _scalp() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Elevations, azimuths and radius of the scalp grid, closed in azimuth: the rest head as seen from
    CENTRE.

    Measured on the mesh: `hair_radius` of the head file lies up to .25 under and .1 above the skin below the
    crown.
    """
    elevations = np.linspace(np.pi / 2, LOWEST, _SCALP_ROWS)
    azimuths = np.linspace(0.0, 2.0 * np.pi, _SCALP_COLUMNS + 1)
    part = head().parts["head"]
    triangles = head().triangles
    inside = (triangles >= part.start).all(axis=1) & (triangles < part.stop).all(axis=1)
    corners = np.ascontiguousarray(head().vertices[triangles[inside]], np.float64)
    rays = direction(azimuths[None], elevations[:, None]).reshape(-1, 3)
    radius = _cast(CENTRE, rays, corners).reshape(len(elevations), len(azimuths))
    known = np.where(radius > 0.0, radius, np.nan)
    return elevations, azimuths, np.where(radius > 0.0, radius, np.nanmedian(known, axis=1, keepdims=True))


def scalp_radius(azimuth: np.ndarray, elevation: np.ndarray) -> np.ndarray:
    """Distance of the scalp from CENTRE in a direction (radians), bilinear on a measured grid."""
    elevations, azimuths, radius = _scalp()
    row = (elevations[0] - np.asarray(elevation)) / (elevations[0] - elevations[1])
    row = np.clip(row, 0.0, len(elevations) - 1.000001)
    column = (np.asarray(azimuth) % (2.0 * np.pi)) / azimuths[1]
    row, column = np.broadcast_arrays(row, np.clip(column, 0.0, _SCALP_COLUMNS - 1e-6))
    i, j = row.astype(int), column.astype(int)
    a, b = row - i, column - j
    top = radius[i, j] * (1 - b) + radius[i, j + 1] * b
    low = radius[i + 1, j] * (1 - b) + radius[i + 1, j + 1] * b
    return top * (1 - a) + low * a


def direction(azimuth: np.ndarray, elevation: np.ndarray) -> np.ndarray:
    """Unit vectors (..., 3) of azimuth and elevation in radians."""
    azimuth, elevation = np.broadcast_arrays(azimuth, elevation)
    flat = np.cos(elevation)
    return np.stack([flat * np.sin(azimuth), np.sin(elevation), flat * np.cos(azimuth)], axis=-1)


def _line_elevation(azimuth: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Elevation at which the scalp has a given height, per azimuth."""
    grid = np.linspace(np.pi / 2, LOWEST, 160)
    y = CENTRE[1] + scalp_radius(azimuth[:, None], grid[None]) * np.sin(grid)
    y = np.minimum.accumulate(y, axis=1)
    return np.array([np.interp(-h, -row, grid) for h, row in zip(height, y)])


def _smooth_noise(rng: np.random.Generator, rows: int, columns: int, waves: int) -> np.ndarray:
    """Noise (rows, columns) of unit deviation, periodic in the columns, about `waves` bumps round."""
    k = np.fft.rfftfreq(columns, 1.0 / columns)
    r = np.fft.fftfreq(rows, 1.0 / rows)
    keep = np.exp(-((k / waves) ** 2))[None] * np.exp(-((r / max(waves * rows / columns, 1.5)) ** 2))[:, None]
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((rows, columns))) * keep, s=(rows, columns))
    return noise / noise.std()


def _strand_uv(style: HairStyle, azimuth: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Texture coordinates: strands run along v; u is folded so that no seam is needed round the head."""
    turns = azimuth / np.pi * 1.5 + style.lean * along * 3.0 + 0.31
    folded = np.abs((turns % 2.0) - 1.0)
    u0, u1, v0, v1 = REGION
    pad = 0.012
    u = u0 + pad + (u1 - u0 - 2 * pad) * folded
    v = v0 + pad + (v1 - v0 - 2 * pad) * np.clip(along, 0.0, 1.0)
    return np.stack(np.broadcast_arrays(u, v), axis=-1)


def _height(style: HairStyle, azimuth, elevation, base) -> np.ndarray:
    """Thickness of the hair away from its edge."""
    y = CENTRE[1] + base * np.sin(elevation)
    z = CENTRE[2] + base * np.cos(elevation) * np.cos(azimuth)
    more = style.thickness_top - style.thickness_side
    if style.name == "quiff":
        front = smoothstep(z, -1.1, -0.15) * smoothstep(y, 0.85, 1.1)
        return style.thickness_side + more * (0.35 + 0.75 * front) * smoothstep(y, 0.6, 1.15)
    # the skull is an egg; hair makes it round where it narrows
    round_off = (
        0.5
        * min(style.thickness_top, 0.15)
        * (1.0 - 0.7 * style.curl)
        * np.exp(-(((y - 1.12) / 0.30) ** 2))
        * np.sin(azimuth) ** 2
    )
    return style.thickness_side + more * smoothstep(y, 0.45, 1.2) + round_off


def _shell(style: HairStyle, rng: np.random.Generator) -> tuple[Part, dict]:
    azimuth = np.arange(COLUMNS) * (2.0 * np.pi / COLUMNS)
    ragged = 0.02 + 0.015 * (style.fringe > 0) + 0.01 * style.curl
    jitter = ragged * (0.7 * rng.standard_normal(COLUMNS) + 0.9 * _smooth_noise(rng, 1, COLUMNS, 14)[0])
    turn = np.abs((np.rad2deg(azimuth) + 180.0) % 360.0 - 180.0)
    jitter *= 1.0 - 0.6 * smoothstep(turn, 75.0, 90.0)
    line = hairline(style, azimuth) + np.clip(jitter, -0.07, 0.07)
    if style.is_long:
        line = np.where(turn > 72.0, np.maximum(line, 0.5), line)
    end = _line_elevation(azimuth, line)
    # rows: equal steps of arc, denser at the hairline where the shell rounds off
    t = np.linspace(0.0, 1.0, ROWS + 1)[1:]
    t = 1.0 - (1.0 - t) ** 1.35
    elevation = np.pi / 2 + (end[None] - np.pi / 2) * t[:, None]
    base = scalp_radius(azimuth[None], elevation)
    y = CENTRE[1] + base * np.sin(elevation)
    s = np.maximum(y - y[-1:], (1.0 - t[:, None]) * 0.6)
    height = _height(style, azimuth[None], elevation, base)
    if style.is_long:  # the curtain covers the sides
        covered = smoothstep(turn, 60.0, 76.0)[None] * smoothstep(-y, -1.15, -0.85)
        height = height * (1.0 - 0.9 * covered)
    noise = _smooth_noise(rng, ROWS, COLUMNS, 26 if style.curl else 9)
    strands = _smooth_noise(rng, 1, COLUMNS, 30)
    slope = 0.25 if style.name == "quiff" else 0.6
    taper = smoothstep(t, 0.02, 0.25)[:, None]
    relief = 1.0 + taper * (style.rough * noise + 0.5 * (1.0 - style.curl) * style.rough * strands)
    thickness = height * smoothstep(s, -0.04, 0.10 + slope * height) * np.clip(relief, 0.5, 1.6)
    thickness = thickness * (1.0 + taper * style.asymmetry * np.sin(azimuth)[None])
    if style.parting is not None:
        # the parting runs back from the hairline along a plane beside the middle
        x = base * np.cos(elevation) * np.sin(azimuth)[None]
        place = 0.75 * np.sin(np.deg2rad(style.parting))
        z = base * np.cos(elevation) * np.cos(azimuth)[None]
        thickness = thickness * (1.0 - 0.5 * np.exp(-(((x - place) / 0.06) ** 2)) * smoothstep(z, -0.3, 0.1))
    lift = 0.028 if style.fringe else 0.0  # a fringe hangs in front of the skin, it doesn't grow out of it
    front = smoothstep(-turn, -64.0, -50.0)[None]
    thickness = thickness + lift * front * smoothstep(t, 0.75, 1.0)[:, None]
    thickness[-1] = np.where(front[0] > 0, lift * front[0], 0.0) - 0.012
    radius = base + thickness
    # one vertex at the crown: the mean of the first row, else there is a spike or a hole
    crown = CENTRE + np.array([0.0, float(np.mean(radius[0] * np.sin(elevation[0])) + 0.012), 0.0])
    points = CENTRE + radius[..., None] * direction(azimuth[None], elevation)
    under = CENTRE + (base[-1] - 0.05)[:, None] * direction(azimuth, elevation[-1] + 0.02)
    vertices = np.concatenate([crown[None], points.reshape(-1, 3), under])
    along = np.concatenate([t, [1.0]])
    uv = np.concatenate(
        [
            _strand_uv(style, np.zeros(1), np.zeros(1)),
            _strand_uv(style, azimuth[None], along[:, None]).reshape(-1, 2),
        ]
    )
    ring = 1 + np.arange(COLUMNS)
    fan = np.stack([np.zeros(COLUMNS, int), ring, np.roll(ring, -1)], axis=1)
    body = grid_triangles(ROWS + 1, COLUMNS, closed=True) + 1
    part = Part(vertices, np.concatenate([fan, body]), uv, two_sided=True)
    return part, {
        "azimuth": azimuth,
        "turn": turn,
        "elevation": elevation,
        "base": base,
        "radius": radius,
        "line": line,
    }


def _curtain(style: HairStyle, rng: np.random.Generator, grid: dict) -> Part:
    """Long hair: from under the shell out to a cylinder and down, open in front of the face."""
    columns = 48
    opening = 62.0 if style.name == "long" else 66.0
    azimuth = np.deg2rad(np.linspace(opening, 360.0 - opening, columns))
    side = np.minimum(np.abs(np.linspace(0.0, 1.0, columns)), np.abs(np.linspace(1.0, 0.0, columns)))
    rows, upper = 14, 6
    bottom = style.bottom + 0.05 * _smooth_noise(rng, 1, columns, 12)[0] + 0.02 * rng.standard_normal(columns)
    bottom = bottom + (0.20 if style.name == "bob" else 0.3) * smoothstep(-side, -0.06, 0.0) * rng.uniform(
        0.2, 1.0
    )
    # the upper rows lie on the shell, which they leave from inside, so that no ledge is seen
    elevation = np.linspace(np.deg2rad(50.0), np.deg2rad(12.0), upper)[:, None]
    base = scalp_radius(azimuth[None], elevation)
    rise = np.linspace(-0.035, 0.012, upper)[:, None]
    outer = base + _height(style, azimuth[None], elevation, base) + rise
    on_shell = CENTRE + outer[..., None] * direction(azimuth[None], elevation)
    t = np.linspace(0.0, 1.0, rows - upper + 1)[1:, None]
    y = np.concatenate([on_shell[..., 1], on_shell[-1:, :, 1] + (bottom[None] - on_shell[-1:, :, 1]) * t])
    flat_shell = on_shell[..., [0, 2]] - CENTRE[[0, 2]]
    flat_shell = np.concatenate([flat_shell, np.repeat(flat_shell[-1:], rows - upper, axis=0)])
    t = np.linspace(0.0, 1.0, rows)[:, None]
    width, depth = 0.93 + style.thickness_side, 1.08 + style.thickness_side
    if style.name == "bob":
        width, depth = width + 0.02, depth + 0.02
    flat = np.stack([width * np.sin(azimuth), depth * np.cos(azimuth)], axis=1)
    mix = smoothstep(-y, -1.05, -0.15)[..., None]
    xz = flat_shell * (1.0 - mix) + flat[None] * mix
    wave = 1.0 + (0.018 + 0.02 * style.curl) * _smooth_noise(rng, rows, columns, 10) * mix[..., 0]
    wave = wave + 0.012 * np.sin(6.0 * (1.0 - y) + rng.uniform(0.0, 6.28)) * mix[..., 0]
    # below the jaw the hair closes in a little; a bob turns inwards at its end
    inward = (
        1.0
        - 0.06 * smoothstep(-y, 0.4, 1.2)
        - (0.10 * smoothstep(t, 0.8, 1.0) if style.name == "bob" else 0.0)
    )
    edge = 1.0 - 0.10 * smoothstep(-side, -0.035, 0.0)[None]
    xz = xz * (wave * inward * edge)[..., None]
    vertices = np.stack([xz[..., 0], y, xz[..., 1] + CENTRE[2]], axis=-1)
    uv = _strand_uv(style, azimuth[None], 0.35 + 0.65 * t)
    triangles = grid_triangles(rows, columns, closed=False)
    return Part(vertices.reshape(-1, 3), triangles, uv.reshape(-1, 2), two_sided=True)


def _tufts(style: HairStyle, rng: np.random.Generator, grid: dict) -> list[Part]:
    """Loose strands that start on the shell and end beyond its edge: they break the line of the hair."""
    parts = []
    limit = 62.0
    count = style.tufts
    draws = rng.uniform(0.0, 1.0, (count, 6))
    for draw in draws:
        psi = np.deg2rad(limit * (2.0 * draw[0] - 1.0))
        column = int(np.round(psi / (2 * np.pi) * COLUMNS)) % COLUMNS
        end = grid["elevation"][-1, column]
        length = 0.12 + 0.16 * draw[1]
        beyond = (0.02 + 0.06 * draw[2]) * (1.2 if style.fringe else 0.7)
        slant = (draw[3] - 0.5) * 0.22 + style.lean * 0.8
        half = 0.018 + 0.02 * draw[4]
        steps = np.linspace(0.0, 1.0, 4)
        el = end + length * (1.0 - steps) - beyond * steps
        az = psi + slant * steps / max(np.cos(end), 0.3)
        shell = np.interp(el[::-1], grid["elevation"][::-1, column], grid["radius"][::-1, column])[::-1]
        lift = np.where(steps < 0.99, 0.012 + 0.02 * draw[5] * np.sin(np.pi * steps), 0.004)
        scalp = scalp_radius(az, np.maximum(el, LOWEST))
        radius = np.maximum(shell, scalp + 0.012) + lift
        width = half * np.array([0.5, 1.0, 0.85, 0.08])
        left = CENTRE + radius[:, None] * direction(az - width, el)
        right = CENTRE + radius[:, None] * direction(az + width, el)
        middle = CENTRE + (radius + 0.3 * width)[:, None] * direction(az, el)
        vertices = np.stack([left, middle, right], axis=1).reshape(-1, 3)
        uv = _strand_uv(
            style, np.stack([az - width, az, az + width], 1) + 2.0 * draw[4], 0.45 + 0.55 * steps[:, None]
        )
        parts.append(Part(vertices, grid_triangles(4, 3, closed=False), uv.reshape(-1, 2), two_sided=True))
    return parts


def _bun(style: HairStyle, rng: np.random.Generator) -> Part:
    """A knot of hair at the back of the crown."""
    size = rng.uniform(0.26, 0.36)
    up = np.deg2rad(rng.uniform(38.0, 62.0))
    centre = CENTRE + (1.13 + 0.62 * size) * direction(np.array(np.pi), np.array(up))
    columns, rows = 20, 10
    azimuth = np.arange(columns) * (2.0 * np.pi / columns)
    elevation = np.linspace(np.pi / 2 - 0.05, -np.pi / 2 + 0.05, rows)
    radius = size * (1.0 + 0.06 * _smooth_noise(rng, rows, columns, 4))
    points = centre + radius[..., None] * direction(azimuth[None], elevation[:, None])
    uv = _strand_uv(style, azimuth[None], np.linspace(0.0, 1.0, rows)[:, None])
    return Part(
        points.reshape(-1, 3), grid_triangles(rows, columns, closed=True), uv.reshape(-1, 2), two_sided=True
    )


def build_hair(style: HairStyle, rng: np.random.Generator) -> list[Part]:
    """Meshes of a style on the rest head, all two-sided; an empty list for bald and shaved heads."""
    if not style.has_shell:
        return []
    shell, grid = _shell(style, rng)
    parts = [shell]
    if style.is_long:
        parts.append(_curtain(style, rng, grid))
    if style.tufts:
        parts += _tufts(style, rng, grid)
    if style.name == "bun":
        parts.append(_bun(style, rng))
    return parts
