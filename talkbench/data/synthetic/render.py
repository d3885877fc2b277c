"""The renderer of the synthetic benchmark: z-buffer, shading of what is visible, 2x2 supersampling."""

from dataclasses import dataclass

import numpy as np

from talkbench.geometry.compiled import compiled

SKIN, MOUTH, TEETH, EYE, HAIR, CLOTH = range(6)
SUPERSAMPLING = 2
VISIBLE_DEPTH = 0.04  # head units: how far a landmark may lie behind the nearest surface and count as visible


class RenderError(ValueError):
    """Arrays that do not fit together; the message names the field and the shape wanted."""


@dataclass(frozen=True)
class Camera:
    """Weak perspective: k = size / framing pixels per head unit; px = size/2 + k x, py = size/2 - k (y - .30).

    size: edge of the square picture in pixels. framing: edge in head units (outer eye corners = 1).
    """

    size: int
    framing: float = 3.0

    @property
    def scale(self) -> float:
        """Pixels per head unit."""
        return self.size / self.framing

    def project(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) head units -> (..., 3) float32: px right, py down (pixel centres at +.5), z towards the viewer, in px."""
        points = np.asarray(points, np.float32)
        half, k = self.size / 2, self.scale
        x, y, z = points[..., 0], points[..., 1], points[..., 2]
        return np.stack([half + k * x, half - k * (y - 0.30), k * z], axis=-1).astype(np.float32)


@dataclass(frozen=True)
class Light:
    """Light of a scene, linear RGB; directions are unit vectors from the head towards the light.

    key_direction (3,), key_colour (3,); sky (3,) from above, ground (3,) from below; fill_direction (3,), fill (3,).
    """

    key_direction: np.ndarray
    key_colour: np.ndarray
    sky: np.ndarray
    ground: np.ndarray
    fill_direction: np.ndarray
    fill: np.ndarray


@dataclass(frozen=True)
class Look:
    """What an identity looks like. The first 2953 vertices are the head's, further ones hair and clothes.

    Attributes:
        triangles: int32 (F, 3), counter-clockwise from outside.
        uv: float32 (V, 2) in the atlas, 0..1, v down.
        material: uint8 (V,): SKIN, MOUTH, TEETH, EYE, HAIR, CLOTH.
        two_sided: bool (F,), triangles seen from both sides (the inside is lit .35).
        ao: float32 (V,), ambient light that reaches a vertex, 0..1.
        shadow: float32 (V,), key light that reaches a vertex, 0..1.
        atlas: uint8 (512, 512, 3), sRGB. atlas_small: uint8 (256, 256, 3), used for pictures up to 128 px.
        background: uint8 (256, 256, 3), sRGB.
        light: the light.
        extra_vertices: float32 (V - 2953, 3), hair and clothes of this identity before the pose.
        extra_weight: float32 (V - 2953,), how far they follow the head (geometry.head.pose_weights).
    """

    triangles: np.ndarray
    uv: np.ndarray
    material: np.ndarray
    two_sided: np.ndarray
    ao: np.ndarray
    shadow: np.ndarray
    atlas: np.ndarray
    atlas_small: np.ndarray
    background: np.ndarray
    light: Light
    extra_vertices: np.ndarray
    extra_weight: np.ndarray


@compiled
def _raster(px, py, z, triangles, cull, zbuffer, index, w0, w1):
    height, width = zbuffer.shape
    for f in range(triangles.shape[0]):
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        ax, ay = np.float64(px[a]), np.float64(py[a])
        bx, by = np.float64(px[b]), np.float64(py[b])
        cx, cy = np.float64(px[c]), np.float64(py[c])
        # y points down, so a triangle that is counter-clockwise to the viewer has a positive value here
        area = (cx - ax) * (by - ay) - (bx - ax) * (cy - ay)
        if cull[f]:
            if not area > 1e-12:
                continue
        elif not abs(area) > 1e-12:  # also drops NaN
            continue
        left, right = min(ax, bx, cx), max(ax, bx, cx)
        top, bottom = min(ay, by, cy), max(ay, by, cy)
        if not (right >= 0.5 and bottom >= 0.5 and left <= width - 0.5 and top <= height - 0.5):
            continue
        x0 = int(np.ceil(max(left - 0.5, 0.0)))
        x1 = int(np.floor(min(right - 0.5, width - 1.0)))
        y0 = int(np.ceil(max(top - 0.5, 0.0)))
        y1 = int(np.floor(min(bottom - 0.5, height - 1.0)))
        if x0 > x1 or y0 > y1:
            continue
        az, bz, cz = np.float64(z[a]), np.float64(z[b]), np.float64(z[c])
        inverse = 1.0 / area
        # weights of corners a and b at a sample: linear in x and y
        ux, uy = (by - cy) * inverse, (cx - bx) * inverse
        vx, vy = (cy - ay) * inverse, (ax - cx) * inverse
        for y in range(y0, y1 + 1):
            dy = y + 0.5 - cy
            u_row, v_row = uy * dy, vy * dy
            for x in range(x0, x1 + 1):
                dx = x + 0.5 - cx
                u = u_row + ux * dx
                v = v_row + vx * dx
                w = 1.0 - u - v
                if u >= 0.0 and v >= 0.0 and w >= 0.0:
                    depth = np.float32(u * az + v * bz + w * cz)
                    if depth > zbuffer[y, x]:
                        zbuffer[y, x] = depth
                        index[y, x] = f
                        w0[y, x] = u
                        w1[y, x] = v


@compiled
def rasterize(px, py, z, triangles, cull, height, width):
    """The nearest triangle at every sample of a picture.

    Args:
        px, py: float32 (V,), positions in samples, x right, y down; the centre of sample (row, column) is
            (column + .5, row + .5).
        z: float32 (V,), any unit, larger is nearer.
        triangles: int32 (F, 3), counter-clockwise to a viewer from outside (in axes with y up).
        cull: bool (F,), drop the triangle when it is seen from its back.
        height, width: size of the buffers.

    Returns:
        zbuffer float32 (height, width), -inf where nothing is; triangle index int32, -1 where nothing is; w0, w1
        float32, weights of the triangle's first two corners. Of triangles equally near the first counts.
    """
    zbuffer = np.full((height, width), -np.inf, np.float32)
    index = np.full((height, width), -1, np.int32)
    w0 = np.zeros((height, width), np.float32)
    w1 = np.zeros((height, width), np.float32)
    _raster(px, py, z, triangles, cull, zbuffer, index, w0, w1)
    return zbuffer, index, w0, w1
