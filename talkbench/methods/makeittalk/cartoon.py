"""Drawings that talk: triangles between landmarks, each mapped by its own affine map.

The published renderer is a closed program; what it does is defined in the specification of this project: every
whole pixel inside a moved triangle shows the source at the same barycentric place, later triangles cover
earlier ones, and what no triangle covers is transparent.
"""

from functools import partial
from pathlib import Path

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from talkbench.methods.makeittalk.faces import close_drawn_mouth, normalize, read_face

FAR = 5000  # how far outside the border points of the published warp files lie
_SHARES = (0.7, 0.4, 0.5, 0.5)
_LIPS = np.arange(48, 60)
# Single precision knows a barycentric weight to about 1e-6: an exact 0, on a shared edge, must not become a hole.
_INSIDE = -1e-5
_TILE = 16  # pixels: only the triangles near a tile are tried there
_TOGETHER = 32  # frames whose tiles are looked up at once


def border(height: int, width: int) -> np.ndarray:
    """12 points (x, y) on the picture's border, int64; the published names of the sides are swapped."""
    h, w = width - 1, height - 1
    rows = [(0, 0), (0, w // 4), (0, w // 2), (0, 3 * (w // 4)), (0, w), (h // 2, w), (h, w), (h, w // 2)]
    return np.array([*rows, (h, 0), (h // 4, 0), (h // 2, 0), (3 * (h // 4), 0)], np.int64)


def far_border(height: int, width: int) -> np.ndarray:
    """The border points of the published warp files: pushed outside, so that the border does not show."""
    points, last = border(height, width), np.array([width - 1, height - 1])
    return np.where(points == 0, -FAR, np.where(points == last, last + FAR, points))


def triangles(points: np.ndarray, height: int, width: int, whole_lips: bool = True) -> np.ndarray:
    """Delaunay triangles of a face (68, 2 or 3), pixels, and the 12 border points after it: int64 (M, 3).

    Args:
        whole_lips: False leaves the outer lip out (56 and 12 points, numbered anew).

    Raises:
        ValueError: a landmark lies outside the picture.
    """
    face = np.asarray(points)[:, :2].astype(np.int64)
    if not whole_lips:
        face = np.delete(face, _LIPS, 0)
    if (face < 0).any() or (face >= (width, height)).any():
        raise ValueError(f"landmarks outside the drawing of {width}x{height} pixels: crop it less tightly")
    corners = np.concatenate([face, border(height, width)])
    plane = cv2.Subdiv2D((0, 0, width, height))
    index = {}
    for i, corner in enumerate(corners.tolist()):
        plane.insert(corner)
        index.setdefault(tuple(corner), i)
    made = plane.getTriangleList().reshape(-1, 3, 2).astype(np.int64)
    rows = [[index.get(tuple(corner)) for corner in triangle] for triangle in made.tolist()]
    return np.array([row for row in rows if None not in row], np.int64)


def _maps(reference: np.ndarray, moved: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Numbers that `_render` needs of each triangle, float32 (T, M, 12), computed in double precision.

    Two barycentric weights as slopes and values at the triangle's first corner, that corner, and the source
    picture's axes along both weights with its first corner.
    """
    a, b, c = (moved[:, triangles[:, i]] for i in range(3))  # (T, M, 2)
    u, v = b - a, c - a
    area = u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]
    flat = np.abs(area) < 1e-12
    area = np.where(flat, 1.0, area)
    second = np.stack([v[..., 1], -v[..., 0]], -1) / area[..., None]
    third = np.stack([-u[..., 1], u[..., 0]], -1) / area[..., None]
    second = np.where(flat[..., None], (1.0, 0.0), second)  # a triangle without area: left of its far corner
    start = np.where(flat[..., None], 1e9, a)
    ra, rb, rc = (np.broadcast_to(reference[triangles[:, i]], a.shape) for i in range(3))
    return np.concatenate([second, third, start, rb - ra, rc - ra, ra], -1).astype(np.float32)


def _sample(texture: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    height, width = texture.shape[:2]
    x, y = jnp.clip(x, 0, width - 1), jnp.clip(y, 0, height - 1)
    left, top = jnp.floor(x), jnp.floor(y)
    fx, fy = (x - left)[..., None], (y - top)[..., None]
    i, j = top.astype(jnp.int32), left.astype(jnp.int32)
    below, right = jnp.minimum(i + 1, height - 1), jnp.minimum(j + 1, width - 1)
    upper = texture[i, j] * (1 - fx) + texture[i, right] * fx
    lower = texture[below, j] * (1 - fx) + texture[below, right] * fx
    return upper * (1 - fy) + lower * fy


def _candidates(moved: np.ndarray, triangles: np.ndarray, height: int, width: int) -> np.ndarray:
    """Which triangles may show in which tile of `_TILE` x `_TILE` pixels: int32 (T, rows, columns, K), ascending, then M.

    By their bounding boxes, a pixel larger on every side; K is the largest number, rounded up so that few are compiled.
    """
    corners = moved[:, triangles]  # (T, M, 3, 2)
    low, high = np.floor(corners.min(2)) - 1, np.ceil(corners.max(2)) + 1
    rows, columns = -(-height // _TILE), -(-width // _TILE)

    def meets(axis, count):
        start = np.arange(count) * _TILE
        return (low[..., axis, None] < start + _TILE) & (high[..., axis, None] >= start)

    overlap = meets(1, rows)[:, :, :, None] & meets(0, columns)[:, :, None]  # (T, M, rows, columns)
    overlap = np.ascontiguousarray(np.moveaxis(overlap, 1, -1))
    place = np.cumsum(overlap, -1, dtype=np.int32) - 1
    most = int(place[..., -1].max(initial=0)) + 1
    made = np.full((*overlap.shape[:3], -(-most // 8) * 8), len(triangles), np.int32)
    *where, number = np.nonzero(overlap)
    made[(*where, place[overlap])] = number
    return made


@partial(jax.jit, static_argnums=(3, 4))
def _render(maps: jax.Array, candidates: jax.Array, texture: jax.Array, height: int, width: int):
    """One frame: maps (M + 1, 12), candidates (rows, columns, K), texture (h, w, C) -> picture (height, width, C), covered
    bool (height, width).
    """
    rows, columns, count = candidates.shape
    inner = jnp.arange(_TILE, dtype=jnp.float32)
    x = (jnp.arange(columns, dtype=jnp.float32) * _TILE)[None, :, None, None, None] + inner
    y = (jnp.arange(rows, dtype=jnp.float32) * _TILE)[:, None, None, None, None] + inner[:, None]
    near = maps[candidates]  # (rows, columns, K, 12)
    m = jnp.moveaxis(near, -1, 0)[..., None, None]
    dx, dy = x - m[4], y - m[5]
    second, third = m[0] * dx + m[1] * dy, m[2] * dx + m[3] * dy
    inside = jnp.minimum(jnp.minimum(second, third), 1 - second - third) >= _INSIDE
    number = jnp.arange(count, dtype=jnp.int32)[:, None, None]
    last = jnp.where(inside, number, -1).max(2)  # (rows, columns, tile, tile)
    flat = jnp.maximum(last, 0).reshape(rows, columns, -1, 1)
    chosen = jnp.take_along_axis(near, flat, 2).reshape(*last.shape, -1)
    dx, dy = x[:, :, 0] - chosen[..., 4], y[:, :, 0] - chosen[..., 5]
    second = chosen[..., 0] * dx + chosen[..., 1] * dy
    third = chosen[..., 2] * dx + chosen[..., 3] * dy
    at_x = chosen[..., 10] + second * chosen[..., 6] + third * chosen[..., 8]
    at_y = chosen[..., 11] + second * chosen[..., 7] + third * chosen[..., 9]

    def whole(tiles):
        return tiles.swapaxes(1, 2).reshape(rows * _TILE, columns * _TILE)[:height, :width]

    covered = whole(last >= 0)
    return jnp.where(covered[..., None], _sample(texture, whole(at_x), whole(at_y)), 0), covered


def warp(
    texture: np.ndarray, reference: np.ndarray, moved: np.ndarray, triangles: np.ndarray
) -> tuple[jax.Array, jax.Array]:
    """A drawing warped to frames of moved points.

    Args:
        texture: float32 (H, W, C), the drawing; its channels may hold alpha.
        reference: (P, 2) points of the drawing, pixels, whole numbers at pixel centres.
        moved: (T, P, 2) where they go.
        triangles: (M, 3) of indices; later ones cover earlier ones.

    Returns:
        float32 (T, H, W, C), zero where no triangle is; covered, bool (T, H, W).
    """
    reference, moved = np.asarray(reference, np.float64), np.asarray(moved, np.float64)
    height, width = texture.shape[:2]
    maps = _maps(reference, moved, triangles)
    # What stands for no triangle has no inside.
    nowhere = np.tile(np.float32([1, 0, 0, 0, 1e9, 1e9, 0, 0, 0, 0, 0, 0]), (len(maps), 1, 1))
    maps = np.concatenate([maps, nowhere], 1)
    texture, frames = jnp.asarray(texture, jnp.float32), []
    for start in range(0, len(moved), _TOGETHER):
        now = slice(start, start + _TOGETHER)
        candidates = _candidates(moved[now], triangles, height, width)
        frames += [_render(*one, texture, height, width) for one in zip(maps[now], candidates, strict=True)]
    return jnp.stack([frame[0] for frame in frames]), jnp.stack([frame[1] for frame in frames])


def bend(picture: np.ndarray, landmarks: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """A photograph bent to other landmarks by its own triangles; on the host, for training examples as for frames.

    Args:
        picture: uint8 (H, W, C). landmarks: (68, 2 or 3) of it; those outside count at its border.
        moved: (T, 68, 2 or 3), where they go. All in pixels, centres at +0.5.

    Returns:
        uint8 (T, H, W, C); what no triangle covers is as it was.
    """
    height, width = picture.shape[:2]
    inside = np.clip(np.asarray(landmarks, np.float64)[:, :2] - 0.5, 0, (width - 1, height - 1))
    edge = border(height, width)
    mesh = triangles(inside, height, width)
    reference = np.concatenate([inside, edge])
    moved = np.asarray(moved, np.float64)[..., :2] - 0.5
    goals = np.concatenate([moved, np.broadcast_to(edge, (len(moved), *edge.shape))], 1)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    made = []
    for maps, corners in zip(_maps(reference, goals, mesh), np.rint(goals[:, mesh] * 16), strict=True):
        number = np.full((height, width), -1, np.int32)
        # Neighbours agree on their common edge: which of them has a pixel on it does not matter.
        for i, triangle in enumerate(corners.astype(np.int32)):
            cv2.fillConvexPoly(number, triangle, i, shift=4)
        m = maps.T[:, number]
        second, third = m[0] * (x - m[4]) + m[1] * (y - m[5]), m[2] * (x - m[4]) + m[3] * (y - m[5])
        at = [
            np.where(number < 0, own, m[10 + k] + second * m[6 + k] + third * m[8 + k])
            for k, own in enumerate((x, y))
        ]
        at = [np.clip(a, 0, last - 1) for a, last in zip(at, (width, height), strict=True)]
        made.append(cv2.remap(picture, *at, cv2.INTER_LINEAR))
    return np.stack(made)


def composite(warped: jax.Array, alpha: jax.Array, background: jax.Array) -> jax.Array:
    """alpha over: (..., H, W, C), (..., H, W), (H, W, C) -> (..., H, W, C)."""
    alpha = alpha[..., None]
    return alpha * warped + (1 - alpha) * background


def puppet(
    face: np.ndarray, standard: np.ndarray, shares: tuple[float, ...] = _SHARES
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A drawing's face made ready for the networks.

    Args:
        face: (68, 2 or 3), pixels, mouth open.
        standard: (68, 3), a face in the network's units that lends its depth.

    Returns:
        Normalised face with the mouth open (68, 3), with it closed (68, 3), scale and shift (3,), as the text
        files of the published puppets have them (rounded to 4 and 10 decimals).
    """
    flat = np.concatenate([np.asarray(face)[:, :2], np.ones((68, 1))], 1)
    opened, scale, shift = normalize(flat, standard[:, 2])
    closed = close_drawn_mouth(opened, shares)
    return np.round(opened, 4), np.round(closed, 4), np.round([scale, *shift], 10)


def read_puppet(folder: str | Path, name: str) -> dict[str, np.ndarray]:
    """A published puppet, `NAME_face_open_mouth.txt` and its companions.

    Returns:
        open (68, 3) pixels, closed (68, 3) normalised, scale_shift (3,), triangles int64 (M, 3).
    """
    stem = Path(folder) / name
    made = {
        "open": read_face(f"{stem}_face_open_mouth.txt"),
        "closed": read_face(f"{stem}_face_close_mouth.txt"),
        "scale_shift": read_face(f"{stem}_scale_shift.txt", 1)[0],
    }
    path = Path(f"{stem}_delauney_tri.txt")
    try:
        rows = np.loadtxt(path, ndmin=2)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: no file of triangles ({error})") from None
    if rows.shape[1] != 3:
        raise ValueError(f"{path}: rows of {rows.shape[1]} numbers, a triangle has three")
    return {**made, "triangles": rows.astype(np.int64)}
