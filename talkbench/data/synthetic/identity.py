"""An identity of the synthetic benchmark: shape, look and light, all drawn from its number.

Streams are `numpy.random.default_rng([identity, stream])`: 11 traits, 22 atlas, 33 background (keyed by its
own number), 44 light, 77 the shapes of single strands. Each part has a stream of its own, so that another
draw in one part changes no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from talkbench.data.synthetic.atlas import FaceTraits, draw_face, draw_tone, paint_atlas
from talkbench.data.synthetic.background import paint_background
from talkbench.data.synthetic.clothes import Garment, build_garment, draw_garment, paint_cloth
from talkbench.data.synthetic.hair import HairStyle, build_hair, draw_hair
from talkbench.data.synthetic.lighting import bake, draw_light
from talkbench.data.synthetic.parts import Part, join, two_sided_mask
from talkbench.data.synthetic.render import CLOTH, HAIR, SKIN, Look
from talkbench.geometry.head import Deformer, head, pose_weights, shape_displacement

SHAPE_DEVIATION, SHAPE_LIMIT = 0.75, 1.5


class IdentityError(ValueError):
    """A number that names no identity or background; the message says which."""


@dataclass(frozen=True)
class Traits:
    """What is drawn for an identity before anything is built. shape: float32 (60,)."""

    shape: np.ndarray
    face: FaceTraits
    hair: HairStyle
    garment: Garment


@dataclass(frozen=True)
class Identity:
    """One person of the synthetic world.

    Attributes:
        identity: its number. background: the number of what is behind.
        shape: float32 (60,), coefficients of the head model.
        deformer: the head of that shape, ready to move.
        look: what the renderer needs.
        traits: what was drawn (style of hair, colours, garment).
        pose_weights: float32 (V,), how far each vertex follows the head.
    """

    identity: int
    background: int
    shape: np.ndarray
    deformer: Deformer
    look: Look
    traits: Traits
    pose_weights: np.ndarray

    def vertices(self, expression: np.ndarray, blink: np.ndarray, gaze: np.ndarray) -> np.ndarray:
        """The head moved (T, 33), (T, 2), (T, 2) with hair and clothes: float32 (T, V, 3), without pose."""
        moved = self.deformer(expression, blink, gaze)
        extra = np.broadcast_to(self.look.extra_vertices, (len(moved), *self.look.extra_vertices.shape))
        return np.concatenate([moved, extra], axis=1)


def draw_traits(identity: int) -> Traits:
    """The traits of an identity (stream 11)."""
    rng = np.random.default_rng([identity, 11])
    shape = np.clip(rng.normal(0.0, SHAPE_DEVIATION, 60), -SHAPE_LIMIT, SHAPE_LIMIT).astype(np.float32)
    tone, skin = draw_tone(rng)
    hair = draw_hair(rng, tone)
    face = draw_face(rng, tone, skin)
    return Traits(shape=shape, face=face, hair=hair, garment=draw_garment(rng))


def eye_sockets(deformer: Deformer) -> list[Part]:
    """A dark hollow behind each eyeball: without it one looks past the ball and through the skull."""
    parts = []
    for ring, centre in zip(head().rings_eyes, deformer.eye_centres):
        rim = deformer.rest[ring].astype(np.float64)
        away = rim - rim.mean(0)
        middle = rim + 0.12 * away - np.array([0.0, 0.0, 0.16])
        end = np.array([[centre[0], centre[1], centre[2] - 0.26]])
        count = len(ring)
        k = np.arange(count)
        following = (k + 1) % count
        wall = np.concatenate(
            [np.stack([k, following, k + count], 1), np.stack([following, following + count, k + count], 1)]
        )
        cap = np.stack([k + count, following + count, np.full(count, 2 * count)], 1)
        uv = np.asarray(head().uv, np.float64)[ring]
        part = Part(
            np.concatenate([rim, middle, end]), np.concatenate([wall, cap]), np.concatenate([uv, uv, uv[:1]])
        )
        normal = np.cross(*(part.vertices[cap[0][1:]] - part.vertices[cap[0][0]]))
        if normal[2] < 0:  # it is seen from inside, from the front
            part = Part(part.vertices, part.triangles[:, ::-1], part.uv)
        parts.append(part)
    return parts


@cache
def _head_triangles() -> np.ndarray:
    """The head's triangles without the part of the torso that lies below every picture."""
    data = head()
    triangles = data.triangles
    torso = triangles[:, 0] >= data.parts["torso"].start
    return triangles[~(torso & (data.vertices[triangles][:, :, 1].max(1) < -2.3))]


def make_identity(identity: int, background: int | None = None) -> Identity:
    """Build a person from a number.

    Args:
        identity: any number >= 0; the same number gives the same person.
        background: number of the background, >= 0; the identity's own by default.

    Raises:
        IdentityError: a negative number.
    """
    background = identity if background is None else background
    if identity < 0 or background < 0:
        raise IdentityError(f"identity {identity}, background {background}: numbers must be 0 or more")
    traits = draw_traits(identity)
    data, deformer = head(), Deformer(traits.shape)
    hair = build_hair(traits.hair, np.random.default_rng([identity, 77]))
    clothes = build_garment(traits.garment)
    sockets = eye_sockets(deformer)
    first = len(data.vertices)
    parts = [*hair, *clothes, *sockets]
    extra = join(parts)
    kinds = (HAIR,) * len(hair) + (CLOTH,) * len(clothes) + (SKIN,) * len(sockets)
    material = np.repeat(np.array(kinds, np.uint8), [len(part.vertices) for part in parts])
    material = np.concatenate([data.material, material])
    head_triangles = _head_triangles()
    triangles = np.concatenate([head_triangles, extra.triangles + first]).astype(np.int32)
    two_sided = np.concatenate([np.zeros(len(head_triangles), bool), two_sided_mask(parts)])
    num_worn = sum(len(part.vertices) for part in (*hair, *clothes))
    extra_rest = extra.vertices.copy()
    extra_rest[:num_worn] += shape_displacement(extra.vertices[:num_worn], traits.shape)
    extra_rest = extra_rest.astype(np.float32)
    rest = np.concatenate([deformer.rest, extra_rest])
    weights = pose_weights(rest, material)

    painter = np.random.default_rng([identity, 22])
    atlas, atlas_small = paint_atlas(traits.face, traits.hair, paint_cloth(traits.garment, painter), painter)
    lamp = np.random.default_rng([identity, 44])
    light = draw_light(lamp, traits.face.skin, traits.hair.colour)
    ao, shadow = bake(rest, triangles, material, light, lamp)
    look = Look(
        triangles=triangles,
        uv=np.concatenate([data.uv, extra.uv]).astype(np.float32),
        material=material,
        two_sided=two_sided,
        ao=ao,
        shadow=shadow,
        atlas=atlas,
        atlas_small=atlas_small,
        background=paint_background(background),
        light=light,
        extra_vertices=extra_rest,
        extra_weight=weights[first:],
    )
    return Identity(identity, background, traits.shape, deformer, look, traits, weights)
