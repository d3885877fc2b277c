"""The renderer of the synthetic benchmark: z-buffer, shading of what is visible, 2x2 supersampling."""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from talkbench.geometry.compiled import compiled
from talkbench.geometry.head import NUM_VERTICES, Deformer, head, pose_vertices, pose_weights

SKIN, MOUTH, TEETH, EYE, HAIR, CLOTH = range(6)
SUPERSAMPLING = 2
VISIBLE_DEPTH = 0.04  # head units: how far a landmark may lie behind the nearest surface and count as visible


class RenderError(ValueError):
    """Arrays that do not fit together; the message names the field and the shape wanted."""


@dataclass(frozen=True)
class Camera:
    """Weak perspective: px = size/2 + k x, py = size/2 - k (y - .30), k = size / framing pixels a head unit.

    size: edge of the square picture in pixels. framing: edge in head units (outer eye corners = 1).
    """

    size: int
    framing: float = 3.0

    @property
    def scale(self) -> float:
        """Pixels per head unit."""
        return self.size / self.framing

    def project(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) head units -> float32 (..., 3) pixels: right, down (centres at +.5), to the viewer."""
        points = np.asarray(points, np.float32)
        half, k = self.size / 2, self.scale
        x, y, z = points[..., 0], points[..., 1], points[..., 2]
        return np.stack([half + k * x, half - k * (y - 0.30), k * z], axis=-1).astype(np.float32)


@dataclass(frozen=True)
class Light:
    """Light of a scene, linear RGB; directions are unit vectors from the head towards the light.

    key_direction (3,), key_colour (3,); sky (3,) from above, ground (3,) from below; fill_direction (3,),
    fill (3,).
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
def _raster(points, triangles, cull, zbuffer, index, w0, w1):
    """Nearest triangle of every sample. points: float64 (V, 3), column, row, depth. See `rasterize`."""
    height, width = zbuffer.shape
    for f in range(triangles.shape[0]):
        # unsigned: numba then leaves out the test for negative indices
        a, b, c = np.uint32(triangles[f, 0]), np.uint32(triangles[f, 1]), np.uint32(triangles[f, 2])
        ax, ay = points[a, 0], points[a, 1]
        bx, by = points[b, 0], points[b, 1]
        cx, cy = points[c, 0], points[c, 1]
        # rows go down, so a triangle that is counter-clockwise to the viewer has a positive value here
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
        x0, x1 = int(np.ceil(max(left - 0.5, 0.0))), int(np.floor(min(right + 0.5, np.float64(width))))
        y0, y1 = int(np.ceil(max(top - 0.5, 0.0))), int(np.floor(min(bottom + 0.5, np.float64(height))))
        if x0 >= x1 or y0 >= y1:
            continue
        az, bz, cz = points[a, 2], points[b, 2], points[c, 2]
        # weights u, v, w of corners a, b, c at a sample: linear in column and row
        inverse = 1.0 / area
        ux, uy = (cy - by) * inverse, (bx - cx) * inverse
        vx, vy = (ay - cy) * inverse, (cx - ax) * inverse
        py = y0 - 0.5
        for y in range(np.uint64(y0), np.uint64(y1)):
            py += 1.0  # counted along: exact, and quicker than turning y into a float
            dy = py - cy
            u_row, v_row = uy * dy, vy * dy
            inside = False
            px = x0 - 0.5
            for x in range(np.uint64(x0), np.uint64(x1)):
                px += 1.0
                dx = px - cx
                u = u_row + ux * dx
                v = v_row + vx * dx
                w = 1.0 - u - v
                if u >= 0.0 and v >= 0.0 and w >= 0.0:
                    inside = True
                    depth = np.float32(u * az + v * bz + w * cz)
                    if depth > zbuffer[y, x]:
                        zbuffer[y, x] = depth
                        index[y, x] = f
                        w0[y, x] = u
                        w1[y, x] = v
                elif inside:  # triangles are convex: the rest of the row is outside
                    break


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
        zbuffer float32 (height, width), -inf where nothing is; triangle index int32, -1 where nothing is;
        w0, w1 float32, weights of the triangle's first two corners. Of triangles equally near the first
        counts.
    """
    points = np.empty((len(px), 3))
    points[:, 0] = px
    points[:, 1] = py
    points[:, 2] = z
    zbuffer = np.full((height, width), -np.inf, np.float32)
    index = np.full((height, width), -1, np.int32)
    w0 = np.zeros((height, width), np.float32)
    w1 = np.zeros((height, width), np.float32)
    _raster(points, triangles, cull, zbuffer, index, w0, w1)
    return zbuffer, index, w0, w1


@compiled
def _normals(vertices, triangles, table):
    """Unit vertex normals (sum of the triangles' cross products) into the first three columns of `table`."""
    for i in range(table.shape[0]):
        table[i, 0] = table[i, 1] = table[i, 2] = 0
    for f in range(triangles.shape[0]):
        a, b, c = np.uint32(triangles[f, 0]), np.uint32(triangles[f, 1]), np.uint32(triangles[f, 2])
        ux, uy, uz = (
            vertices[b, 0] - vertices[a, 0],
            vertices[b, 1] - vertices[a, 1],
            vertices[b, 2] - vertices[a, 2],
        )
        vx, vy, vz = (
            vertices[c, 0] - vertices[a, 0],
            vertices[c, 1] - vertices[a, 1],
            vertices[c, 2] - vertices[a, 2],
        )
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for i in (a, b, c):
            table[i, 0] += nx
            table[i, 1] += ny
            table[i, 2] += nz
    for i in range(table.shape[0]):
        x, y, z = table[i, 0], table[i, 1], table[i, 2]
        length = np.sqrt(x * x + y * y + z * z)
        if length > 0:
            table[i, 0] = x / length
            table[i, 1] = y / length
            table[i, 2] = z / length


# Constants of the light, in single precision: a bare literal would make numba compute in double.
_F = np.float32
_ZERO, _HALF, _ONE, _QUARTER, _STEPS = _F(0), _F(0.5), _F(1), _F(0.25), _F(4096)
_INSIDE = _F(0.35)  # light inside a lock of hair
_SUBSURFACE, _SUBSURFACE_SLOPE, _SUBSURFACE_AT = _F(0.10), _F(3), _F(0.05)
_RIM = _F(0.035)
# by material, then lips: how far light wraps round the terminator, strength and exponent of the highlight
_WRAP = np.array([0.22, 0.1, 0.1, 0.1, 0.1, 0.1, 0.22], np.float32)
_WRAP_SCALE = (1 / (1 + _WRAP)).astype(np.float32)
_GLOSS = np.array([0.07, 0.10, 0.25, 0.90, 0.06, 0.0, 0.10], np.float32)
_EXPONENT = np.array([18, 30, 40, 160, 8, 1, 30], np.int64)
_DARKEST_SHINE = np.array([0.001 ** (1 / e) for e in _EXPONENT], np.float32)  # below, a highlight is not seen
_LIPS = 6


@compiled
def _power(base, exponent):
    out = _ONE
    while exponent > 0:
        if exponent & 1:
            out *= base
        base *= base
        exponent >>= 1
    return out


@compiled
def _shade(table, look, points, index, w0, w1, atlas, light, tables, frame):
    """Shade the visible samples, 2 x 2 a pixel, and average them over `frame`, which holds the background.

    table (V, 8): normal, u, v in texels, ao, shadow, lips. light (6, 3): rows as in `Light`.
    """
    triangles, cull, two_sided, material = look
    to_linear, to_srgb = tables
    size = frame.shape[0]
    last_row, last_column = atlas.shape[0] - 1, atlas.shape[1] - 1
    lx, ly, lz = light[0, 0], light[0, 1], light[0, 2]
    key_red, key_green, key_blue = light[1, 0], light[1, 1], light[1, 2]
    sky_red, sky_green, sky_blue = light[2, 0], light[2, 1], light[2, 2]
    ground_red, ground_green, ground_blue = light[3, 0], light[3, 1], light[3, 2]
    fx, fy, fz = light[4, 0], light[4, 1], light[4, 2]
    fill_red, fill_green, fill_blue = light[5, 0], light[5, 1], light[5, 2]
    hx, hy, hz = lx, ly, lz + _ONE  # half way between light and viewer
    length = np.sqrt(hx * hx + hy * hy + hz * hz)
    if length > 0:
        hx, hy, hz = hx / length, hy / length, hz / length
    for y in range(size):
        for x in range(size):
            red = green = blue = _ZERO
            seen = 0
            for sub in range(4):
                sy, sx = 2 * y + (sub >> 1), 2 * x + (sub & 1)
                if index[np.uint64(sy), np.uint64(sx)] < 0:
                    continue
                f = np.uint32(index[np.uint64(sy), np.uint64(sx)])
                seen += 1
                a, b, c = np.uint32(triangles[f, 0]), np.uint32(triangles[f, 1]), np.uint32(triangles[f, 2])
                wa, wb = w0[np.uint64(sy), np.uint64(sx)], w1[np.uint64(sy), np.uint64(sx)]
                wc = _ONE - wa - wb
                nx = wa * table[a, 0] + wb * table[b, 0] + wc * table[c, 0]
                ny = wa * table[a, 1] + wb * table[b, 1] + wc * table[c, 1]
                nz = wa * table[a, 2] + wb * table[b, 2] + wc * table[c, 2]
                tx = wa * table[a, 3] + wb * table[b, 3] + wc * table[c, 3]
                ty = wa * table[a, 4] + wb * table[b, 4] + wc * table[c, 4]
                ao = wa * table[a, 5] + wb * table[b, 5] + wc * table[c, 5]
                shadow = wa * table[a, 6] + wb * table[b, 6] + wc * table[c, 6]
                square = nx * nx + ny * ny + nz * nz
                if square > 0:
                    shrink = _ONE / np.sqrt(square)
                    nx, ny, nz = nx * shrink, ny * shrink, nz * shrink
                kind = np.uint32(material[a])
                if two_sided[f]:
                    ax, ay = points[a, 0], points[a, 1]
                    area = (points[c, 0] - ax) * (points[b, 1] - ay)
                    area -= (points[b, 0] - ax) * (points[c, 1] - ay)
                    if area < 0:
                        nx, ny, nz = -nx, -ny, -nz
                        ao *= _INSIDE
                        shadow *= _INSIDE
                if kind == SKIN and wa * table[a, 7] + wb * table[b, 7] + wc * table[c, 7] > _HALF:
                    kind = np.uint32(_LIPS)

                # texture, bilinear in linear light
                ix = np.uint32(min(max(np.int64(tx), 0), last_column - 1))
                iy = np.uint32(min(max(np.int64(ty), 0), last_row - 1))
                jx, jy = ix + np.uint32(1), iy + np.uint32(1)
                tx = min(max(tx - np.float32(ix), _ZERO), _ONE)
                ty = min(max(ty - np.float32(iy), _ZERO), _ONE)
                t11 = tx * ty
                t01, t10 = tx - t11, ty - t11
                t00 = _ONE - tx - t10
                base_red = t00 * to_linear[atlas[iy, ix, 0]] + t01 * to_linear[atlas[iy, jx, 0]]
                base_red += t10 * to_linear[atlas[jy, ix, 0]] + t11 * to_linear[atlas[jy, jx, 0]]
                base_green = t00 * to_linear[atlas[iy, ix, 1]] + t01 * to_linear[atlas[iy, jx, 1]]
                base_green += t10 * to_linear[atlas[jy, ix, 1]] + t11 * to_linear[atlas[jy, jx, 1]]
                base_blue = t00 * to_linear[atlas[iy, ix, 2]] + t01 * to_linear[atlas[iy, jx, 2]]
                base_blue += t10 * to_linear[atlas[jy, ix, 2]] + t11 * to_linear[atlas[jy, jx, 2]]

                facing = nx * lx + ny * ly + nz * lz
                key = shadow * max(_ZERO, (facing + _WRAP[kind]) * _WRAP_SCALE[kind])
                above = ao * (_HALF + _HALF * ny)
                below = ao - above
                fill = ao * max(_ZERO, nx * fx + ny * fy + nz * fz)
                light_red = key * key_red + above * sky_red + below * ground_red + fill * fill_red
                light_green = key * key_green + above * sky_green + below * ground_green + fill * fill_green
                light_blue = key * key_blue + above * sky_blue + below * ground_blue + fill * fill_blue
                if kind == SKIN or kind == _LIPS:
                    # light that enters the skin comes out red where the surface turns away from the key
                    turned = _ONE - _SUBSURFACE_SLOPE * abs(facing - _SUBSURFACE_AT)
                    light_red += _SUBSURFACE * max(_ZERO, turned) * shadow
                half = nx * hx + ny * hy + nz * hz
                shine = _ZERO
                if half > _DARKEST_SHINE[kind]:
                    shine = _GLOSS[kind] * shadow * _power(half, _EXPONENT[kind])
                edge = _ONE - nz
                rim = _RIM * edge * edge * edge * ao
                sample_red = base_red * light_red + shine * key_red + rim * sky_red
                sample_green = base_green * light_green + shine * key_green + rim * sky_green
                sample_blue = base_blue * light_blue + shine * key_blue + rim * sky_blue
                red += to_srgb[np.uint32(min(max(sample_red, _ZERO), _ONE) * _STEPS + _HALF)]
                green += to_srgb[np.uint32(min(max(sample_green, _ZERO), _ONE) * _STEPS + _HALF)]
                blue += to_srgb[np.uint32(min(max(sample_blue, _ZERO), _ONE) * _STEPS + _HALF)]
            if seen > 0:
                empty = np.float32(4 - seen)
                frame[y, x, 0] = np.uint8((red + empty * frame[y, x, 0]) * _QUARTER + _HALF)
                frame[y, x, 1] = np.uint8((green + empty * frame[y, x, 1]) * _QUARTER + _HALF)
                frame[y, x, 2] = np.uint8((blue + empty * frame[y, x, 2]) * _QUARTER + _HALF)


@compiled
def _draw(vertices, look, table, atlas, light, tables, scale, marks, frames, visible, kinds):
    """Draw all frames.

    vertices (T, V, 3) posed; look = (triangles, cull, two_sided, material); table (V, 8) as in `_shade`, its
    normals are written here; scale: samples a head unit; marks: vertices of the landmarks. Written: frames
    (T, S, S, 3), which come with the background in them; visible (T, 68); kinds (T, S, S). A first axis of 0
    leaves frames or kinds out.
    """
    triangles, cull, two_sided, material = look
    size = kinds.shape[1]
    side = SUPERSAMPLING * size
    zbuffer = np.empty((side, side), np.float32)
    index = np.empty((side, side), np.int32)
    w0 = np.empty((side, side), np.float32)
    w1 = np.empty((side, side), np.float32)
    points = np.empty((vertices.shape[1], 3))
    for t in range(vertices.shape[0]):
        for i in range(vertices.shape[1]):
            points[i, 0] = size + scale * vertices[t, i, 0]
            points[i, 1] = size - scale * (vertices[t, i, 1] - 0.30)
            points[i, 2] = vertices[t, i, 2]
        zbuffer[:] = -np.inf
        index[:] = -1
        _raster(points, triangles, cull, zbuffer, index, w0, w1)
        if frames.shape[0] > 0:
            _normals(vertices[t], triangles, table)
            _shade(table, look, points, index, w0, w1, atlas, light, tables, frames[t])
        for j in range(len(marks)):
            i = marks[j]
            visible[t, j] = False
            x, y = points[i, 0], points[i, 1]
            if 0 <= x < side and 0 <= y < side:
                visible[t, j] = points[i, 2] >= zbuffer[int(y), int(x)] - VISIBLE_DEPTH
        if kinds.shape[0] > 0:
            for y in range(size):
                for x in range(size):
                    nearest, kind = -np.inf, -1
                    for sub in range(4):
                        sy, sx = 2 * y + (sub >> 1), 2 * x + (sub & 1)
                        if zbuffer[sy, sx] > nearest:
                            nearest = zbuffer[sy, sx]
                            kind = material[triangles[index[sy, sx], 0]]
                    kinds[t, y, x] = kind


@cache
def _colour_tables() -> tuple[np.ndarray, np.ndarray]:
    """sRGB byte -> linear 0..1 (256), and linear * 4096 -> sRGB 0..255 (4097)."""
    encoded = np.arange(256) / 255
    to_linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    linear = np.arange(4097) / 4096
    to_srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return to_linear.astype(np.float32), (255 * to_srgb).astype(np.float32)


@cache
def _lips() -> np.ndarray:
    """1 on the vertices of the lips, .5 on their contour: float32 (2953,)."""
    out = np.zeros(NUM_VERTICES, np.float32)
    rings = head().rings_lips
    out[rings[1:]] = 1
    out[rings[0]] = 0.5
    return out


def _array(values, dtype, shape: tuple, name: str) -> np.ndarray:
    values = np.ascontiguousarray(values, dtype)
    if len(values.shape) != len(shape) or any(n is not None and n != m for n, m in zip(shape, values.shape)):
        wanted = tuple("any" if n is None else n for n in shape)
        raise RenderError(f"{name} of shape {values.shape}, expected {wanted}")
    return values


@dataclass(frozen=True)
class Drawing:
    """What one pass of the renderer gives.

    Attributes:
        frames: uint8 (T, S, S, 3), sRGB.
        landmarks: float32 (T, 68, 3) in pixels: right, down (pixel centres at +.5), towards the viewer.
        visible: bool (T, 68).
        material: int8 (T, S, S), material of what is nearest in a pixel, -1 background.

    frames and material have T = 0 where they were not asked for.
    """

    frames: np.ndarray
    landmarks: np.ndarray
    visible: np.ndarray
    material: np.ndarray


def background_picture(background: np.ndarray, size: int) -> np.ndarray:
    """The background of a look at another size: uint8 (256, 256, 3) -> (size, size, 3)."""
    if background.shape[:2] == (size, size):
        return background
    smaller = size < background.shape[0]
    return cv2.resize(background, (size, size), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def draw(
    look: Look, vertices: np.ndarray, camera: Camera, *, colour: bool = True, material: bool = False
) -> Drawing:
    """Draw posed heads and read their labels from the same z-buffer.

    Args:
        look: what to draw.
        vertices: float32 (T, V, 3), posed head, hair and clothes in head units.
        camera: picture size and framing.
        colour: shade frames. material: give the material of every pixel.

    Raises:
        RenderError: arrays of `look` and `vertices` do not fit together, or a picture has no pixels.
    """
    size = int(camera.size)
    if size < 1 or not camera.framing > 0:
        raise RenderError(f"camera of {camera.size} px and framing {camera.framing}: both must be positive")
    vertices = _array(vertices, np.float32, (None, None, 3), "vertices")
    frames, count = vertices.shape[:2]
    triangles = _array(look.triangles, np.int32, (None, 3), "look.triangles")
    if count < NUM_VERTICES or triangles.min() < 0 or triangles.max() >= count:
        raise RenderError(
            f"{count} vertices: at least {NUM_VERTICES} and all that look.triangles names are needed"
        )
    two_sided = _array(look.two_sided, np.bool_, (len(triangles),), "look.two_sided")
    kind = _array(look.material, np.uint8, (count,), "look.material")
    table = np.zeros((count, 8), np.float32)
    table[:, 5] = _array(look.ao, np.float32, (count,), "look.ao")
    table[:, 6] = _array(look.shadow, np.float32, (count,), "look.shadow")
    table[:NUM_VERTICES, 7] = _lips()
    atlas = _array(look.atlas_small if size <= 128 else look.atlas, np.uint8, (None, None, 3), "look.atlas")
    texels = np.array([atlas.shape[1], atlas.shape[0]], np.float32)
    table[:, 3:5] = _array(look.uv, np.float32, (count, 2), "look.uv") * texels - 0.5
    rows = [getattr(look.light, name) for name in Light.__dataclass_fields__]
    light = _array(rows, np.float32, (6, 3), "look.light")
    out = np.empty((frames if colour else 0, size, size, 3), np.uint8)
    out[:] = background_picture(_array(look.background, np.uint8, (None, None, 3), "look.background"), size)
    visible = np.zeros((frames, 68), np.bool_)
    kinds = np.empty((frames if material else 0, size, size), np.int8)
    marks = head().landmarks68
    parts = (triangles, ~two_sided, two_sided, kind)
    scale = np.float64(SUPERSAMPLING * camera.scale)
    _draw(vertices, parts, table, atlas, light, _colour_tables(), scale, marks, out, visible, kinds)
    return Drawing(out, camera.project(vertices[:, marks]), visible, kinds)


def render(look: Look, posed_vertices: np.ndarray, camera: Camera) -> np.ndarray:
    """Frames of posed heads: float32 (T, V, 3) head units -> uint8 (T, S, S, 3) sRGB."""
    return draw(look, posed_vertices, camera).frames


def labels(look: Look, posed_vertices: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks float32 (T, 68, 3) in pixels, visible bool (T, 68). `draw` gives them with the frames."""
    drawing = draw(look, posed_vertices, camera, colour=False)
    return drawing.landmarks, drawing.visible


def posed(
    deformer: Deformer,
    look: Look,
    expression: np.ndarray,
    blink: np.ndarray,
    gaze: np.ndarray,
    pose: np.ndarray,
) -> np.ndarray:
    """All vertices of a moving head with hair and clothes, ready for `draw`.

    Args:
        deformer: the identity's head. look: its hair and clothes.
        expression: (T, 33). blink: (T, 2). gaze: (T, 2) rad.
        pose: (T, 5) yaw, pitch, roll in degrees, tx, ty in head units.

    Returns:
        float32 (T, V, 3), head units.
    """
    moved = deformer(expression, blink, gaze)
    pose = _array(pose, np.float32, (len(moved), 5), "pose")
    extra = np.broadcast_to(look.extra_vertices, (len(moved), *look.extra_vertices.shape))
    weights = np.concatenate([pose_weights(deformer.rest, head().material), look.extra_weight])
    return pose_vertices(np.concatenate([moved, extra], axis=1), weights, pose[:, :3], pose[:, 3:])
