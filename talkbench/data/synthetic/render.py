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
        ux, uy = (cy - by) * inverse, (bx - cx) * inverse
        vx, vy = (ay - cy) * inverse, (cx - ax) * inverse
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


@compiled
def _normals(vertices, triangles, table):
    """Unit vertex normals (sum of the triangles' cross products) into the first three columns of `table`."""
    for i in range(table.shape[0]):
        table[i, 0] = table[i, 1] = table[i, 2] = 0
    for f in range(triangles.shape[0]):
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
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


@compiled
def _power(base, exponent):
    out = 1.0
    while exponent > 0:
        if exponent & 1:
            out *= base
        base *= base
        exponent >>= 1
    return out


@compiled
def _shade(table, look, px, py, index, w0, w1, atlas, light, tables, frame):
    """Shade the visible samples (2 a pixel and axis) and average them over `frame`, which holds the background."""
    triangles, cull, two_sided, material = look
    to_linear, to_srgb = tables
    size = frame.shape[0]
    rows, columns = atlas.shape[0], atlas.shape[1]
    lx, ly, lz = light[0, 0], light[0, 1], light[0, 2]
    fx, fy, fz = light[4, 0], light[4, 1], light[4, 2]
    hx, hy, hz = lx, ly, lz + 1.0  # half way between light and viewer
    length = np.sqrt(hx * hx + hy * hy + hz * hz)
    if length > 1e-6:
        hx, hy, hz = hx / length, hy / length, hz / length
    for y in range(size):
        for x in range(size):
            red = green = blue = 0.0
            seen = 0
            for sub in range(4):
                sy, sx = 2 * y + (sub >> 1), 2 * x + (sub & 1)
                f = index[sy, sx]
                if f < 0:
                    continue
                seen += 1
                a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
                wa, wb = w0[sy, sx], w1[sy, sx]
                wc = np.float32(1.0) - wa - wb
                nx = wa * table[a, 0] + wb * table[b, 0] + wc * table[c, 0]
                ny = wa * table[a, 1] + wb * table[b, 1] + wc * table[c, 1]
                nz = wa * table[a, 2] + wb * table[b, 2] + wc * table[c, 2]
                u = wa * table[a, 3] + wb * table[b, 3] + wc * table[c, 3]
                v = wa * table[a, 4] + wb * table[b, 4] + wc * table[c, 4]
                ao = wa * table[a, 5] + wb * table[b, 5] + wc * table[c, 5]
                shadow = wa * table[a, 6] + wb * table[b, 6] + wc * table[c, 6]
                length = np.sqrt(nx * nx + ny * ny + nz * nz)
                if length > 0:
                    nx, ny, nz = nx / length, ny / length, nz / length
                kind = material[a]
                if two_sided[f]:
                    area = (px[c] - px[a]) * (py[b] - py[a]) - (px[b] - px[a]) * (py[c] - py[a])
                    if area < 0:  # the inside of a lock of hair
                        nx, ny, nz = -nx, -ny, -nz
                        ao *= 0.35
                        shadow *= 0.35

                # texture, bilinear in linear light
                tx = min(max(u * columns - 0.5, 0.0), columns - 1.0)
                ty = min(max(v * rows - 0.5, 0.0), rows - 1.0)
                ix, iy = int(tx), int(ty)
                jx, jy = min(ix + 1, columns - 1), min(iy + 1, rows - 1)
                tx -= ix
                ty -= iy
                t00, t01, t10, t11 = (1 - tx) * (1 - ty), tx * (1 - ty), (1 - tx) * ty, tx * ty
                base_red = (
                    t00 * to_linear[atlas[iy, ix, 0]]
                    + t01 * to_linear[atlas[iy, jx, 0]]
                    + t10 * to_linear[atlas[jy, ix, 0]]
                    + t11 * to_linear[atlas[jy, jx, 0]]
                )
                base_green = (
                    t00 * to_linear[atlas[iy, ix, 1]]
                    + t01 * to_linear[atlas[iy, jx, 1]]
                    + t10 * to_linear[atlas[jy, ix, 1]]
                    + t11 * to_linear[atlas[jy, jx, 1]]
                )
                base_blue = (
                    t00 * to_linear[atlas[iy, ix, 2]]
                    + t01 * to_linear[atlas[iy, jx, 2]]
                    + t10 * to_linear[atlas[jy, ix, 2]]
                    + t11 * to_linear[atlas[jy, jx, 2]]
                )

                facing = nx * lx + ny * ly + nz * lz
                wrap = 0.22 if kind == 0 else 0.1
                key = shadow * max(0.0, (facing + wrap) / (1.0 + wrap))
                up = 0.5 + 0.5 * ny
                fill = ao * max(0.0, nx * fx + ny * fy + nz * fz)
                light_red = key * light[1, 0] + ao * (up * light[2, 0] + (1 - up) * light[3, 0])
                light_green = key * light[1, 1] + ao * (up * light[2, 1] + (1 - up) * light[3, 1])
                light_blue = key * light[1, 2] + ao * (up * light[2, 2] + (1 - up) * light[3, 2])
                light_red += fill * light[5, 0]
                light_green += fill * light[5, 1]
                light_blue += fill * light[5, 2]
                gloss, exponent = 0.0, 0
                if kind == 0:
                    # light that enters the skin comes out red where the surface turns away from the key
                    light_red += 0.10 * max(0.0, 1.0 - 3.0 * abs(facing - 0.05)) * shadow
                    lips = wa * table[a, 7] + wb * table[b, 7] + wc * table[c, 7]
                    if lips > 0.5:
                        gloss, exponent = 0.10, 30
                    else:
                        gloss, exponent = 0.07, 18
                elif kind == 1:
                    gloss, exponent = 0.10, 30
                elif kind == 2:
                    gloss, exponent = 0.25, 40
                elif kind == 3:
                    gloss, exponent = 0.90, 160
                elif kind == 4:
                    gloss, exponent = 0.06, 8
                half = nx * hx + ny * hy + nz * hz
                shine = 0.0
                if half > 0 and gloss > 0:
                    shine = gloss * shadow * _power(half, exponent)
                edge = 1.0 - nz
                rim = 0.035 * edge * edge * edge * ao
                sample_red = base_red * light_red + shine * light[1, 0] + rim * light[2, 0]
                sample_green = base_green * light_green + shine * light[1, 1] + rim * light[2, 1]
                sample_blue = base_blue * light_blue + shine * light[1, 2] + rim * light[2, 2]
                red += to_srgb[int(min(max(sample_red, 0.0), 1.0) * 4096.0 + 0.5)]
                green += to_srgb[int(min(max(sample_green, 0.0), 1.0) * 4096.0 + 0.5)]
                blue += to_srgb[int(min(max(sample_blue, 0.0), 1.0) * 4096.0 + 0.5)]
            if seen > 0:
                empty = 4 - seen
                frame[y, x, 0] = np.uint8((red + empty * frame[y, x, 0]) * 0.25 + 0.5)
                frame[y, x, 1] = np.uint8((green + empty * frame[y, x, 1]) * 0.25 + 0.5)
                frame[y, x, 2] = np.uint8((blue + empty * frame[y, x, 2]) * 0.25 + 0.5)


