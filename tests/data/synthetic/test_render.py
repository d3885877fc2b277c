import dataclasses
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from talkbench.data.synthetic import render as module
from talkbench.data.synthetic.render import Camera, Look, RenderError, draw, labels, posed, rasterize, render
from talkbench.geometry.head import EXPRESSION_NAMES, Deformer, head

GREY = 128


def moving(look, *, shape=None, expression=None, blink=0.0, pose=(0, 0, 0, 0, 0), frames=1):
    weights = np.zeros((frames, 33), np.float32)
    for name, value in (expression or {}).items():
        weights[:, EXPRESSION_NAMES.index(name)] = value
    deformer = Deformer(np.zeros(60) if shape is None else shape)
    eyes = np.zeros((frames, 2))
    return posed(deformer, look, weights, eyes + blink, eyes, np.broadcast_to(pose, (frames, 5)))


def shapes(count, seed=0):
    return np.clip(np.random.default_rng(seed).normal(0, 0.75, (count, 60)), -1.5, 1.5)


def numpy_raster(px, py, z, triangles, cull, height, width):
    """What `rasterize` computes, without a loop: boxes expanded to samples, tested, sorted by depth."""
    corners = np.stack([px, py, z], -1).astype(np.float64)[triangles]
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = corners.transpose(1, 2, 0)
    area = (cx - ax) * (by - ay) - (bx - ax) * (cy - ay)
    x0 = np.clip(np.ceil(corners[:, :, 0].min(1) - 0.5), 0, width).astype(int)
    x1 = np.clip(np.floor(corners[:, :, 0].max(1) + 0.5), 0, width).astype(int)
    y0 = np.clip(np.ceil(corners[:, :, 1].min(1) - 0.5), 0, height).astype(int)
    y1 = np.clip(np.floor(corners[:, :, 1].max(1) + 0.5), 0, height).astype(int)
    columns, rows = np.maximum(x1 - x0, 0), np.maximum(y1 - y0, 0)
    drawn = np.where(cull, area > 1e-12, np.abs(area) > 1e-12)
    count = columns * rows * drawn
    f = np.repeat(np.arange(len(triangles)), count)
    place = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    x, y = x0[f] + place % columns[f], y0[f] + place // columns[f]
    dx, dy, inverse = x + 0.5 - cx[f], y + 0.5 - cy[f], 1 / area[f]
    u = (bx - cx)[f] * inverse * dy + (cy - by)[f] * inverse * dx
    v = (cx - ax)[f] * inverse * dy + (ay - cy)[f] * inverse * dx
    w = 1 - u - v
    hit = (u >= 0) & (v >= 0) & (w >= 0)
    f, x, y, u, v, w = (values[hit] for values in (f, x, y, u, v, w))
    depth = (u * az[f] + v * bz[f] + w * cz[f]).astype(np.float32)
    order = np.lexsort((-f, depth))  # the nearest is written last; of equal ones the first triangle
    zbuffer = np.full((height, width), -np.inf, np.float32)
    index = np.full((height, width), -1, np.int32)
    w0, w1 = np.zeros((2, height, width), np.float32)
    for buffer, values in ((zbuffer, depth), (index, f), (w0, u), (w1, v)):
        buffer[y[order], x[order]] = values[order]
    return zbuffer, index, w0, w1


def assert_same_raster(px, py, z, triangles, cull, height, width):
    arguments = (
        px.astype("f4"),
        py.astype("f4"),
        z.astype("f4"),
        triangles.astype("i4"),
        cull,
        height,
        width,
    )
    found, wanted = rasterize(*arguments), numpy_raster(*arguments)
    np.testing.assert_array_equal(found[1], wanted[1])
    for a, b in zip(found, wanted):
        np.testing.assert_allclose(a, b, atol=1e-6)
    return found


