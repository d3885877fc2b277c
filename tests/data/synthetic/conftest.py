"""A stand-in for an identity: plain colours by material, a grey background, no hair."""

import numpy as np
import pytest

from talkbench.data.synthetic.render import Light, Look
from talkbench.geometry.head import head

SKIN_COLOUR, MOUTH_COLOUR, TEETH_COLOUR = (224, 172, 142), (140, 60, 60), (235, 230, 220)
SCLERA, IRIS, PUPIL = (225, 222, 218), (70, 110, 150), (15, 15, 20)
GREY = 128


def plain_light() -> Light:
    return Light(
        key_direction=np.array([0.4, 0.45, 0.8]) / np.linalg.norm([0.4, 0.45, 0.8]),
        key_colour=np.array([0.8, 0.78, 0.75]),
        sky=np.array([0.42, 0.44, 0.46]),
        ground=np.array([0.24, 0.23, 0.22]),
        fill_direction=np.array([-0.4, 0.2, 0.9]) / np.linalg.norm([-0.4, 0.2, 0.9]),
        fill=np.array([0.10, 0.10, 0.10]),
    )


def plain_atlas(size: int = 256) -> np.ndarray:
    """Skin, the eye disc centred (.865, .76), the mouth's patch split into bag, teeth, tongue by its uv."""
    data = head()
    v, u = (np.mgrid[:size, :size] + 0.5) / size
    atlas = np.empty((size, size, 3), np.uint8)
    atlas[:] = SKIN_COLOUR
    atlas[(u > 0.74) & (v > 0.86)] = MOUTH_COLOUR
    for part in ("teeth_up", "teeth_low"):
        low, high = data.uv[data.parts[part]].min(0), data.uv[data.parts[part]].max(0)
        atlas[(u >= low[0]) & (u <= high[0]) & (v >= low[1]) & (v <= high[1])] = TEETH_COLOUR
    angle = np.hypot((u - 0.865) / (0.115 / 1.3), (v - 0.76) / (0.075 / 1.3))
    atlas[angle < 1.35] = SCLERA
    atlas[angle < 0.34] = IRIS
    atlas[angle < 0.135] = PUPIL
    return atlas


@pytest.fixture(scope="session")
def plain_look() -> Look:
    return make_plain_look()


def make_plain_look() -> Look:
    data = head()
    count = len(data.vertices)
    ao, shadow = np.full(count, 0.9, np.float32), np.ones(count, np.float32)
    for kind, light in ((1, (0.6, 0.5)), (2, (0.95, 0.85))):
        ao[data.material == kind], shadow[data.material == kind] = light
    return Look(
        triangles=data.triangles,
        uv=data.uv,
        material=data.material,
        two_sided=np.zeros(len(data.triangles), bool),
        ao=ao,
        shadow=shadow,
        atlas=plain_atlas(512),
        atlas_small=plain_atlas(256),
        background=np.full((256, 256, 3), GREY, np.uint8),
        light=plain_light(),
        extra_vertices=np.zeros((0, 3), np.float32),
        extra_weight=np.zeros(0, np.float32),
    )
