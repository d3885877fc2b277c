import numpy as np
import pytest

from talkbench.geometry import head as geometry
from talkbench.geometry.head import EXPRESSION_NAMES, Deformer, HeadError, head, pose_vertices, pose_weights

ZERO = np.zeros(60)


def shapes(count, seed=0):
    return np.clip(np.random.default_rng(seed).normal(0, 0.75, (count, 60)), -1.5, 1.5)


def expression(**weights):
    out = np.zeros(33, np.float32)
    for name, value in weights.items():
        out[EXPRESSION_NAMES.index(name)] = value
    return out


def swap_sides(name):
    return name.replace("Left", "#").replace("Right", "Left").replace("#", "Right")


def inner_gap(vertices):
    ring = head().rings_lips[3]
    return np.linalg.norm(vertices[ring[1:10]] - vertices[ring[19:10:-1]], axis=-1)


def test_mirror_of_the_rest_head():
    data = head()
    np.testing.assert_array_equal(data.mirror[data.mirror], np.arange(len(data.mirror)))
    np.testing.assert_allclose(data.vertices[data.mirror] * [-1, 1, 1], data.vertices, atol=1e-6)


def test_triangles_face_outwards_and_the_mouth_bag_inwards():
    data = head()
    vertices = geometry.vertices(ZERO, expression(jawOpen=1))
    a, b, c = vertices[data.triangles].transpose(1, 0, 2)
    normal, centre = np.cross(b - a, c - a), (a + b + c) / 3
    for name, part in data.parts.items():
        own = ((data.triangles >= part.start) & (data.triangles < part.stop)).all(1)
        outward = ((centre[own] - vertices[part].mean(0)) * normal[own]).sum(1) > 0
        if name == "bag":
            assert outward.mean() < 0.05
        elif not name.startswith("ear"):  # an ear is a bowl
            assert outward.mean() > 0.9, name


def test_expressions_are_symmetric():
    data = head()
    flip = data.mirror[: geometry.NUM_MOVING]
    for k, name in enumerate(EXPRESSION_NAMES):
        other = data.expression[EXPRESSION_NAMES.index(swap_sides(name))]
        assert np.abs(data.expression[k][flip] * [-1, 1, 1] - other).max() < 1e-3, name
        assert 0.045 < np.linalg.norm(data.expression[k], axis=1).max() < 0.47, name


def test_symmetric_shapes_are_symmetric_and_the_last_five_waves_are_not():
    data = head()
    fields = geometry.shape_fields(data.vertices)
    unlike = np.abs(fields[:, data.mirror] * [-1, 1, 1] - fields).max((1, 2))
    assert unlike[:55].max() < 1e-6 and unlike[55:].min() > 1e-3


def test_shape_fields_by_hand():
    points = np.array([[0.5, -0.3, -0.4], [-0.2, -1.3, -1.0], [0.352, 0.372, -0.1]])
    fields = dict(zip(geometry.SHAPE_NAMES, geometry.shape_fields(points)))
    np.testing.assert_allclose(fields["headWidth"][0], [0.025, 0, 0])
    u = (-1.3 + 1.6) / 0.7
    np.testing.assert_allclose(fields["headWidth"][1], [-0.01 * u * u * (3 - 2 * u), 0, 0])
    near, far = (
        np.exp(
            -sum(
                ((p - c) / s) ** 2
                for p, c, s in zip((side * 0.5, -0.3, -0.4), (0.68, -0.45, -0.55), (0.25, 0.35, 0.4))
            )
        )
        for side in (1, -1)
    )
    np.testing.assert_allclose(fields["jawWidth"][0], [0.09 * (near + far), 0, 0])
    np.testing.assert_allclose(fields["eyeSize"][2], 0, atol=1e-3)  # the centre of the eye stays
    assert np.abs(fields["wave00"]).max() > 1e-3


def test_model_is_linear_in_shape_and_expression():
    data, (a, b) = head(), shapes(2)
    skin = slice(0, 1205)  # eyeballs follow the lids by a rule of their own
    rest = data.vertices[skin]
    moved = [Deformer(s).rest[skin] - rest for s in (a, b, 0.5 * (a + b))]
    np.testing.assert_allclose(moved[2], 0.5 * (moved[0] + moved[1]), atol=1e-5)
    np.testing.assert_allclose(moved[0], geometry.shape_displacement(rest, a), atol=1e-5)
    e = np.random.default_rng(1).random(33)
    whole = geometry.vertices(a, e)[skin] - Deformer(a).rest[skin]
    np.testing.assert_allclose(whole, np.tensordot(e, data.expression, 1), atol=1e-5)


def test_one_frame_and_many_agree():
    rng = np.random.default_rng(2)
    e, blink, gaze = rng.random((4, 33)), rng.random((4, 2)), rng.normal(0, 0.2, (4, 2))
    shape = shapes(1)[0]
    many = Deformer(shape)(e, blink, gaze)
    assert many.shape == (4, 2953, 3) and many.dtype == np.float32
    np.testing.assert_allclose(geometry.vertices(shape, e[2], blink[2], gaze[2]), many[2], atol=1e-6)
    assert geometry.vertices(ZERO, np.zeros(33)).shape == (2953, 3)