@compiled
def _draw(vertices, look, table, atlas, light, tables, scale, marks, frames, visible, kinds):
    """Draw all frames.

    vertices (T, V, 3) posed; look = (triangles, cull, two_sided, material); table (V, 8): normal (written here), u, v,
    ao, shadow, lips; scale: samples per head unit; marks: vertices of the landmarks. Written: frames (T, S, S, 3), which
    come with the background in them, visible (T, 68), kinds (T, S, S). frames or kinds of no frames are left out.
    """
    triangles, cull, two_sided, material = look
    size = kinds.shape[1]
    side = SUPERSAMPLING * size
    zbuffer = np.empty((side, side), np.float32)
    index = np.empty((side, side), np.int32)
    w0 = np.empty((side, side), np.float32)
    w1 = np.empty((side, side), np.float32)
    px = np.empty(vertices.shape[1], np.float32)
    py = np.empty(vertices.shape[1], np.float32)
    pz = np.empty(vertices.shape[1], np.float32)
    for t in range(vertices.shape[0]):
        for i in range(vertices.shape[1]):
            px[i] = size + scale * vertices[t, i, 0]
            py[i] = size - scale * (vertices[t, i, 1] - 0.30)
            pz[i] = vertices[t, i, 2]
        zbuffer[:] = -np.inf
        index[:] = -1
        _raster(px, py, pz, triangles, cull, zbuffer, index, w0, w1)
        if frames.shape[0] > 0:
            _normals(vertices[t], triangles, table)
            _shade(table, look, px, py, index, w0, w1, atlas, light, tables, frames[t])
        for j in range(len(marks)):
            i = marks[j]
            visible[t, j] = False
            if 0 <= px[i] < side and 0 <= py[i] < side:
                visible[t, j] = pz[i] >= zbuffer[int(py[i]), int(px[i])] - VISIBLE_DEPTH
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

    frames: uint8 (T, S, S, 3), sRGB. landmarks: float32 (T, 68, 3), px right, py down (pixel centres at +.5), z towards
    the viewer, in pixels. visible: bool (T, 68). material: int8 (T, S, S), nearest material of a pixel, -1 background.
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
    table[:, 3:5] = _array(look.uv, np.float32, (count, 2), "look.uv")
    table[:, 5] = _array(look.ao, np.float32, (count,), "look.ao")
    table[:, 6] = _array(look.shadow, np.float32, (count,), "look.shadow")
    table[:NUM_VERTICES, 7] = _lips()
    atlas = _array(look.atlas_small if size <= 128 else look.atlas, np.uint8, (None, None, 3), "look.atlas")
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
    """Frames of posed heads: float32 (T, V, 3) head units -> uint8 (T, S, S, 3) sRGB. See `draw` for labels too."""
    return draw(look, posed_vertices, camera).frames


def labels(look: Look, posed_vertices: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks float32 (T, 68, 3) in pixels and visible bool (T, 68), without drawing (`draw` gives both at once)."""
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