def test_raster_is_numpy_raster_on_random_triangles():
    rng = np.random.default_rng(0)
    px, py, z = rng.uniform(-10, 60, 300), rng.uniform(-10, 50, 300), rng.normal(size=300)
    triangles = rng.integers(0, 300, (200, 3))  # large and small, some degenerate, some outside
    index = assert_same_raster(px, py, z, triangles, rng.random(200) < 0.5, 40, 50)[1]
    assert len(np.unique(index)) > 20


@pytest.mark.parametrize("yaw", [0, 50])
def test_raster_is_numpy_raster_on_heads(plain_look, yaw):
    camera = Camera(128)
    for shape in shapes(2):
        vertices = moving(plain_look, shape=shape, expression={"jawOpen": 0.5}, pose=(yaw, 5, 3, 0, 0))[0]
        px, py, z = camera.project(vertices).T
        for two_sided in (False, True):
            cull = np.full(len(plain_look.triangles), not two_sided)
            assert_same_raster(px, py, z, plain_look.triangles, cull, 128, 128)


def test_raster_by_hand():
    px, py, z = np.array([0.0, 4, 0]), np.array([0.0, 0, 4]), np.array([1.0, 2, 3])
    seen_from_behind = np.array([[0, 1, 2]])  # clockwise once rows go down
    index = assert_same_raster(px, py, z, seen_from_behind, np.array([True]), 5, 5)[1]
    assert (index == -1).all()
    zbuffer, index, w0, w1 = assert_same_raster(px, py, z, seen_from_behind, np.array([False]), 5, 5)
    assert (index >= 0).sum() == 10 and index[0, 3] == 0 and index[1, 3] == -1
    assert zbuffer[1, 0] == pytest.approx(1 + 0.5 / 4 + 2 * 1.5 / 4)
    assert (w0[1, 0], w1[1, 0]) == pytest.approx((0.5, 0.125))


def test_nan_draws_nothing():
    px = np.array([0.0, np.nan, 4.0], np.float32)
    index = rasterize(px, px[::-1].copy(), px, np.array([[0, 1, 2]], np.int32), np.array([False]), 5, 5)[1]
    assert (index == -1).all()


def test_camera():
    camera = Camera(64)
    np.testing.assert_allclose(camera.project([0, 0.30, 0.5]), [32, 32, 0.5 * 64 / 3], rtol=1e-6)
    np.testing.assert_allclose(camera.project([1.5, 1.80, 0]), [64, 0, 0], atol=1e-4)
    assert Camera(64, framing=3.6).scale == pytest.approx(64 / 3.6)


def test_a_head_is_drawn(plain_look):
    frames = render(plain_look, moving(plain_look, frames=2), Camera(64))
    assert frames.shape == (2, 64, 64, 3) and frames.dtype == np.uint8
    np.testing.assert_array_equal(frames[0], frames[1])
    assert (frames[0, :2, :2] == GREY).all()
    cheek = frames[0, 40, 24].astype(int)
    assert cheek[0] > cheek[1] > cheek[2] > 60  # lit skin
    covered = (frames[0] != GREY).any(-1).mean()
    assert 0.35 < covered < 0.6


def test_no_holes_in_the_silhouette(plain_look):
    """Every row of a frontal bald head is one run of covered pixels, from the crown to below the chin."""
    for shape in shapes(6):
        drawing = draw(plain_look, moving(plain_look, shape=shape), Camera(128), colour=False, material=True)
        for row in drawing.material[0]:
            covered = np.flatnonzero(row >= 0)
            gaps = np.diff(covered) > 1
            assert gaps.sum() <= 2  # the ears may stand off
        face = drawing.material[0, 48:100, 48:80]
        assert (face >= 0).all()


