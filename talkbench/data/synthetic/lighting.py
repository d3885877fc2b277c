"""Light of an identity, and how much of it reaches each vertex at rest."""

from __future__ import annotations

import numpy as np

from talkbench.data.synthetic.paint import to_linear
from talkbench.data.synthetic.render import CLOTH, EYE, HAIR, MOUTH, SKIN, TEETH, Light, rasterize
from talkbench.geometry.compiled import compiled
from talkbench.geometry.head import head

RESOLUTION = 112  # edge of the depth maps
AMBIENT_DIRECTIONS, KEY_DIRECTIONS = 55, 12
KEY_JITTER = 0.16
BIAS = 0.035  # head units in front of a vertex that do not count as cover
_BAG_LIGHT = np.array([(0.60, 0.45), (0.55, 0.30), (0.40, 0.12), (0.25, 0.03), (0.20, 0.0)])
_LOW = -2.3  # what lies below is out of every picture


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector, axis=-1, keepdims=True)


def draw_light(
    rng: np.random.Generator, skin: tuple[float, float, float], hair: tuple[float, float, float]
) -> Light:
    """Draw key, sky and fill light, exposed so that neither fair skin, dark skin nor white hair is lost.

    skin, hair: colours, sRGB 0..1.
    """
    azimuth, elevation = np.deg2rad(rng.uniform(-55.0, 55.0)), np.deg2rad(rng.uniform(15.0, 50.0))
    tint = 1.0 + rng.uniform(-0.06, 0.06, 3)
    key, sky = rng.uniform(0.85, 1.05), rng.uniform(0.42, 0.60)
    sky_tint = 1.0 + rng.uniform(-0.04, 0.04, 3)
    brightest = float(max(np.max(to_linear(skin)), 1.3 * np.max(to_linear(hair))))
    exposure = np.clip(0.80 / (brightest * (key + 0.8 * sky)), 0.68, 1.2)

    def towards(turn: float, up: float) -> np.ndarray:
        return np.array([np.sin(turn) * np.cos(up), np.sin(up), np.cos(turn) * np.cos(up)], np.float32)

    above = (sky * exposure * sky_tint).astype(np.float32)
    return Light(
        key_direction=towards(azimuth, elevation),
        key_colour=(key * exposure * tint).astype(np.float32),
        sky=above,
        ground=0.55 * above,
        fill_direction=towards(-azimuth, 0.6 * elevation),
        fill=0.25 * above,
    )


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Normalised sums of triangle cross products, float64 (V, 3)."""
    a, b, c = (vertices[triangles[:, i]].astype(np.float64) for i in range(3))
    cross = np.cross(b - a, c - a)
    normals = np.zeros((len(vertices), 3))
    for corner in range(3):
        for axis in range(3):
            normals[:, axis] += np.bincount(triangles[:, corner], cross[:, axis], len(vertices))
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def sphere_directions(count: int) -> np.ndarray:
    """Unit vectors (count, 3) spread evenly over the sphere (golden-angle spiral)."""
    i = np.arange(count) + 0.5
    y = 1.0 - 2.0 * i / count
    turn = i * np.pi * (3.0 - np.sqrt(5.0))
    flat = np.sqrt(1.0 - y**2)
    return np.stack([flat * np.cos(turn), y, flat * np.sin(turn)], axis=1)


@compiled
def _lit(px, py, depth, zbuffer, bias):
    """1 where nothing lies in front of a vertex by more than the bias; mean of the four samples around it."""
    height, width = zbuffer.shape
    out = np.empty(len(px), np.float32)
    for i in range(len(px)):
        x, y = px[i] - 0.5, py[i] - 0.5
        x0, y0 = int(np.floor(x)), int(np.floor(y))
        fx, fy = x - x0, y - y0
        total = 0.0
        for row in range(2):
            for column in range(2):
                yy, xx = min(max(y0 + row, 0), height - 1), min(max(x0 + column, 0), width - 1)
                weight = (fx if column else 1.0 - fx) * (fy if row else 1.0 - fy)
                if zbuffer[yy, xx] <= depth[i] + bias:
                    total += weight
        out[i] = total
    return out


def visibility(vertices: np.ndarray, triangles: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """How far each vertex is open towards a direction: 0 covered to 1 free, float32 (V,)."""
    up = np.array([0.0, 1.0, 0.0]) if abs(direction[1]) < 0.9 else np.array([0.0, 0.0, 1.0])
    right = _unit(np.cross(up, direction))
    up = np.cross(direction, right)
    flat = vertices @ np.stack([right, -up, direction], axis=1).astype(np.float32)
    low, high = flat[:, :2].min(0), flat[:, :2].max(0)
    scale = (RESOLUTION - 4) / float((high - low).max())
    px = np.ascontiguousarray((flat[:, 0] - low[0]) * scale + 2.0, np.float32)
    py = np.ascontiguousarray((flat[:, 1] - low[1]) * scale + 2.0, np.float32)
    depth = np.ascontiguousarray(flat[:, 2], np.float32)
    cull = np.zeros(len(triangles), bool)
    zbuffer = rasterize(px, py, depth, triangles, cull, RESOLUTION, RESOLUTION)[0]
    return _lit(px, py, depth, zbuffer, np.float32(BIAS + 0.5 / scale))


def _smooth(values: np.ndarray, triangles: np.ndarray, passes: int) -> np.ndarray:
    """Mean of each vertex and its neighbours, repeated."""
    count = len(values)
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    both = np.concatenate([edges, edges[:, ::-1]])
    degree = np.bincount(both[:, 0], minlength=count)
    for _ in range(passes):
        around = np.bincount(both[:, 0], values[both[:, 1]], count) / np.maximum(degree, 1)
        values = np.where(degree > 0, 0.5 * values + 0.5 * around, values)
    return values


def bake(
    vertices: np.ndarray, triangles: np.ndarray, material: np.ndarray, light: Light, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Ambient occlusion and key shadow of a head at rest.

    Args:
        vertices: float32 (V, 3); triangles: int32 (F, 3); material: uint8 (V,).
        light: its key direction counts.
        rng: stream 44 of the identity, for the jitter of the key.

    Returns:
        ao, shadow: float32 (V,), 0 dark to 1 open.
    """
    vertices = np.asarray(vertices, np.float32)
    # the inside of the mouth and the balls get constants, and must not cover the skin in front of them
    solid = triangles[np.isin(material[triangles[:, 0]], (SKIN, HAIR, CLOTH))]
    solid = solid[vertices[solid][:, :, 1].max(1) > _LOW]
    clipped = vertices.copy()
    clipped[:, 1] = np.maximum(clipped[:, 1], _LOW)
    normals = vertex_normals(vertices, triangles).astype(np.float32)
    total, weight = np.zeros(len(vertices)), np.full(len(vertices), 1e-6)
    for direction in sphere_directions(AMBIENT_DIRECTIONS):
        facing = np.maximum(normals @ direction.astype(np.float32), 0.0)
        total += facing * visibility(clipped, solid, direction)
        weight += facing
    ao = _smooth(total / weight, triangles, 2)
    shadow = np.zeros(len(vertices))
    for offset in rng.normal(0.0, KEY_JITTER, (KEY_DIRECTIONS, 3)):
        shadow += visibility(clipped, solid, _unit(np.asarray(light.key_direction, np.float64) + offset))
    shadow = _smooth(shadow / KEY_DIRECTIONS, triangles, 2)
    ao, shadow = 1.25 * ao + 0.06, 1.15 * shadow
    ao[material == EYE] += 0.35
    shadow[material == EYE] += 0.35
    ao[material == TEETH], shadow[material == TEETH] = 0.95, 0.85
    ao[material == MOUTH], shadow[material == MOUTH] = 0.60, 0.50
    bag = head().parts["bag"]  # rings of 20 from the lips inwards, then the end
    depth = np.minimum(np.arange(bag.stop - bag.start) // len(head().rings_lips[0]), len(_BAG_LIGHT) - 1)
    ao[bag], shadow[bag] = _BAG_LIGHT[depth].T
    return np.clip(ao, 0.0, 1.0).astype(np.float32), np.clip(shadow, 0.0, 1.0).astype(np.float32)
