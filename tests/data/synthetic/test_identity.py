"""Identities: reproducible, different from each other, without spikes or holes."""

import hashlib

import numpy as np
import pytest

from talkbench.data.synthetic.atlas import to_uv
from talkbench.data.synthetic.background import paint_background
from talkbench.data.synthetic.hair import CENTRE, STYLES, build_hair, draw_hair, hairline, scalp_radius
from talkbench.data.synthetic.identity import IdentityError, draw_traits, make_identity
from talkbench.data.synthetic.lighting import vertex_normals
from talkbench.data.synthetic.render import CLOTH, EYE, HAIR, SKIN, Camera, draw, render
from talkbench.geometry.head import EXPRESSION_NAMES, NUM_VERTICES, head, pose_vertices

COUNT = 20
KNOWN_MEANS = ((166.0, 130.13, 102.25), (61.21, 60.57, 57.05))  # atlas and background of identity 3


def _shot(person, size=64, pose=(0.0, 0.0, 0.0), jaw=0.0, blink=0.0, **options):
    expression = np.zeros((1, 33), np.float32)
    expression[0, EXPRESSION_NAMES.index("jawOpen")] = jaw
    vertices = person.vertices(expression, np.full((1, 2), blink, np.float32), np.zeros((1, 2), np.float32))
    moved = pose_vertices(
        vertices, person.pose_weights, np.array([pose], np.float32), np.zeros((1, 2), np.float32)
    )
    return draw(person.look, moved, Camera(size), material=True, **options)


@pytest.fixture(scope="module")
def people():
    """At least COUNT identities that show every style of hair."""
    numbers, missing, number = [], set(STYLES), 0
    while len(numbers) < COUNT or missing:
        name = draw_traits(number).hair.name
        if len(numbers) < COUNT - len(missing) or name in missing:
            numbers.append(number)
            missing.discard(name)
        number += 1
    return [make_identity(number) for number in numbers]


def test_every_style_is_built_and_fits_the_renderer(people):
    assert {person.traits.hair.name for person in people} == set(STYLES)
    for person in people:
        look = person.look
        count = NUM_VERTICES + len(look.extra_vertices)
        assert look.triangles.dtype == np.int32 and look.triangles.min() >= 0 and look.triangles.max() < count
        assert look.uv.shape == (count, 2) and look.uv.min() >= 0 and look.uv.max() <= 1
        assert (
            look.material.shape == look.ao.shape == look.shadow.shape == person.pose_weights.shape == (count,)
        )
        assert look.two_sided.shape == (len(look.triangles),)
        assert look.atlas.shape == (512, 512, 3) and look.atlas_small.shape == look.background.shape == (
            256,
            256,
            3,
        )
        for values in (look.ao, look.shadow, person.pose_weights):
            assert np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1
        assert np.isfinite(look.extra_vertices).all() and len(look.triangles) < 12_000
        assert np.abs(person.shape).max() <= 1.5 and person.shape.shape == (60,)
        for direction in (look.light.key_direction, look.light.fill_direction):
            assert abs(np.linalg.norm(direction) - 1) < 1e-5
        has_hair = (look.material == HAIR).any()
        assert has_hair == (person.traits.hair.name not in ("bald", "buzz"))


def test_same_number_same_person():
    first, second = make_identity(7), make_identity(7)
    for name in ("atlas", "background", "triangles", "uv", "ao", "shadow", "extra_vertices"):
        a, b = getattr(first.look, name), getattr(second.look, name)
        assert hashlib.sha256(a.tobytes()).digest() == hashlib.sha256(b.tobytes()).digest(), name
    assert np.array_equal(first.shape, second.shape) and first.traits.hair == second.traits.hair


def test_known_person_stays_the_same():
    """Sums that change with any change of the recipe, which must then raise SYNTHETIC_VERSION."""
    traits = draw_traits(3)
    expected = np.clip(np.random.default_rng([3, 11]).normal(0, 0.75, 60), -1.5, 1.5)
    np.testing.assert_allclose(traits.shape, expected, atol=1e-6)
    look = make_identity(3).look
    means = look.atlas.reshape(-1, 3).mean(0), look.background.reshape(-1, 3).mean(0)
    np.testing.assert_allclose(means, KNOWN_MEANS, atol=1.0)


def test_small_atlas_is_the_reduced_one(people):
    look = people[0].look
    boxes = look.atlas.reshape(256, 2, 256, 2, 3).mean(axis=(1, 3))
    assert np.abs(boxes - look.atlas_small).max() <= 0.5


def test_background_has_its_own_number():
    own, other = make_identity(5), make_identity(5, background=9)
    assert np.array_equal(own.look.atlas, other.look.atlas)
    assert np.array_equal(other.look.background, paint_background(9))
    assert not np.array_equal(own.look.background, other.look.background)


def test_background_is_still(people):
    person = people[1]
    shots = [_shot(person, pose=pose, jaw=jaw) for pose, jaw in (((0, 0, 0), 0), ((12, 4, 3), 0.6))]
    empty = (shots[0].material[0] < 0) & (shots[1].material[0] < 0)
    # a pixel whose nearest sample is background may hold other samples: leave out the rim of the head
    rim = np.zeros_like(empty)
    for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        rim |= np.roll(~empty, (dy, dx), (0, 1))
    still = empty & ~rim
    assert still.sum() > 500
    assert np.array_equal(shots[0].frames[0][still], shots[1].frames[0][still])


