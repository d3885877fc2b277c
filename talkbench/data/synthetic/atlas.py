"""The painted texture of an identity: skin with its features, hair, cloth, eye and mouth, in one sRGB atlas.

Shapes come from the landmark rings of the head file in texture coordinates; everything is drawn for this
project.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.interpolate import LinearNDInterpolator
from scipy.ndimage import gaussian_filter, zoom

from talkbench.data.synthetic.clothes import COLUMNS as CLOTH_COLUMNS
from talkbench.data.synthetic.clothes import ROWS as CLOTH_ROWS
from talkbench.data.synthetic.hair import CENTRE, HairStyle, hairline
from talkbench.data.synthetic.hair import REGION as HAIR_REGION
from talkbench.data.synthetic.paint import blend, polygon, polyline, spectral_noise, strokes, to_bytes
from talkbench.geometry.head import FACE, head, smoothstep

SIZE = 512
_TONES = np.array(
    [
        (250, 220, 200),
        (240, 203, 180),
        (226, 182, 152),
        (204, 155, 121),
        (165, 115, 84),
        (124, 82, 58),
        (92, 60, 44),
    ]
)
_EYE_CENTRE, _EYE_SCALE = (
    (0.865, 0.76),
    (0.115 / 1.3, 0.075 / 1.3),
)  # atlas units, and per radian of the eyeball
_IRIS, _PUPIL = 0.34, 0.135  # radii in radians
_MOUTH_REGION = (0.75, 0.98, 0.87, 0.99)
_SKIN_ROWS = 410  # rows below hold the other parts; the chest that would lie there is always clothed


@dataclass(frozen=True)
class FaceTraits:
    """What is painted on a face. Colours are sRGB 0..1, strengths 0..1, places in head units.

    tone: place on the line of skin tones, 0 fair to 1 dark. skin, iris, lips: colours. lip_strength,
    brow_strength, beard, moustache: strengths. brow_thickness: half height of the brows. brow_arch,
    brow_slant: their shape. freckles, moles: numbers. redness, tired: strength of red cheeks and of shade
    under the eyes. folds: strength of nasolabial and chin folds. crease: of the fold of the upper lid.
    lashes: upper lash line, relative.
    """

    tone: float
    skin: tuple[float, float, float]
    iris: tuple[float, float, float]
    lips: tuple[float, float, float]
    lip_strength: float
    brow_strength: float
    brow_thickness: float
    brow_arch: float
    brow_slant: float
    beard: float
    moustache: float
    freckles: int
    moles: int
    redness: float
    tired: float
    folds: float
    crease: float
    lashes: float


_IRIS_COLOURS = np.array(
    [
        (0.17, 0.10, 0.06),
        (0.30, 0.18, 0.09),
        (0.42, 0.30, 0.14),
        (0.33, 0.40, 0.22),
        (0.30, 0.46, 0.62),
        (0.46, 0.52, 0.56),
    ]
)


def draw_tone(rng: np.random.Generator) -> tuple[float, tuple[float, float, float]]:
    """A place on the line of skin tones (0..1, uniform) and its colour with a little variation."""
    tone = rng.uniform(0.0, 1.0)
    line = [np.interp(tone * 6.0, np.arange(7), _TONES[:, channel]) for channel in range(3)]
    colour = np.array(line) / 255.0 * rng.uniform(0.985, 1.015, 3)
    return float(tone), tuple(np.clip(colour, 0.0, 1.0))


def draw_face(rng: np.random.Generator, tone: float, skin: tuple[float, float, float]) -> FaceTraits:
    """Draw the painted traits; always the same number of draws."""
    strengths = (0.0, 0.0, 0.15, 0.3, 0.55, 0.8)
    u = rng.uniform(0.0, 1.0, 16)
    beard, moustache = (strengths[i] for i in rng.integers(0, 6, 2))
    beardless = u[0] < 0.42
    if moustache == 0.0 and beard > 0.2:
        moustache = beard
    lips = np.array([0.75, 0.38, 0.36]) + rng.uniform(-0.06, 0.06, 3)
    dark = float(smoothstep(tone, 0.45, 1.0))
    weights = np.array([1, 1, 1, 1, 1.3, 1]) * (1 - dark) ** np.array([0, 0.3, 1.5, 4, 5, 5])
    if tone > 0.62:
        weights[2:] *= 0.1
    index = int(np.searchsorted(np.cumsum(weights / weights.sum()), u[1]))
    iris = _IRIS_COLOURS[min(index, 5)] * (0.85 + 0.3 * u[2])
    freckled = u[3] > 0.6 and tone < 0.5
    return FaceTraits(
        tone=tone,
        skin=skin,
        iris=tuple(np.clip(iris, 0, 1)),
        lips=tuple(lips * (1.0 - 0.45 * dark)),
        lip_strength=float(0.45 + 0.45 * u[4]),
        brow_strength=float(0.6 + 0.35 * u[5]),
        brow_thickness=float(0.030 + 0.030 * u[6]),
        brow_arch=float(-0.01 + 0.05 * u[7]),
        brow_slant=float(0.05 * (u[8] - 0.5)),
        beard=0.0 if beardless else beard,
        moustache=0.0 if beardless else moustache,
        freckles=int(160 * u[9]) if freckled else 0,
        moles=int(4 * u[10]),
        redness=float(0.35 + 0.65 * u[11]),
        tired=float(0.2 + 0.8 * u[12]),
        folds=float(0.15 + 0.35 * u[13] ** 2),
        crease=float(0.4 + 0.6 * u[14]),
        lashes=float(0.7 + 0.5 * u[15]),
    )


def to_uv(azimuth, y):
    """Texture coordinates of skin at an azimuth atan2(x, z + .6) and height y."""
    turn = np.abs(azimuth)
    turn = np.where(turn > 1.7, 1.7 + (turn - 1.7) * 0.3, turn)
    y = np.where(y > 1.1, 1.1 + (y - 1.1) * 0.4, np.where(y < -1.0, -1.0 + (y + 1.0) * 0.4, y))
    return 0.5 + 0.49 * np.sign(azimuth) * turn / 2.14, 0.005 + 0.655 * (1.36 - y) / 2.72


@cache
def _grid() -> dict[str, np.ndarray]:
    """Per pixel of the skin rows, float32: azimuth, height, x, z at rest, azimuth of the hair grid."""
    u = (np.arange(SIZE) + 0.5) / SIZE
    v = (np.arange(_SKIN_ROWS) + 0.5) / SIZE
    turn = np.abs(u - 0.5) * 2.14 / 0.49
    turn = np.where(turn > 1.7, 1.7 + (turn - 1.7) / 0.3, turn)
    azimuth = np.sign(u - 0.5) * np.minimum(turn, np.pi)
    y = 1.36 - (v - 0.005) * 2.72 / 0.655
    y = np.where(y > 1.1, 1.1 + (y - 1.1) / 0.4, np.where(y < -1.0, -1.0 + (y + 1.0) / 0.4, y))
    points = np.asarray(head().vertices[head().parts["head"]], np.float64)
    count = len(points)
    place = np.stack([np.arctan2(points[:, 0], points[:, 2] + 0.6), points[:, 1]], axis=1)
    distance = np.hypot(points[:, 0], points[:, 2] + 0.6)
    for shift in (-2 * np.pi, 2 * np.pi):
        side = np.sign(place[:count, 0]) == -np.sign(shift)
        place = np.concatenate([place, place[:count][side] + (shift, 0.0)])
        distance = np.concatenate([distance, distance[:count][side]])
    coarse = np.meshgrid(azimuth[2::4], np.clip(y[2::4], -0.95, 1.5))
    radius = LinearNDInterpolator(place, distance, fill_value=0.3)(np.stack(coarse, axis=-1))
    radius = zoom(radius, 4, order=1, grid_mode=True, mode="nearest")[:_SKIN_ROWS]
    radius = np.pad(radius, ((0, _SKIN_ROWS - len(radius)), (0, 0)), mode="edge")
    x, z = radius * np.sin(azimuth), radius * np.cos(azimuth) - 0.6
    tables = {
        "azimuth": np.broadcast_to(azimuth[None], radius.shape),
        "y": np.broadcast_to(y[:, None], radius.shape),
        "x": x,
        "z": z,
        "hair_azimuth": np.arctan2(x, z - CENTRE[2]),
    }
    return {name: np.ascontiguousarray(table, dtype=np.float32) for name, table in tables.items()}


def _bump(x: float, y: float, wide: float, high: float, *, both: bool = False) -> np.ndarray:
    """Gaussian on the skin in head units; `both` adds its mirror image."""
    grid = _grid()
    front = grid["z"] > -0.9
    value = np.exp(-(((grid["x"] - x) / wide) ** 2) - ((grid["y"] - y) / high) ** 2)
    if both:
        value = value + np.exp(-(((grid["x"] + x) / wide) ** 2) - ((grid["y"] - y) / high) ** 2)
    return (value * front).astype(np.float32)


@cache
def _fields() -> dict[str, np.ndarray]:
    """Fixed masks of the face, made once."""
    grid = _grid()
    # where the texture is stretched (crown, back of the head) noise would show as streaks
    even = 1.0 - 0.85 * smoothstep(grid["y"], 1.0, 1.3)
    even *= 1.0 - 0.75 * smoothstep(np.abs(grid["azimuth"]), 1.55, 2.1)
    return {
        "red": np.clip(
            _bump(0.44, -0.05, 0.22, 0.20, both=True)
            + 0.9 * _bump(0, 0.02, 0.13, 0.15)
            + 0.5 * _bump(0, -0.85, 0.22, 0.14),
            0,
            1,
        ),
        "socket": np.clip(_bump(0.33, 0.40, 0.24, 0.13, both=True), 0, 1),
        "under": np.clip(_bump(0.32, 0.22, 0.19, 0.07, both=True), 0, 1),
        "forehead": np.clip(_bump(0, 0.85, 0.5, 0.3) + _bump(0, 0.2, 0.1, 0.2), 0, 1),
        "freckle": np.clip(_bump(0.38, 0.05, 0.3, 0.22, both=True) + _bump(0, 0.1, 0.2, 0.15), 0, 1),
        "even": even.astype(np.float32),
    }


def _pixels(vertices: np.ndarray) -> np.ndarray:
    """Atlas pixels (n, 2) of mesh vertices."""
    return np.asarray(head().uv, np.float64)[vertices] * SIZE


def _face_pixels(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Atlas pixels (n, 2) of points of the front of the face given by x and y."""
    points = np.asarray(head().vertices[FACE], np.float64)
    distance = (points[None, :, 0] - np.asarray(x)[:, None]) ** 2 + (
        points[None, :, 1] - np.asarray(y)[:, None]
    ) ** 2
    weight = 1.0 / (distance + 2e-4) ** 3
    weight /= weight.sum(1, keepdims=True)
    azimuth = weight @ np.arctan2(points[:, 0], points[:, 2] + 0.6)
    # the weighted vertices lie off the wanted place; correct by the local slope of x against the azimuth
    off_x = np.asarray(x) - weight @ points[:, 0]
    azimuth = azimuth + off_x / (weight @ np.maximum(points[:, 2] + 0.6, 0.2)) * np.cos(azimuth) ** 2
    u, v = to_uv(azimuth, np.asarray(y, np.float64))
    return np.stack([u, v], axis=1) * SIZE


