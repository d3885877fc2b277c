"""The parametric head of the synthetic benchmark: 60 shape and 33 expression directions, blink, gaze, pose.

Unit: distance of the outer eye corners = 1 (about 90 mm). Axes: x right in the picture (the subject's left
is +x), y up, z towards the viewer. A head is

    v = rest + sum_j shape_j S_j(rest) + sum_k expression_k E_k + blink,   eyeballs rotated by gaze,

linear in shape (for given blink 0, gaze 0, eyeballs aside) and in expression. S_j are fields of space, so
hair and clothes move with the face (`shape_displacement`); E_k are stored for the vertices that move.

Rest head and expression directions are in `synthetic_face.npz`; its key `about` says how they were made.
"""

from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import numpy as np

from talkbench.geometry.compiled import compiled
from talkbench.geometry.rotations import head_rotation

FILE = Path(__file__).with_name("synthetic_face.npz")

NUM_VERTICES = 2953
NUM_MOVING = 1205  # vertices that expressions move: head, mouth bag, teeth, tongue
FACE = slice(0, 468)
HEAD_SKIN = slice(0, 793)
EYES = (slice(1205, 1405), slice(1405, 1605))  # right, left
PIVOT = np.array([0.0, -0.75, -1.05])  # the head turns about this point (the top of the neck)

EYE_RADIUS = 0.205
LID_RADIUS = EYE_RADIUS + 0.012  # closed lids lie on this sphere
CLEARANCE_RADIUS = 0.209  # open eyelids must stay outside this one
LID_FALLOFF = 0.17  # above the lid the skin follows the blink over this height

SHAPE_NAMES = (
    *("headWidth", "headHeight", "headDepth", "faceWidthLow", "faceWidthMid", "faceLength", "jawWidth"),
    *("jawAngleDrop", "chinLength", "chinForward", "chinWidth", "cheekFull", "cheekBone", "noseLength"),
    *("noseWidth", "noseBridge", "noseTipUp", "noseForward", "nostrilWidth", "lipUpperFull", "lipLowerFull"),
    *("mouthWidth", "mouthHeight", "mouthForward", "eyeDistance", "eyeHeight", "eyeSize", "eyeSlant"),
    *("eyeDepth", "browHeight", "browRidge", "browSlant", "foreheadSlope", "foreheadHeight", "templeWidth"),
    *("neckWidth", "earOut", "philtrum", "lidCrease", "doubleChin"),
    *(f"wave{i:02d}" for i in range(20)),
)