@pytest.mark.parametrize("yaw", [-30, 0, 30])
def test_an_open_mouth_shows_its_inside(plain_look, yaw):
    """Between the inner lips there are teeth, tongue and bag, never skin or background."""
    camera, ring = Camera(256, framing=1.5), head().rings_lips[3]
    for shape in [np.zeros(60), *shapes(4)]:
        vertices = moving(plain_look, shape=shape, expression={"jawOpen": 0.8}, pose=(yaw, 0, 0, 0, 0.5))
        mask = draw(plain_look, vertices, camera, colour=False, material=True).material[0]
        middle = camera.project(vertices[0, ring].mean(0))[:2]
        for t in (0.2, 0.4, 0.6, 0.8):
            upper, lower = camera.project(vertices[0, ring[[5, 15]]])[:, :2]
            x, y = ((1 - t) * upper + t * lower).astype(int)
            assert mask[y, x] in (module.MOUTH, module.TEETH)
        assert mask[int(middle[1]), int(middle[0])] in (module.MOUTH, module.TEETH)


def test_landmarks_are_where_dots_are_drawn(plain_look):
    """A tiny bright triangle on each of some landmarks, drawn alone, has its centre at the label."""
    camera, data = Camera(128), head()
    vertices = moving(plain_look, expression={"jawOpen": 0.4}, pose=(20, 5, -4, 0.02, 0.01))
    marks, _ = labels(plain_look, vertices, camera)
    for j in (8, 19, 30, 36, 45, 48, 54, 62, 66):
        centre = vertices[0, data.landmarks68[j]]
        corners = centre + 0.03 * np.array([[0, 1, 0], [-0.866, -0.5, 0], [0.866, -0.5, 0]], np.float32)
        extra = np.concatenate([vertices[0], corners])[None]
        dot = dataclasses.replace(
            plain_look,
            triangles=np.array([[2953, 2954, 2955]], np.int32),
            two_sided=np.zeros(1, bool),
            **{
                name: np.concatenate(
                    [getattr(plain_look, name), np.repeat(getattr(plain_look, name)[:1], 3, 0)]
                )
                for name in ("uv", "material", "ao", "shadow")
            },
        )
        picture = np.abs(render(dot, extra, camera)[0].astype(float) - GREY).sum(-1)
        y, x = np.mgrid[:128, :128] + 0.5
        found = np.array([(picture * x).sum(), (picture * y).sum()]) / picture.sum()
        assert np.abs(found - marks[0, j, :2]).max() < 0.5


def test_dots_of_texture_are_seen_at_visible_landmarks(plain_look):
    """Skin painted white where the texture belongs to a landmark shows white at the label."""
    data = head()
    for j in (30, 8, 19, 24, 33):
        u, v = data.uv[data.landmarks68[j]]
        rows, columns = (np.mgrid[:512, :512] + 0.5) / 512
        near = np.hypot(columns - u, rows - v) < 0.006
        atlas = np.where(near[..., None], np.uint8(255), np.uint8(0)).astype(np.uint8)
        atlas = np.repeat(atlas, 3, axis=2)
        look = dataclasses.replace(plain_look, atlas=atlas, background=np.zeros((256, 256, 3), np.uint8))
        vertices = moving(look, pose=(10, 0, 0, 0, 0))
        marks, visible = labels(look, vertices, Camera(256))
        dark = render(dataclasses.replace(look, atlas=np.zeros_like(atlas)), vertices, Camera(256))
        picture = render(look, vertices, Camera(256))[0].astype(float).sum(-1) - dark[0].astype(float).sum(-1)
        y, x = np.mgrid[:256, :256] + 0.5
        found = np.array([(picture * x).sum(), (picture * y).sum()]) / picture.sum()
        assert visible[0, j]
        assert np.abs(found - marks[0, j, :2]).max() < 0.5, j


def test_double_size_reduced_is_the_frame(plain_look):
    look = dataclasses.replace(plain_look, atlas=plain_look.atlas_small)  # same texture at both sizes
    vertices = moving(look, shape=shapes(1)[0], expression={"jawOpen": 0.5}, pose=(15, 5, 0, 0, 0))
    small = render(look, vertices, Camera(96))[0].astype(float)
    large = render(look, vertices, Camera(192))[0].astype(float).reshape(96, 2, 96, 2, 3).mean((1, 3))
    difference = np.abs(small - large)
    assert difference.mean() < 1 and (difference.max(-1) < 8).mean() > 0.95