def test_the_mouth_opens_and_closes():
    open_mouth = inner_gap(geometry.vertices(ZERO, expression(jawOpen=1)))
    height = geometry.vertices(ZERO, expression(jawOpen=1))[head().rings_lips[3][[5, 15]], 1]
    assert height[0] - height[1] == pytest.approx(0.269, abs=0.002)
    assert open_mouth.min() > 0.09
    for weight in (0.3, 1):
        assert inner_gap(geometry.vertices(ZERO, expression(jawOpen=weight, mouthClose=weight))).max() < 1e-3
    for shape in shapes(5):
        assert inner_gap(geometry.vertices(shape, expression(jawOpen=0.7, mouthClose=0.7))).max() < 0.01


def test_blink_closes_every_eye():
    rings = head().rings_eyes
    for shape in shapes(20):
        deformer = Deformer(shape)
        closed = deformer(np.zeros((1, 33)), np.ones((1, 2)), np.zeros((1, 2)))[0]
        for ring, centre in zip(rings, deformer.eye_centres):
            lower, upper = closed[ring[1:8]], closed[ring[:8:-1]]
            before = deformer.rest[ring[:8:-1], 1] - deformer.rest[ring[1:8], 1]
            assert np.abs(upper[:, 1] - lower[:, 1]).max() < 0.35 * before.max()
            # the middle of the lid lies on or outside the eyeball
            middle = upper[2:5]
            assert np.linalg.norm(middle - centre, axis=1).min() > geometry.EYE_RADIUS


def test_one_eye_blinks_alone():
    deformer = Deformer(ZERO)
    right = deformer(np.zeros((1, 33)), np.array([[1, 0]]), np.zeros((1, 2)))[0] - deformer.rest
    moved = np.abs(right).max(1) > 1e-6
    assert moved.any() and (deformer.rest[moved, 0] < 0).all()


def test_eyeballs_stay_behind_the_skin_and_round():
    for shape in shapes(30):
        deformer = Deformer(shape)
        for part, centre in zip(geometry.EYES, deformer.eye_centres):
            radii = np.linalg.norm(deformer.rest[part] - centre, axis=1)
            np.testing.assert_allclose(radii, geometry.EYE_RADIUS, atol=2e-3)
            skin = deformer.rest[geometry.FACE]
            axis = np.hypot(*(skin[:, :2] - centre[:2]).T)
            near = (axis < geometry.EYE_RADIUS) & (skin[:, 2] > centre[2])
            sphere = centre[2] + np.sqrt(geometry.EYE_RADIUS**2 - axis[near] ** 2)
            assert (skin[near, 2] >= sphere).all()


def test_gaze_looks_where_it_says():
    deformer = Deformer(ZERO)
    moved = deformer(np.zeros((2, 33)), np.zeros((2, 2)), np.array([[0.3, 0], [0, 0.3]]))
    front = geometry.EYES[0].start + int(np.argmax(deformer.rest[geometry.EYES[0], 2]))
    shift = moved[:, front] - deformer.rest[front]
    assert shift[0, 0] > 0.05 and abs(shift[0, 1]) < 1e-3  # yaw > 0: to picture right
    assert shift[1, 1] < -0.05 and abs(shift[1, 0]) < 1e-3  # pitch > 0: down
    np.testing.assert_array_equal(moved[:, :1205], np.stack([deformer.rest[:1205]] * 2))


def test_pose_turns_the_head_and_leaves_the_shoulders():
    data = head()
    weights = pose_weights(data.vertices, data.material)
    posed = pose_vertices(data.vertices[None], weights, [[30.0, 0, 0]], [[0.1, 0.0]])[0]
    np.testing.assert_allclose(posed[data.vertices[:, 1] < -1.46], data.vertices[data.vertices[:, 1] < -1.46])
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    x, z = data.vertices[1, 0], data.vertices[1, 2] + 1.05
    expected = [c * x + s * z + 0.1, data.vertices[1, 1], -s * x + c * z - 1.05]
    np.testing.assert_allclose(posed[1], expected, atol=1e-5)
    still = pose_vertices(data.vertices[None], weights, [[0.0, 0, 0]], [[0.0, 0.0]])[0]
    np.testing.assert_allclose(still, data.vertices, atol=1e-6)


def test_pose_weights_of_hair_and_clothes():
    data = head()
    extra = np.array([[0, 1.0, 0], [0, -0.3, 0], [0, -2.0, 0], [0, -1.6, 0], [0, -0.5, 0]])
    material = np.concatenate([data.material, [4, 4, 4, 5, 5]])
    weights = pose_weights(np.concatenate([data.vertices, extra]), material)
    np.testing.assert_allclose(weights[2953:], [1, 1, 0, 0, 0.6], atol=1e-6)
    assert (weights[:1913] == 1).all()


def test_no_nan_in_wide_ranges():
    rng = np.random.default_rng(5)
    weights = pose_weights(head().vertices, head().material)
    for shape in rng.uniform(-2, 2, (4, 60)):
        moved = Deformer(shape)(rng.random((3, 33)), rng.random((3, 2)), rng.uniform(-0.5, 0.5, (3, 2)))
        pose = rng.uniform([-80, -40, -40], [80, 40, 40], (3, 3))
        assert np.isfinite(pose_vertices(moved, weights, pose, rng.normal(size=(3, 2)))).all()


def test_misfits_are_refused():
    with pytest.raises(HeadError, match="shape"):
        Deformer(np.zeros(59))
    with pytest.raises(HeadError, match="expression"):
        Deformer(ZERO)(np.zeros((2, 32)), np.zeros((2, 2)), np.zeros((2, 2)))
    with pytest.raises(HeadError, match="give as many"):
        Deformer(ZERO)(np.zeros((2, 33)), np.zeros((1, 2)), np.zeros((2, 2)))