EXPRESSION_NAMES = (
    *("jawOpen", "mouthClose", "jawLeft", "jawRight", "jawForward", "mouthUpperUpLeft", "mouthRollLower"),
    *("mouthUpperUpRight", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthRollUpper", "mouthStretchLeft"),
    *("mouthStretchRight", "mouthSmileLeft", "mouthSmileRight", "mouthDimpleLeft", "mouthDimpleRight"),
    *("mouthFrownLeft", "mouthFrownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker", "mouthFunnel"),
    *("mouthRight", "mouthLeft", "mouthShrugLower", "mouthShrugUpper", "cheekPuff", "browDownLeft"),
    *("browOuterUpLeft", "browInnerUp", "browDownRight", "browOuterUpRight"),
)


class HeadError(ValueError):
    """Coefficients or vertices of the wrong shape; the message says which were expected."""


@dataclass(frozen=True)
class HeadData:
    """The arrays of `synthetic_face.npz`, read-only.

    Attributes:
        vertices: float32 (2953, 3), rest head, neutral, of no identity.
        triangles: int32 (5436, 3), counter-clockwise from outside (the mouth bag: from inside).
        uv: float32 (2953, 2), 0..1 in the texture atlas, v down.
        material: uint8 (2953,): 0 skin, 1 mouth and tongue, 2 teeth, 3 eye.
        parts: name -> slice of vertices (head, bag, teeth_up, teeth_low, tongue, eyeR, eyeL, earR, earL,
            torso).
        landmarks68: int32 (68,), vertices of the iBUG landmarks, all among the first 468.
        mirror: int32 (2953,), the mirrored vertex.
        ring_oval: int32 (36,), boundary of the face mesh.
        rings_lips: int32 (4, 20), outer contour, two middle rings, inner contour; 0 right corner, 1..9 upper
            lip, 10 left corner, 11..19 lower lip going back (k and 20 - k face each other).
        rings_eyes: int32 (2, 16), right, left: 0 outer corner, 1..7 lower lid, 8 inner corner, 9..15 upper
            lid.
        eye_centres: float32 (2, 3), centres of the eyeballs (radius .205).
        expression: float32 (33, 1205, 3), displacement of the first 1205 vertices at weight 1.
        shape_waves: float32 (20, 10), constants of the last 20 shape directions.
        hair_radius: float32 (18, 64), distance of the scalp from the skull's centre on the hair grid.
        torso_profile: float32 (12, 5), y, half width, half depth, centre z, superellipse power.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    uv: np.ndarray
    material: np.ndarray
    parts: dict[str, slice]
    landmarks68: np.ndarray
    mirror: np.ndarray
    ring_oval: np.ndarray
    rings_lips: np.ndarray
    rings_eyes: np.ndarray
    eye_centres: np.ndarray
    expression: np.ndarray
    shape_waves: np.ndarray
    hair_radius: np.ndarray
    torso_profile: np.ndarray


@cache
def head() -> HeadData:
    """The rest head, read once a process."""
    with np.load(FILE, allow_pickle=False) as file:
        if tuple(file["shape_names"]) != SHAPE_NAMES or tuple(file["expression_names"]) != EXPRESSION_NAMES:
            raise HeadError(f"{FILE} belongs to another version of talkbench; install the package again")
        arrays = {f.name: file[f.name] for f in fields(HeadData) if f.name != "parts"}
        parts = {str(n): slice(int(a), int(b)) for n, (a, b) in zip(file["part_names"], file["part_ranges"])}
    for name, array in arrays.items():
        if array.dtype == np.uint16:
            array = array.astype(np.int32)
        elif array.dtype == np.float16:
            array = array.astype(np.float32)
        arrays[name] = array
    # the file winds the mouth bag to be seen from outside; turned round, it closes the open mouth
    in_bag = (arrays["triangles"] >= parts["bag"].start).all(1) & (
        arrays["triangles"] < parts["bag"].stop
    ).all(1)
    arrays["triangles"][in_bag] = arrays["triangles"][in_bag][:, ::-1]
    for array in arrays.values():
        array.setflags(write=False)
    return HeadData(parts=parts, **arrays)


@cache
def mean_face() -> np.ndarray:
    """Landmarks (68, 3) of the mean head at rest; x right, y down, z towards the viewer."""
    points = head().vertices[head().landmarks68].astype(np.float64) * (1, -1, 1)
    points.setflags(write=False)
    return points


def smoothstep(t: np.ndarray, a: float, b: float) -> np.ndarray:
    """0 at t <= a, 1 at t >= b, smooth between: u u (3 - 2u) of u = (t - a) / (b - a); b < a falls."""
    u = np.clip((t - a) / (b - a), 0, 1)
    return u * u * (3 - 2 * u)


# ---- shape -------------------------------------------------------------------------------------------------


def shape_fields(points: np.ndarray) -> np.ndarray:
    """Displacement of any points in space by each of the 60 shape directions at weight 1.

    Args:
        points: (N, 3), rest positions (of the rest head, hair grown on it, clothes laid over it).

    Returns:
        float64 (60, N, 3), in the order of SHAPE_NAMES.
    """
    p = np.asarray(points, np.float64)
    if p.ndim != 2 or p.shape[1] != 3:
        raise HeadError(f"points of shape {p.shape}, expected (N, 3)")
    x, y, z = p.T
    sst, sign, exp = smoothstep, np.sign(x), np.exp
    gate = sst(y, -1.6, -0.9)  # directions of the whole skull leave the torso alone

    def bump(cx, cy, cz, sx, sy, sz):
        return exp(-(((x - cx) / sx) ** 2) - ((y - cy) / sy) ** 2 - ((z - cz) / sz) ** 2)

    def pair(cx, *rest):  # the bump at the subject's left and its mirror image
        return bump(cx, *rest), bump(-cx, *rest)

    def both(*constants):
        left, right = pair(*constants)
        return left + right

    def apart(*constants):
        left, right = pair(*constants)
        return left - right

    out = np.zeros((len(SHAPE_NAMES), len(p), 3))
    number = {name: i for i, name in enumerate(SHAPE_NAMES)}

    def put(name, *, dx=0.0, dy=0.0, dz=0.0):
        out[number[name], :, 0], out[number[name], :, 1], out[number[name], :, 2] = dx, dy, dz

    put("headWidth", dx=0.05 * x * gate)
    put("headHeight", dy=0.045 * (y - 0.37) * gate)
    put("headDepth", dz=0.05 * (z + 0.8) * gate)
    put("faceWidthLow", dx=0.10 * x * exp(-(((y + 0.75) / 0.45) ** 2)))
    put("faceWidthMid", dx=0.05 * x * exp(-(((y + 0.05) / 0.35) ** 2)))
    put("faceLength", dy=-0.07 * sst(-y, -0.3, 0.9) * gate)
    put("jawWidth", dx=0.09 * sign * both(0.68, -0.45, -0.55, 0.25, 0.35, 0.4))
    put("jawAngleDrop", dy=-0.08 * both(0.65, -0.5, -0.55, 0.25, 0.3, 0.4))
    put("chinLength", dy=-0.10 * bump(0, -0.85, -0.05, 0.35, 0.28, 0.4))
    put("chinForward", dz=0.09 * bump(0, -0.8, -0.05, 0.3, 0.25, 0.4))
    put("chinWidth", dx=0.16 * x * bump(0, -0.82, -0.05, 0.35, 0.22, 0.4))
    put(
        "cheekFull",
        dx=0.10 * apart(0.52, -0.3, -0.15, 0.22, 0.28, 0.4),
        dz=0.07 * both(0.48, -0.28, -0.1, 0.22, 0.28, 0.5),
    )
    put(
        "cheekBone",
        dx=0.05 * apart(0.58, 0.12, -0.15, 0.2, 0.16, 0.4),
        dz=0.05 * both(0.52, 0.1, -0.1, 0.2, 0.16, 0.4),
    )
    put("noseLength", dy=-0.07 * bump(0, -0.05, 0.3, 0.2, 0.2, 0.35))
    put("noseWidth", dx=0.22 * x * bump(0, -0.05, 0.2, 0.25, 0.22, 0.35))
    put("noseBridge", dz=0.06 * bump(0, 0.3, 0.15, 0.12, 0.2, 0.3))
    put("noseTipUp", dy=0.05 * bump(0, 0, 0.38, 0.13, 0.12, 0.2))
    put("noseForward", dz=0.07 * bump(0, 0, 0.35, 0.2, 0.22, 0.3))
    put("nostrilWidth", dx=0.35 * x * bump(0, -0.1, 0.2, 0.2, 0.09, 0.25))
    put(
        "lipUpperFull",
        dy=0.035 * bump(0, -0.335, 0.15, 0.2, 0.04, 0.3),
        dz=0.035 * bump(0, -0.35, 0.15, 0.22, 0.06, 0.3),
    )
    put(
        "lipLowerFull",
        dy=-0.04 * bump(0, -0.5, 0.15, 0.2, 0.06, 0.3),
        dz=0.045 * bump(0, -0.48, 0.15, 0.22, 0.07, 0.3),
    )
    put("mouthWidth", dx=0.16 * x * bump(0, -0.405, 0.1, 0.45, 0.12, 0.5))
    put("mouthHeight", dy=0.05 * bump(0, -0.42, 0.1, 0.5, 0.28, 0.6))
    put("mouthForward", dz=0.05 * bump(0, -0.42, 0.1, 0.35, 0.2, 0.5))
    put("eyeDistance", dx=0.04 * apart(0.35, 0.37, -0.1, 0.25, 0.25, 0.6))
    put("eyeHeight", dy=0.05 * both(0.35, 0.37, -0.1, 0.35, 0.25, 0.6))
    left, right = pair(0.352, 0.372, -0.1, 0.22, 0.15, 0.3)
    put(
        "eyeSize",
        dx=0.10 * ((x - 0.352) * left + (x + 0.352) * right),
        dy=0.10 * (y - 0.372) * (left + right),
    )
    left, right = pair(0.35, 0.37, -0.1, 0.28, 0.2, 0.5)
    put("eyeSlant", dy=0.25 * ((x - 0.35) * left - (x + 0.35) * right))
    put("eyeDepth", dz=0.04 * both(0.35, 0.39, -0.1, 0.22, 0.16, 0.5))
    put("browHeight", dy=0.05 * both(0.34, 0.58, 0, 0.32, 0.13, 0.5))
    put("browRidge", dz=0.05 * bump(0, 0.55, 0.1, 0.55, 0.12, 0.5))
    left, right = pair(0.35, 0.57, 0, 0.3, 0.13, 0.5)
    put("browSlant", dy=0.2 * ((x - 0.3) * left - (x + 0.3) * right))
    put("foreheadSlope", dz=-0.10 * sst(y, 0.55, 1.2) * sst(z, -0.8, 0))
    put("foreheadHeight", dy=0.10 * sst(y, 0.55, 1.1))
    put("templeWidth", dx=0.07 * apart(0.75, 0.65, -0.3, 0.25, 0.35, 0.5))
    neck = sst(-y, 0.45, 0.8) * sst(y, -1.7, -1.3)
    put("neckWidth", dx=0.13 * x * neck, dz=0.05 * (z + 1.1) * neck)
    put("earOut", dx=0.07 * apart(0.95, 0.2, -0.95, 0.17, 0.4, 0.3))
    put(
        "philtrum",
        dy=0.03 * bump(0, -0.25, 0.2, 0.1, 0.08, 0.2),
        dz=-0.02 * bump(0, -0.25, 0.2, 0.05, 0.1, 0.2),
    )
    crease = both(0.36, 0.47, -0.02, 0.18, 0.05, 0.3)
    put("lidCrease", dy=0.03 * crease, dz=-0.02 * crease)
    double = bump(0, -0.85, -0.4, 0.45, 0.25, 0.3)
    put("doubleChin", dy=-0.10 * double, dz=0.03 * double)

    for i, (k1, k2, k3, f1, f2, f3, m1, m2, m3, amplitude) in enumerate(
        head().shape_waves.astype(np.float64)
    ):
        odd, even = (np.sin(k1 * x), np.cos(k1 * x))
        if i >= 15:  # the last five are asymmetric
            odd, even = even, odd
        for axis, (m, across, f) in enumerate(((m1, odd, f1), (m2, even, f2), (m3, even, f3))):
            out[40 + i, :, axis] = amplitude * m * across * np.cos(k2 * y + k3 * z + f) * gate
    return out


@cache
def _rest_fields() -> np.ndarray:
    basis = shape_fields(head().vertices).astype(np.float32).reshape(len(SHAPE_NAMES), -1)
    basis.setflags(write=False)
    return basis


def shape_displacement(points: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """How far a shape moves any points of space: hair, clothes. (N, 3), (60,) -> float32 (N, 3)."""
    weights = _coefficients(shape, "shape", len(SHAPE_NAMES), ndim=1)
    return np.tensordot(weights.astype(np.float64), shape_fields(points), 1).astype(np.float32)


def _coefficients(values, name: str, width: int, *, ndim: int) -> np.ndarray:
    values = np.asarray(values, np.float32)
    if values.ndim != ndim or values.shape[-1] != width:
        wanted = f"({width},)" if ndim == 1 else f"(T, {width})"
        raise HeadError(f"{name} of shape {values.shape}, expected {wanted}")
    return values


# ---- eyes --------------------------------------------------------------------------------------------------


def _place_eyes(vertices: np.ndarray, displaced: np.ndarray) -> np.ndarray:
    """Centres (2, 3) of the eyeballs in a shaped head: they follow their lids and stay behind the skin."""
    data = head()
    skin = vertices[FACE].astype(np.float64)
    centres = data.eye_centres.astype(np.float64) + displaced[data.rings_eyes].mean(1)
    for centre in centres:
        from_axis = np.hypot(skin[:, 0] - centre[0], skin[:, 1] - centre[1])
        near = (from_axis < CLEARANCE_RADIUS) & (skin[:, 2] > centre[2])
        if near.any():
            sphere = centre[2] + np.sqrt(CLEARANCE_RADIUS**2 - from_axis[near] ** 2)
            centre[2] -= np.clip((sphere - skin[near, 2]).max(), -0.02, 0.30)
    return centres


def _blink_fields(vertices: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Displacement (2, 793, 3) of the head's skin that closes the right, the left eye of this shaped head."""
    data = head()
    skin = vertices[HEAD_SKIN].astype(np.float64)
    x, y, z = skin.T
    out = np.zeros((2, len(skin), 3))
    for side, (ring, centre) in enumerate(zip(data.rings_eyes, centres)):
        lower, upper = skin[ring[:9]], skin[np.append(ring[8:], ring[0])]
        edges = []
        for lid in (lower, upper):
            order = np.argsort(lid[:, 0])
            edges.append(np.interp(x, lid[order, 0], lid[order, 1]))
        y_lower, y_upper = edges
        corners = sorted((lower[0, 0], lower[-1, 0]))
        gap = np.where(
            (x > corners[0]) & (x < corners[1]) & (z > centre[2]), np.maximum(y_upper - y_lower, 0), 0
        )
        above = y > (y_upper + y_lower) / 2
        distance = np.where(above, y - y_upper, y_lower - y)
        weight = (1 - np.clip(distance / LID_FALLOFF, 0, 1)) ** 2
        dy = gap * weight * np.where(above, -0.96, 0.04)
        # closed, the lid lies on a sphere just outside the eyeball
        from_axis2 = (x - centre[0]) ** 2 + (y + dy - centre[1]) ** 2
        sphere = centre[2] + np.sqrt(np.maximum(LID_RADIUS**2 - from_axis2, 0))
        on_ball = above & (gap > 0) & (weight > 0.3) & (from_axis2 < LID_RADIUS**2)
        out[side, :, 1] = dy
        out[side, :, 2] = np.where(on_ball, np.clip(sphere - z, -0.02, 0.12), 0)
    return out


# ---- the model ---------------------------------------------------------------------------------------------


class Deformer:
    """One identity's head, ready to move: everything that does not depend on time is computed once.

    Attributes:
        shape: float32 (60,).
        rest: float32 (2953, 3), this identity's neutral head, looking straight ahead.
        eye_centres: float32 (2, 3), right, left.
        basis: float32 (35, 3615): 33 expression directions, blink right, blink left, on the first 1205
            vertices.
    """

    def __init__(self, shape: np.ndarray):
        data = head()
        self.shape = _coefficients(shape, "shape", len(SHAPE_NAMES), ndim=1)
        displaced = (self.shape @ _rest_fields()).reshape(-1, 3)
        rest = data.vertices + displaced
        centres = _place_eyes(rest, displaced)
        self._balls = []
        for side, part in enumerate(EYES):  # the balls stay round: they are moved, not deformed
            ball = data.vertices[part] - data.eye_centres[side]
            rest[part] = ball + centres[side]
            self._balls.append(ball.astype(np.float32))
        blink = np.zeros((2, NUM_MOVING, 3))
        blink[:, HEAD_SKIN] = _blink_fields(rest, centres)
        self.rest = rest.astype(np.float32)
        self.eye_centres = centres.astype(np.float32)
        self.basis = np.concatenate([data.expression, blink]).astype(np.float32).reshape(35, -1)

    def __call__(self, expression: np.ndarray, blink: np.ndarray, gaze: np.ndarray) -> np.ndarray:
        """Move the head.

        Args:
            expression: (T, 33) weights, order of EXPRESSION_NAMES, usually 0..1.
            blink: (T, 2), right and left, 0 open .. 1 closed.
            gaze: (T, 2), yaw (> 0 to picture right) and pitch (> 0 down) of both eyes, rad.

        Returns:
            float32 (T, 2953, 3), without pose.
        """
        expression = _coefficients(expression, "expression", 33, ndim=2)
        blink = _coefficients(blink, "blink", 2, ndim=2)
        gaze = _coefficients(gaze, "gaze", 2, ndim=2)
        frames = len(expression)
        if len(blink) != frames or len(gaze) != frames:
            raise HeadError(
                f"{frames} frames of expression, {len(blink)} of blink, {len(gaze)} of gaze: give as many"
            )
        out = np.empty((frames, NUM_VERTICES, 3), np.float32)
        # not `@`: BLAS rounds differently with the number of its threads
        moved = np.einsum("tk,kv->tv", np.concatenate([expression, blink], axis=1), self.basis)
        np.add(self.rest[:NUM_MOVING], moved.reshape(frames, NUM_MOVING, 3), out=out[:, :NUM_MOVING])
        angles = np.zeros((frames, 3), np.float32)
        angles[:, :2] = np.rad2deg(gaze)
        rotation = head_rotation(angles).swapaxes(1, 2)
        for part, ball, centre in zip(EYES, self._balls, self.eye_centres):
            np.add(ball @ rotation, centre, out=out[:, part])
        out[:, EYES[1].stop :] = self.rest[EYES[1].stop :]
        return out


def vertices(
    shape: np.ndarray, expression: np.ndarray, blink: np.ndarray = (0.0, 0.0), gaze: np.ndarray = (0.0, 0.0)
) -> np.ndarray:
    """One head, no pose: shape (60,), expression (33,), blink (2,), gaze (2,) rad -> float32 (2953, 3)."""
    rows = [np.asarray(row, np.float32)[None] for row in (expression, blink, gaze)]
    return Deformer(shape)(*rows)[0]


# ---- pose --------------------------------------------------------------------------------------------------


def pose_weights(vertices: np.ndarray, material: np.ndarray) -> np.ndarray:
    """How far each vertex follows the head, 0..1, float32 (V,).

    The head follows fully; neck and torso less and less going down, hair below y = -.4, clothes most loosely.

    Args:
        vertices: (V, 3), V >= 2953: the head without pose, then hair and clothes.
        material: (V,), 4 hair, 5 cloth, else skin and parts of the head.
    """
    y, material = np.asarray(vertices, np.float64)[:, 1], np.asarray(material)
    if len(y) < NUM_VERTICES or len(material) != len(y):
        raise HeadError(
            f"{len(y)} vertices and {len(material)} materials, expected as many, at least {NUM_VERTICES}"
        )
    weights = np.ones(len(y))
    torso = head().parts["torso"]
    weights[torso] = smoothstep(y[torso], -1.45, -0.85)
    weights[material == 4] = smoothstep(y[material == 4], -2.0, -0.4)
    weights[material == 5] = 0.6 * smoothstep(y[material == 5], -1.5, -0.9)
    return weights.astype(np.float32)


@compiled
def _pose(vertices, weights, rotation, offset, out):
    # offset: where the origin goes; out = v + w (R v + offset - v)
    for t in range(vertices.shape[0]):
        r00, r01, r02 = rotation[t, 0, 0], rotation[t, 0, 1], rotation[t, 0, 2]
        r10, r11, r12 = rotation[t, 1, 0], rotation[t, 1, 1], rotation[t, 1, 2]
        r20, r21, r22 = rotation[t, 2, 0], rotation[t, 2, 1], rotation[t, 2, 2]
        ox, oy, oz = offset[t, 0], offset[t, 1], offset[t, 2]
        for i in range(vertices.shape[1]):
            x, y, z, w = vertices[t, i, 0], vertices[t, i, 1], vertices[t, i, 2], weights[i]
            out[t, i, 0] = x + w * (r00 * x + r01 * y + r02 * z + ox - x)
            out[t, i, 1] = y + w * (r10 * x + r11 * y + r12 * z + oy - y)
            out[t, i, 2] = z + w * (r20 * x + r21 * y + r22 * z + oz - z)


def pose_vertices(
    vertices: np.ndarray, weights: np.ndarray, yaw_pitch_roll: np.ndarray, translation: np.ndarray
) -> np.ndarray:
    """Turn and move heads: each vertex goes the share `weights` of the way to its place on the rigid head.

    Args:
        vertices: (T, V, 3).
        weights: (V,), see `pose_weights`.
        yaw_pitch_roll: degrees (T, 3); R = Rz(roll) Ry(yaw) Rx(pitch) about PIVOT.
        translation: (T, 2), head units, x and y, after the rotation.

    Returns:
        float32 (T, V, 3).
    """
    vertices = np.ascontiguousarray(vertices, np.float32)
    weights = np.ascontiguousarray(weights, np.float32)
    angles = _coefficients(yaw_pitch_roll, "yaw_pitch_roll", 3, ndim=2)
    translation = _coefficients(translation, "translation", 2, ndim=2)
    if vertices.ndim != 3 or vertices.shape[2] != 3 or weights.shape != vertices.shape[1:2]:
        raise HeadError(f"vertices {vertices.shape} and weights {weights.shape}, expected (T, V, 3) and (V,)")
    if not len(vertices) == len(angles) == len(translation):
        raise HeadError(
            f"{len(vertices)} frames, {len(angles)} poses, {len(translation)} translations: give as many"
        )
    rotation = head_rotation(angles.astype(np.float64))
    offset = PIVOT - rotation @ PIVOT
    offset[:, :2] += translation
    out = np.empty_like(vertices)
    _pose(vertices, weights, rotation.astype(np.float32), offset.astype(np.float32), out)
    return out