def test_visible_landmarks_fall_with_yaw(plain_look):
    counts = []
    for yaw in (0, 30, 60, 80):
        _, visible = labels(plain_look, moving(plain_look, pose=(yaw, 0, 0, 0, 0)), Camera(128))
        counts.append(int(visible.sum()))
    np.testing.assert_allclose(counts, (66, 60, 50, 45), atol=4)
    assert counts == sorted(counts, reverse=True)
    _, visible = labels(plain_look, moving(plain_look, pose=(80, 0, 0, 0, 0)), Camera(128))
    assert visible[0, 36] and not visible[0, 45]  # nose to the right shows the subject's right side


def test_landmarks_outside_the_picture_are_not_visible(plain_look):
    marks, visible = labels(plain_look, moving(plain_look, pose=(0, 0, 0, 4, 0)), Camera(64))
    assert (marks[0, :, 0] > 64).all() and not visible.any()


def test_materials_show_eyes_and_teeth(plain_look):
    smile = {"mouthUpperUpLeft": 0.8, "mouthUpperUpRight": 0.8, "jawOpen": 0.2}
    mask = draw(plain_look, moving(plain_look, expression=smile), Camera(256), material=True).material[0]
    assert mask.dtype == np.int8 and set(np.unique(mask)) == {-1, 0, 1, 2, 3}
    rows, columns = np.nonzero(mask == module.EYE)
    assert (columns < 128).any() and (columns > 128).any() and abs(rows.mean() - (128 - 0.072 * 256 / 3)) < 4
    assert (mask == module.TEETH).sum() > 60
    shut = draw(plain_look, moving(plain_look), Camera(256), material=True).material[0]
    assert (shut == module.TEETH).sum() == 0


def inside_lids(vertices, camera, grow):
    import cv2

    mask = np.zeros((camera.size, camera.size), np.uint8)
    for ring in head().rings_eyes:
        polygon = camera.project(vertices[ring])[:, :2]
        polygon = polygon.mean(0) + (1 + grow) * (polygon - polygon.mean(0))
        cv2.fillPoly(mask, [np.round(polygon * 16 - 8).astype(np.int32)], 1, shift=4)
    return cv2.dilate(mask, np.ones((3, 3), np.uint8)).astype(
        bool
    )  # a pixel counts if one of its samples does


def test_no_eyeball_through_lids(plain_look):
    camera, open_counts, shut_counts = Camera(256), [], []
    for shape in shapes(12, seed=7):
        for blink in (0.0, 1.0):
            vertices = moving(plain_look, shape=shape, blink=blink)
            eyes = draw(plain_look, vertices, camera, colour=False, material=True).material[0] == module.EYE
            if blink == 0:
                assert not (eyes & ~inside_lids(vertices[0], camera, 0.02)).any()
            (shut_counts if blink else open_counts).append(eyes.sum())
    assert min(open_counts) > 60
    assert np.max(np.array(shut_counts) / np.array(open_counts)) < 0.06


def test_light_falls_from_where_it_stands(plain_look):
    direction = np.array([0.8, 0.3, 0.52])
    frames = []
    for side in (1, -1):
        light = dataclasses.replace(
            plain_look.light, key_direction=direction * [side, 1, 1], fill=np.zeros(3)
        )
        look = dataclasses.replace(plain_look, light=light)
        frames.append(render(look, moving(look), Camera(64))[0].astype(int))
    left, right = (frame[30:50, 16:48].sum(-1) for frame in frames)
    assert left[:, 16:].mean() > left[:, :16].mean() + 20
    # the head is symmetric, and so is its drawing (but for the pixel of an eye's highlight)
    assert (np.abs(left - right[:, ::-1]) <= 8).mean() > 0.99