def _mix(picture: np.ndarray, window, mask: np.ndarray, colour) -> None:
    blend(picture[window], mask, colour)


def _paint_skin(picture: np.ndarray, traits: FaceTraits, rng: np.random.Generator) -> np.ndarray:
    fields = _fields()
    skin = np.array(traits.skin, np.float32)
    broad = spectral_noise(rng, SIZE, 4.0, 1.3)[:_SKIN_ROWS]
    fine = spectral_noise(rng, SIZE, 30.0, 0.6)[:_SKIN_ROWS]
    tint = spectral_noise(rng, SIZE // 4, 4.0, 1.3)
    tint = zoom(tint, 4, order=1, grid_mode=True, mode="grid-wrap")[:_SKIN_ROWS]
    still = fields["even"]
    broad, fine = broad * still, fine * still
    picture[:] = skin * (1.0 + 0.032 * broad + 0.025 * fine)[..., None]
    picture += tint[..., None] * np.array([0.008, -0.004, -0.006], np.float32)
    flush = (fields["red"] * traits.redness * 0.30)[..., None]
    picture *= 1.0 - flush * np.array([0.06, 0.42, 0.40], np.float32) * (1.0 - 0.35 * traits.tone)
    picture *= 1.0 - (fields["socket"] * 0.16)[..., None] * np.array([0.7, 1.0, 1.05], np.float32)
    picture *= 1.0 - (fields["under"] * 0.12 * traits.tired)[..., None] * np.array(
        [0.8, 1.0, 0.75], np.float32
    )
    picture *= 1.0 + (0.035 * fields["forehead"])[..., None]
    return fine


def _paint_marks(picture: np.ndarray, traits: FaceTraits, rng: np.random.Generator) -> None:
    """Freckles and moles."""
    count = 160
    spots = np.c_[
        rng.uniform(-0.75, 0.75, count),
        rng.uniform(-0.25, 0.5, count),
        rng.uniform(0.7, 1.8, count),
        rng.uniform(0.2, 0.7, count),
    ]
    moles = np.c_[
        rng.uniform(-0.6, 0.6, 3),
        rng.uniform(-0.75, 0.9, 3),
        rng.uniform(2.4, 4.2, 3),
        rng.uniform(0.6, 0.9, 3),
    ]
    chosen = np.concatenate([spots[: traits.freckles], moles[: traits.moles]])
    if not len(chosen):
        return
    place = _face_pixels(chosen[:, 0], chosen[:, 1])
    dots = np.c_[place, place + 0.01, chosen[:, 2:3], chosen[:, 2:3], chosen[:, 3:4]]
    mask = strokes(picture.shape[:2], dots)
    colour = np.array(traits.skin, np.float32) * np.array([0.52, 0.40, 0.36], np.float32)
    blend(picture, mask, colour)


def _paint_folds(picture: np.ndarray, traits: FaceTraits) -> None:
    lines = []
    for side in (-1.0, 1.0):
        t = np.linspace(0.0, 1.0, 8)
        x = 0.17 + 0.20 * t + 0.03 * np.sin(np.pi * t)
        y = -0.06 - 0.36 * t
        lines.append(
            polyline(_face_pixels(side * x, y), 3.0, np.sin(np.pi * (0.12 + 0.8 * t)) * traits.folds * 2.0)
        )
    x = np.linspace(-0.13, 0.13, 7)
    lines.append(
        polyline(_face_pixels(x, -0.66 - 0.9 * x**2), 3.5, traits.folds * 1.4 * (1 - (x / 0.17) ** 2))
    )
    mask = gaussian_filter(strokes(picture.shape[:2], np.concatenate(lines)), 2.0)
    picture *= 1.0 - np.clip(mask, 0, 1)[..., None] * 0.35
    # philtrum: two faint ridges, and shade under the lower lip
    shade = _bump(0.0, -0.25, 0.035, 0.06) * 0.10 + _bump(0.0, -0.595, 0.16, 0.035) * 0.16
    shade += _bump(0.155, -0.05, 0.03, 0.05, both=True) * 0.14
    picture *= 1.0 - shade[..., None]


def _paint_nostrils(picture: np.ndarray, traits: FaceTraits) -> None:
    mask = np.clip(_bump(0.083, -0.122, 0.040, 0.020, both=True) * 1.5, 0, 1) * 0.9
    blend(picture, mask, np.array(traits.skin) * 0.18)


def _paint_beard(picture: np.ndarray, traits: FaceTraits, hair: HairStyle, rng: np.random.Generator) -> None:
    speckle = spectral_noise(rng, SIZE, 60.0, 0.3, stretch=(0.6, 1.6))[:_SKIN_ROWS]
    edge = spectral_noise(rng, SIZE // 4, 6.0, 1.0)
    edge = zoom(edge, 4, order=1, grid_mode=True, mode="grid-wrap")[:_SKIN_ROWS]
    if traits.beard == 0.0 and traits.moustache == 0.0:
        return
    grid = _grid()
    x, y, turn = np.abs(grid["x"]), grid["y"], np.abs(grid["azimuth"])
    wobble = 0.02 * edge
    # the line of a beard: from the sideburn along the cheek to the corner of the mouth, down under the chin
    upper = np.interp(
        x, [0.0, 0.17, 0.30, 0.45, 0.60, 0.70, 0.80], [-0.60, -0.58, -0.50, -0.38, -0.20, 0.02, 0.25]
    )
    beard = (
        smoothstep(upper + wobble - y, -0.03, 0.06)
        * smoothstep(y, -1.16, -0.98)
        * smoothstep(-turn, -1.78, -1.55)
    )
    patch = np.exp(-((x / 0.05) ** 2) - (((y + 0.60) / 0.04) ** 2))
    beard = np.clip(np.maximum(beard, 0.8 * patch), 0, 1) * _lips_free()
    centre = -0.205 - 0.55 * np.maximum(x - 0.1, 0.0)
    moustache = smoothstep(0.075 - np.abs(y - centre - wobble * 0.5), -0.015, 0.035) * smoothstep(
        -x, -0.36, -0.27
    )
    corner = smoothstep(0.05 - np.abs(x - 0.335), -0.02, 0.03) * smoothstep(
        0.18 - np.abs(y + 0.45), -0.05, 0.04
    )
    if traits.beard > 0.2:
        moustache = np.maximum(moustache, corner)
    moustache = moustache * _lips_free()
    mask = np.clip(np.maximum(beard * traits.beard, moustache * traits.moustache), 0, 1)
    grain = np.clip(0.82 + 0.33 * speckle, 0.15, 1.0)
    colour = 0.85 * np.array(hair.colour) + 0.03
    blend(picture, np.clip(mask * grain, 0, 0.95), colour)


@cache
def _lips_free() -> np.ndarray:
    """1 outside the lips, 0 on them, soft (the skin rows of the atlas)."""
    free = np.ones((_SKIN_ROWS, SIZE), np.float32)
    window, mask = polygon(free.shape, _pixels(head().rings_lips[0]), 4.0)
    free[window] = 1.0 - mask
    return free


def _paint_lips(picture: np.ndarray, traits: FaceTraits, fine: np.ndarray) -> None:
    rings = [_pixels(ring) for ring in head().rings_lips]
    skin = np.array(traits.skin)
    colour = np.array(traits.lips)
    if traits.tone > 0.4:
        colour = colour * 0.75 + 0.25 * skin
    window, mask = polygon(picture.shape[:2], rings[0], 2.2)
    texture = colour * (1.0 + 0.06 * fine[window][..., None])
    _mix(picture, window, mask * traits.lip_strength, texture)
    # lighter lower lip, darker upper: reads as fullness at small sizes
    lower = np.concatenate([rings[0][10:], rings[0][:1], rings[3][:1], rings[3][:9:-1]])
    upper = np.concatenate([rings[0][:11], rings[3][10::-1]])
    window, mask = polygon(picture.shape[:2], upper, 2.0)
    picture[window] *= 1.0 - 0.13 * mask[..., None]
    window, mask = polygon(picture.shape[:2], lower, 3.0)
    picture[window] *= 1.0 + 0.07 * mask[..., None]
    edge = polyline(rings[0][:11], 1.2, 0.35)
    seam = polyline(
        0.5 * (rings[3][:11] + rings[3][[0, *range(19, 9, -1)]]), 2.4, np.r_[0.6, np.full(9, 0.9), 0.6]
    )
    blend(picture, strokes(picture.shape[:2], edge), np.array(traits.lips) * 0.62)
    blend(picture, gaussian_filter(strokes(picture.shape[:2], seam), 0.6), colour * 0.28)


def _paint_brows(picture: np.ndarray, traits: FaceTraits, hair: HairStyle, rng: np.random.Generator) -> None:
    dark = np.array(hair.colour)
    if dark.mean() > 0.5:
        dark = dark * 0.72
    colour = dark * 0.8
    t = np.linspace(0.0, 1.0, 12)
    total = np.zeros(picture.shape[:2], np.float32)
    for side in (-1.0, 1.0):
        asymmetry = rng.normal(0.0, 0.006)
        x = 0.125 + 0.455 * t
        y = (
            0.585
            + asymmetry
            + traits.brow_slant * (t - 0.4)
            + (0.05 + traits.brow_arch) * np.sin(np.pi * (0.15 + 0.75 * t))
            - 0.03 * t**2
        )
        half = traits.brow_thickness * (0.75 + 0.45 * np.sin(np.pi * (0.1 + 0.6 * t))) * (1.0 - 0.72 * t**2.2)
        outline = np.concatenate([_face_pixels(side * x, y + half), _face_pixels(side * x, y - half)[::-1]])
        window, mask = polygon(picture.shape[:2], outline, 2.6)
        total[window] = np.maximum(total[window], 0.62 * mask)
        count = 170
        place = rng.uniform(0.0, 1.0, count)
        height = rng.uniform(-1.0, 1.0, count)
        reach = rng.uniform(0.6, 1.2, count)
        width = rng.uniform(0.9, 1.5, count)
        power = rng.uniform(0.55, 1.0, count)
        sx = np.interp(place, t, x)
        sy = np.interp(place, t, y) + height * np.interp(place, t, half)
        ex = sx + (0.028 + 0.03 * place) * reach
        ey = sy + (0.045 * (1.0 - place) - 0.022 * place - 0.015 * height) * reach
        root, tip = _face_pixels(side * sx, sy), _face_pixels(side * ex, ey)
        total = np.maximum(total, strokes(total.shape, np.c_[root, tip, width, 0.4 * width, power]))
    blend(picture, total * traits.brow_strength, colour)


def _paint_eyes_surround(picture: np.ndarray, traits: FaceTraits) -> None:
    shape = picture.shape[:2]
    skin = np.array(traits.skin)
    for ring in head().rings_eyes:
        points = _pixels(ring)
        upper = points[[8, 9, 10, 11, 12, 13, 14, 15, 0]]
        lower = points[:9]
        centre = points.mean(0)
        # darker rim of the opening, so that lids end in a line
        outline = centre + (points - centre) * np.array([1.07, 1.22])
        window, mask = polygon(shape, outline, 3.0)
        picture[window] *= 1.0 - 0.28 * mask[..., None]
        crease = centre + (upper - centre) * np.array([1.06, 1.0]) - np.array([0.0, 5.0])
        crease[0] = upper[0] + np.array([0.0, -2.5])
        fold = gaussian_filter(
            strokes(shape, polyline(crease, 2.0, np.r_[0.15, 0.5, 0.8, 1, 1, 1, 0.9, 0.8, 0.4])), 0.8
        )
        picture *= 1.0 - (0.42 * traits.crease * fold)[..., None]
        lash = strokes(
            shape,
            polyline(
                upper - np.array([0.0, 0.4]),
                np.r_[1.2, 1.8, 2.4, 2.6, 2.6, 2.6, 2.6, 2.6, 2.2] * traits.lashes,
                0.92,
            ),
        )
        tip = points[0] + np.sign(points[0] - centre) * np.array([4.0, 0.0]) - np.array([0.0, 2.5])
        lash = np.maximum(lash, strokes(shape, polyline(np.stack([points[0], tip]), (2.0, 0.5), 0.8)))
        under = strokes(
            shape, polyline(lower + np.array([0.0, 0.4]), 1.6, np.r_[0.7, np.full(6, 0.55), 0.45, 0.3])
        )
        blend(picture, gaussian_filter(under, 0.5), skin * np.array([0.42, 0.32, 0.30]))
        blend(picture, lash, (0.05, 0.035, 0.03))
        inner = points[8]
        window, mask = polygon(
            shape,
            inner + 2.4 * np.array([(1, 0), (0.5, 0.7), (-0.5, 0.7), (-1, 0), (-0.5, -0.7), (0.5, -0.7)]),
            1.5,
        )
        _mix(picture, window, 0.55 * mask, 0.5 * skin + 0.5 * np.array([0.78, 0.42, 0.40]))


def _paint_scalp(picture: np.ndarray, traits: FaceTraits, hair: HairStyle, rng: np.random.Generator) -> None:
    broad = spectral_noise(rng, SIZE, 12.0, 1.0)[:_SKIN_ROWS]
    fine = spectral_noise(rng, SIZE, 60.0, 0.3, stretch=(0.5, 2.0))[:_SKIN_ROWS] * (
        0.25 + 0.75 * _fields()["even"]
    )
    grid = _grid()
    away = grid["y"] - hairline(hair, grid["hair_azimuth"]).astype(np.float32)
    if hair.name == "bald":
        # a shaved wreath: what is left of the hair at the sides, faint
        turn = np.abs(grid["hair_azimuth"])
        wreath = (
            smoothstep(away, -0.02, 0.12) * smoothstep(turn, 1.2, 1.6) * smoothstep(-grid["y"], -0.95, -0.45)
        )
        strength = 0.0 if traits.moles % 2 else 0.22
        mask = wreath * strength * np.clip(0.8 + 0.35 * fine, 0.1, 1.0)
    elif hair.name == "buzz":
        mask = smoothstep(away + 0.030 * broad, -0.03, 0.07) * 0.86 * np.clip(0.86 + 0.22 * fine, 0.3, 1.0)
    else:
        edge = 0.05 if hair.fringe == 0.0 else 0.01
        mask = smoothstep(away + 0.030 * broad + 0.012 * fine, -edge, 0.04) * np.clip(
            0.92 + 0.12 * fine, 0.4, 1.0
        )
    tone = 0.75 if hair.name == "buzz" else 0.55
    colour = np.array(hair.colour, np.float32) * tone
    if hair.name in ("buzz", "bald"):
        colour = colour + 0.12 * np.array(traits.skin, np.float32)
    ears = (np.abs(np.abs(grid["azimuth"]) - 0.61) < 0.09) & (np.abs(grid["y"] + 0.05) < 0.16)
    blend(picture, np.where(ears, 0.0, np.clip(mask, 0, 1)).astype(np.float32), colour)


def _paint_hair(atlas: np.ndarray, hair: HairStyle, rng: np.random.Generator) -> None:
    u0, u1, v0, v1 = HAIR_REGION
    rows, columns = slice(int(v0 * SIZE) - 4, int(v1 * SIZE) + 5), slice(0, int(u1 * SIZE) + 6)
    # strands run down the rows, so the noise changes fast along u and slowly along v
    coarse = spectral_noise(rng, 256, 5.0, 0.9, stretch=(5.0 if not hair.curl else 1.0, 1.0))
    fine = spectral_noise(rng, 256, 26.0, 0.5, stretch=(9.0 if not hair.curl else 1.2, 1.0))
    height, width = rows.stop - rows.start, columns.stop - columns.start
    strand = (0.55 * coarse + 0.75 * fine)[:height, :width]
    down = np.linspace(0.0, 1.0, height)[:, None]
    contrast = 0.20 if not hair.curl else 0.26
    value = np.clip(1.0 + contrast * strand, 0.45, 1.75)
    colour = np.array(hair.colour, np.float32)
    value = value * (0.92 + 0.16 * smoothstep(down, 0.0, 0.5) - 0.10 * smoothstep(down, 0.75, 1.0))
    region = colour * value[..., None]
    # light strands are warmer than dark ones, and no hair is quite black
    region += np.clip(strand, 0, 2)[..., None] * np.array([0.022, 0.015, 0.008], np.float32)
    atlas[rows, columns] = region


def _paint_eye(atlas: np.ndarray, traits: FaceTraits, rng: np.random.Generator) -> None:
    cx, cy = _EYE_CENTRE[0] * SIZE, _EYE_CENTRE[1] * SIZE
    half_x, half_y = int(1.36 * _EYE_SCALE[0] * SIZE), int(1.36 * _EYE_SCALE[1] * SIZE)
    rows = slice(int(cy) - half_y, int(cy) + half_y + 1)
    columns = slice(int(cx) - half_x, min(int(cx) + half_x + 1, SIZE))
    y = (np.arange(rows.start, rows.stop) + 0.5 - cy)[:, None] / (_EYE_SCALE[1] * SIZE)
    x = (np.arange(columns.start, columns.stop) + 0.5 - cx)[None] / (_EYE_SCALE[0] * SIZE)
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    phases = rng.uniform(0.0, 2.0 * np.pi, 6)
    rays = sum(np.sin(k * angle + phase) for k, phase in zip((7, 11, 16, 23, 31, 41), phases)) / 3.0
    region = np.empty((*radius.shape, 3), np.float32)
    white = 0.86 - 0.30 * smoothstep(radius, 0.35, 1.1)
    white = white * (1.0 - 0.20 * smoothstep(np.array(traits.tone), 0.4, 1.0))
    region[:] = white[..., None] * np.array([1.0, 0.975, 0.955], np.float32)
    veins = smoothstep(radius, 0.55, 1.1) * 0.25
    region *= 1.0 - veins[..., None] * np.array([0.1, 0.35, 0.3], np.float32)
    iris = np.array(traits.iris, np.float32)
    inner = smoothstep(radius, _PUPIL, _IRIS)
    value = (1.15 - 0.25 * inner + 0.16 * rays * smoothstep(radius, 0.12, 0.2))[..., None]
    shade = iris * value * (1.0 - 0.65 * smoothstep(radius, 0.285, 0.335))[..., None]
    blend(region, (1.0 - smoothstep(radius, _IRIS - 0.02, _IRIS + 0.025)).astype(np.float32), shade)
    blend(
        region,
        (1.0 - smoothstep(radius, _PUPIL - 0.025, _PUPIL + 0.025)).astype(np.float32),
        (0.015, 0.012, 0.012),
    )
    # the upper lid's shadow on the ball
    region *= (1.0 - 0.22 * smoothstep(-y, 0.12, 0.5))[..., None]
    atlas[rows, columns] = region


def _paint_mouth(atlas: np.ndarray, rng: np.random.Generator) -> None:
    u0, u1, v0, v1 = _MOUTH_REGION
    rows = slice(int(v0 * SIZE) - 5, SIZE)
    v = np.clip(((np.arange(rows.start, rows.stop) + 0.5) / SIZE - v0) / (v1 - v0), 0, 1).astype(np.float32)[
        :, None
    ]
    white = np.array([0.90, 0.865, 0.79], np.float32) * np.float32(rng.uniform(0.93, 1.04))
    # bag: lips' red at the front to nearly black inside; columns up to the teeth
    bag = slice(int(0.745 * SIZE), int(0.79 * SIZE))
    fade = (1.0 - smoothstep(v, 0.05, 0.85))[..., None]
    atlas[rows, bag] = np.array([0.10, 0.03, 0.03], np.float32) + fade * np.array(
        [0.36, 0.13, 0.12], np.float32
    )
    teeth = slice(int(0.79 * SIZE), int(0.928 * SIZE))
    u = ((np.arange(teeth.start, teeth.stop) + 0.5) / SIZE - 0.865) / 0.0575
    wide = 0.125  # of one tooth
    gaps = np.abs((u / wide) % 1.0 - 0.5)[None]
    gap = smoothstep(gaps, 0.5 - 0.09, 0.5) * 0.30
    dome = 0.10 * np.cos(np.pi * 2 * ((u / wide) % 1.0))[None]
    gum_line = 0.24 + dome
    region = (
        white
        * (1.0 - gap * smoothstep(v, 0.2, 0.4))[..., None]
        * (0.97 - 0.16 * np.abs(u)[None, :, None] ** 2)
    )
    region = region * (1.0 - 0.06 * smoothstep(v, 0.75, 1.0))[..., None]
    gum = (1.0 - smoothstep(v - gum_line, -0.04, 0.05)).astype(np.float32)
    blend(region, gum, (0.70, 0.36, 0.36))
    atlas[rows, teeth] = region
    tongue = slice(int(0.928 * SIZE), int(0.985 * SIZE))
    speckle = rng.normal(0.0, 0.02, (rows.stop - rows.start, tongue.stop - tongue.start, 1))
    across = ((np.arange(tongue.start, tongue.stop) + 0.5) / SIZE - 0.9545) / 0.0205
    groove = 1.0 - 0.18 * np.exp(-((across / 0.18) ** 2))
    shade = (0.75 + 0.25 * v)[..., None] * groove[None, :, None]
    atlas[rows, tongue] = np.array([0.72, 0.36, 0.36], np.float32) * shade * (1.0 + speckle)


def paint_atlas(
    traits: FaceTraits, hair: HairStyle, cloth: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Paint the atlas.

    Args:
        traits, hair: what to paint.
        cloth: float32 (163, 159, 3) sRGB 0..1, from clothes.paint_cloth.
        rng: stream 22 of the identity.

    Returns:
        uint8 (512, 512, 3) sRGB and its reduction by 2x2 boxes, uint8 (256, 256, 3).
    """
    atlas = np.full((SIZE, SIZE, 3), 0.3, np.float32)
    skin = atlas[:_SKIN_ROWS]
    fine = _paint_skin(skin, traits, rng)
    _paint_marks(skin, traits, rng)
    _paint_folds(skin, traits)
    _paint_nostrils(skin, traits)
    _paint_scalp(skin, traits, hair, rng)
    _paint_beard(skin, traits, hair, rng)
    _paint_lips(skin, traits, fine)
    _paint_brows(skin, traits, hair, rng)
    _paint_eyes_surround(skin, traits)
    atlas[_SKIN_ROWS:] = skin[-1:].mean(axis=(0, 1))
    atlas[CLOTH_ROWS, CLOTH_COLUMNS] = cloth
    _paint_hair(atlas, hair, rng)
    _paint_eye(atlas, traits, rng)
    _paint_mouth(atlas, rng)
    full = to_bytes(atlas)
    small = full.reshape(SIZE // 2, 2, SIZE // 2, 2, 3).astype(np.uint16).sum(axis=(1, 3))
    return full, ((small + 2) // 4).astype(np.uint8)