def test_people_differ(people):
    frames = np.stack([_shot(person).frames[0] for person in people]).astype(float)
    for i in range(len(frames)):
        for j in range(i):
            assert np.sqrt(np.mean((frames[i] - frames[j]) ** 2)) > 15


def test_hair_has_no_spike(people):
    """Neighbours on a triangle of hair are close, and nothing sticks out of the crown."""
    for person in people:
        look = person.look
        vertices = np.concatenate([person.deformer.rest, look.extra_vertices])
        hair = look.triangles[(look.material[look.triangles] == HAIR).all(1)]
        if not len(hair):
            continue
        corners = vertices[hair]
        assert np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max() < 0.75
        used = np.unique(hair)
        radius = np.linalg.norm(vertices[used] - CENTRE, axis=1)
        above = vertices[used, 1] > CENTRE[1]
        limit = 2.3 if person.traits.hair.name == "bun" else 1.95
        assert radius[above].max() < limit


def test_crown_is_round():
    for seed in range(30):
        style = draw_hair(np.random.default_rng([seed, 11]), 0.5)
        if not style.has_shell:
            continue
        shell = build_hair(style, np.random.default_rng([seed, 77]))[0]
        ring = shell.vertices[1 : 1 + 84]
        peak = shell.vertices[0, 1] - ring[:, 1].mean()
        assert -0.05 < peak < 0.05
        assert np.ptp(ring[:, 1]) < 0.15


def test_no_hair_in_the_eyes_and_no_holes(people):
    for person in people:
        front = _shot(person, size=96)
        marks = front.landmarks[0]
        for eye in (slice(36, 42), slice(42, 48)):
            x, y = marks[eye, :2].mean(0).astype(int)
            assert front.material[0, y, x] in (EYE, SKIN)
        assert (front.material[0] == EYE).sum() > 4
        for pose in ((0, 0, 0), (-45, 0, 0), (30, 8, 0)):
            shot = _shot(person, size=96, pose=pose, jaw=0.7)
            mouth = shot.landmarks[0, 60:68, :2].mean(0).astype(int)
            around = shot.material[0, mouth[1] - 1 : mouth[1] + 2, mouth[0] - 1 : mouth[0] + 2]
            assert (around >= 0).all()


def test_background_shows_only_around_the_head(people):
    """Every background pixel is connected with the border through background: there is no hole."""
    from scipy.ndimage import label

    for person in people[::3]:
        for pose in ((0, 0, 0), (-50, 10, 0), (70, -5, 0)):
            empty = _shot(person, size=96, pose=pose, jaw=0.6).material[0] < 0
            parts, count = label(empty, np.ones((3, 3)))
            border = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
            inner = [k for k in range(1, count + 1) if k not in border]
            # loops between a lock and the neck are real; anything larger is a hole
            assert all((parts == k).sum() <= 40 for k in inner), (person.identity, pose)


def test_mouth_bag_faces_inwards():
    person = make_identity(0)
    bag = head().parts["bag"]
    chosen = ((person.look.triangles >= bag.start) & (person.look.triangles < bag.stop)).all(1)
    expression = np.zeros((1, 33), np.float32)
    expression[0, 0] = 1.0
    vertices = person.deformer(expression, np.zeros((1, 2)), np.zeros((1, 2)))[0]
    normals = vertex_normals(vertices, person.look.triangles[chosen])[bag]
    outwards = vertices[bag] - vertices[bag].mean(0)
    assert (normals * outwards).sum(1).mean() < 0


def test_frame_is_neither_burnt_nor_black(people):
    for person in people:
        shot = _shot(person, size=64)
        skin = shot.frames[0][shot.material[0] == SKIN].astype(float)
        assert 45 < skin.mean() < 235
        assert (skin.min(axis=1) >= 254).mean() < 0.02


def test_hairline_and_scalp():
    style = draw_hair(np.random.default_rng(1), 0.2)
    around = np.linspace(-np.pi, np.pi, 181)
    assert np.isfinite(hairline(style, around)).all()
    np.testing.assert_allclose(hairline(style, around[:1]), hairline(style, around[-1:]), atol=1e-6)
    radius = scalp_radius(around[None], np.deg2rad(np.array([80.0, 40.0, 10.0]))[:, None])
    assert radius.min() > 0.7 and radius.max() < 1.3
    np.testing.assert_allclose(radius[:, 0], radius[:, -1], atol=1e-6)


def test_texture_coordinates_are_those_of_the_mesh():
    data = head()
    points = data.vertices[:468]
    u, v = to_uv(np.arctan2(points[:, 0], points[:, 2] + 0.6), points[:, 1])
    np.testing.assert_allclose(np.stack([u, v], 1), data.uv[:468], atol=2e-3)


def test_clothes_are_there_and_follow_less(people):
    for person in people:
        cloth = person.look.material == CLOTH
        assert cloth.sum() > 300 and person.pose_weights[cloth].max() <= 0.6 + 1e-6
        wide = render(
            person.look,
            np.concatenate([person.deformer.rest, person.look.extra_vertices])[None],
            Camera(64, 4.5),
        )
        assert wide.shape == (1, 64, 64, 3)


def test_bad_numbers():
    with pytest.raises(IdentityError, match="-1"):
        make_identity(-1)
    with pytest.raises(IdentityError, match="background -2"):
        make_identity(0, background=-2)