def test_inside_of_two_sided_triangles_is_darker(plain_look):
    square = np.array([[-0.5, 0, 1], [0.5, 0, 1], [0.5, 1, 1], [-0.5, 1, 1]], np.float32)
    vertices = np.concatenate([head().vertices, square])[None]
    facing = np.array([[2953, 2954, 2955], [2953, 2955, 2956]], np.int32)
    pictures = []
    for triangles in (facing, facing[:, ::-1].copy()):
        look = dataclasses.replace(
            plain_look,
            triangles=triangles,
            two_sided=np.ones(2, bool),
            uv=np.concatenate([plain_look.uv, np.full((4, 2), 0.3, np.float32)]),
            material=np.append(plain_look.material, np.full(4, module.HAIR, np.uint8)),
            ao=np.append(plain_look.ao, np.ones(4, np.float32)),
            shadow=np.append(plain_look.shadow, np.ones(4, np.float32)),
        )
        pictures.append(render(look, vertices, Camera(64))[0, 25, 32].astype(float))
    front, back = ((np.array(p) / 255) ** 2.2 for p in pictures)
    np.testing.assert_allclose(back / front, 0.35, atol=0.06)


def test_background_stands_behind(plain_look):
    picture = np.random.default_rng(0).integers(0, 256, (256, 256, 3)).astype(np.uint8)
    look = dataclasses.replace(plain_look, background=picture)
    frame = render(look, moving(look), Camera(256))[0]
    np.testing.assert_array_equal(frame[:, :20], picture[:, :20])
    small = render(look, moving(look), Camera(64))[0]
    box = picture.reshape(64, 4, 64, 4, 3).mean((1, 3))
    np.testing.assert_allclose(small[:, :5], box[:, :5], atol=1)


def test_wide_ranges_draw(plain_look):
    rng = np.random.default_rng(3)
    for shape in rng.uniform(-2, 2, (3, 60)):
        pose = np.concatenate([rng.uniform(-80, 80, (4, 3)), rng.normal(0, 0.2, (4, 2))], axis=1)
        vertices = posed(
            Deformer(shape),
            plain_look,
            rng.random((4, 33)),
            rng.random((4, 2)),
            rng.normal(0, 0.3, (4, 2)),
            pose,
        )
        drawing = draw(plain_look, vertices, Camera(64))
        assert np.isfinite(drawing.landmarks).all()
        assert (np.abs(drawing.frames.astype(int) - GREY).max((1, 2, 3)) > 40).all()


def test_threads_and_repeats_give_the_same_bits(plain_look):
    vertices = [moving(plain_look, pose=(yaw, 0, 0, 0, 0), frames=3) for yaw in (0, 20, -20, 40)]
    one = [render(plain_look, v, Camera(64)) for v in vertices]
    with ThreadPoolExecutor(4) as pool:
        many = list(pool.map(lambda v: render(plain_look, v, Camera(64)), vertices))
    for a, b in zip(one, many):
        np.testing.assert_array_equal(a, b)


def test_misfits_are_refused(plain_look):
    vertices = moving(plain_look)
    with pytest.raises(RenderError, match="look.uv"):
        render(dataclasses.replace(plain_look, uv=plain_look.uv[:-1]), vertices, Camera(64))
    with pytest.raises(RenderError, match="vertices"):
        render(plain_look, vertices[:, :100], Camera(64))
    with pytest.raises(RenderError, match="positive"):
        render(plain_look, vertices, Camera(0))


def test_compiled_code_is_cached_where_the_user_says(tmp_path):
    code = (
        "from talkbench.geometry.head import *;"
        "pose_vertices(head().vertices[None], np.ones(2953), [[0,0,0]], [[0,0]])"
    )
    for variable, inside in (("NUMBA_CACHE_DIR", ""), ("XDG_CACHE_HOME", "talkbench/numba")):
        folder = tmp_path / variable
        environment = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
        environment[variable] = str(folder)
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)
        assert list((folder / inside).rglob("head._pose*.nbi"))


def test_look_has_the_fields_identities_fill():
    names = {field.name for field in dataclasses.fields(Look)}
    assert names >= {
        "triangles",
        "uv",
        "material",
        "two_sided",
        "ao",
        "shadow",
        "atlas",
        "atlas_small",
        "background",
    }
