"""Landmark shapes, audio windows, alignment and training features."""

import numpy as np
import pytest

from talkbench.data.clip import Clip
from talkbench.data.synthetic.source import synthetic_clip
from talkbench.data.view import view_of
from talkbench.methods.atvgnet import audio, basis, crop, shapes
from talkbench.methods.atvgnet.features import FeatureError, Footage, Speech, held_still
from talkbench.metrics.landmark import lip_gap_r


@pytest.fixture(scope="module")
def clip():
    return synthetic_clip(3, 0, 30, 32)


@pytest.fixture(scope="module")
def table():
    return basis.read("shipped")


def with_directions(table):
    """A basis with S, as the published arrays have it."""
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.normal(size=(136, 100)))[0].T
    return shapes.Shapes(
        table.U, table.mean, table.mean_shape_img, table.mean_shape_norm, table.base_68, directions
    )


def test_plain_shapes_know_no_place_size_or_turn(table, clip):
    points = crop.points_of(clip.landmarks)
    turned = 3 * points @ np.array([[0.8, -0.6], [0.6, 0.8]]) + (5, -7)
    made = shapes.normalise(points, table, "plain")
    np.testing.assert_allclose(made, shapes.normalise(turned, table, "plain"), atol=1e-5)
    assert made.dtype == np.float32 and 0.5 < np.abs(made).max() < 1.5


def test_clip_shapes_are_motion_on_the_mean_face(table, clip):
    points = crop.points_of(clip.landmarks)
    made = shapes.normalise(points, table, "clip", reference=4)
    np.testing.assert_allclose(made[4], 5 * table.mean_shape_norm, atol=1e-5)
    plain = shapes.normalise(points, table, "plain")
    np.testing.assert_allclose(made[9] - made[4], plain[9] - plain[4], atol=1e-5)


def test_published_shape_of_one_frame_is_a_constant(table, clip):
    points, wide = crop.points_of(clip.landmarks), with_directions(table)
    one, other = (shapes.normalise_published(points[i : i + 1], wide)[0] for i in (0, 20))
    np.testing.assert_allclose(one, other, atol=1e-12)
    mouth = -0.06 * wide.S[1] * (np.arange(136) >= 96)
    np.testing.assert_allclose(one[0], table.mean_shape_norm - wide.S.T @ (wide.S @ mouth), atol=1e-9)
    with pytest.raises(shapes.ShapeError, match="needs S"):
        shapes.normalise(points, table, "published")


def test_codes(table):
    network = table.mean + 0.3 * table.U[:, 0] - 0.2 * table.U[:, 4]
    codes = shapes.encode(network, table, 6)
    np.testing.assert_allclose(codes, [0.3, 0, 0, 0, -0.2, 0], atol=1e-6)
    np.testing.assert_allclose(shapes.decode(codes, table), network, atol=1e-6)
    boosted = shapes.encode(shapes.decode(codes, table, "demo"), table, 6)
    np.testing.assert_allclose(boosted, [0.3, 0, 0, 0, -0.2 * 2.8, 0], atol=1e-6)
    np.testing.assert_allclose(
        shapes.decode(codes[:3], table, "test"), table.mean + 0.3 * table.U[:, 0], atol=1e-6
    )
    with pytest.raises(shapes.ShapeError, match="none, demo, test"):
        shapes.decode(codes, table, "much")


def test_bad_landmarks_are_refused(table):
    with pytest.raises(shapes.ShapeError, match=r"\(T, 68, 2\)"):
        shapes.procrustes(np.zeros((68, 2)), table.mean_shape_img)
    with pytest.raises(shapes.ShapeError, match="coincide"):
        shapes.procrustes(np.ones((1, 68, 2)), table.mean_shape_img)
    with pytest.raises(shapes.ShapeError, match="no mean, base_68"):
        shapes.from_arrays({"U": table.U, "mean_shape_img": 0, "mean_shape_norm": 0}, "x.npz")


def test_basis_of_other_clips(tmp_path, clip):
    views = [view_of(synthetic_clip(i, 0, 3, 32)) for i in range(4)]
    bare = view_of(Clip("bare", "bare", clip.frames, clip.audio))
    table = basis.fit([*views, bare], "plain", seed=1)
    again = basis.fit(views, "plain", seed=1)
    np.testing.assert_array_equal(table.U, again.U)
    np.testing.assert_allclose(table.U.T @ table.U, np.eye(136), atol=1e-9)
    low, high = table.base_68.min(0), table.base_68.max(0)
    assert (low > 5).all() and (high < 131).all() and (high - low).max() > 100
    basis.save(tmp_path / "b.npz", table, {})
    np.testing.assert_allclose(basis.read(tmp_path / "b.npz").U, table.U, atol=1e-7)
    np.savez(tmp_path / "published.npz", **basis.to_arrays(with_directions(table)))
    assert basis.read(tmp_path / "published.npz").S.shape == (100, 136)
    with pytest.raises(shapes.ShapeError, match="talkbench basis"):
        basis.read(tmp_path / "none.npz")
    with pytest.raises(shapes.ShapeError, match="1 clips with landmarks"):
        basis.fit(views[:1])


def test_audio_windows():
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 25 * 640).astype(np.float32)
    demo, every = audio.demo_windows(sound), audio.clip_windows(sound, 25)
    assert demo.shape == (24, 28, 12) and every.shape == (25, 28, 12)
    np.testing.assert_array_equal(demo, every[:24])
    inside = audio.windows(audio.features(sound), [10])
    np.testing.assert_allclose(every[10], inside[0], atol=1e-4)
    np.testing.assert_allclose(
        audio.clip_windows(0.1 * sound, 25)[10], every[10], atol=1e-3
    )  # loudness is not heard
    assert np.abs(every[0][:8]).max() < 1e-9  # silence before the sound: only coefficient 0 would tell
    with pytest.raises(ValueError, match="reach outside"):
        audio.windows(audio.features(sound), [2])


def test_crop_and_way_back(table, clip):
    points = crop.points_of(clip.landmarks)[0]
    inverse = crop.crop_matrix(points, table.base_68, 48)
    seen = crop.warp_exact(clip.frames[0], inverse, (48, 48))
    quick = crop.warp(clip.frames[0], inverse, (48, 48))
    assert np.abs(seen - quick).mean() < 1.5
    # The template's nose tip lies where the crop shows the picture's nose tip.
    x, y = (table.base_68[30] - 1 + 0.5) * 48 / 128 - 0.5
    np.testing.assert_allclose((inverse @ (x, y, 1))[:2], points[30], atol=1.5)
    # Sizes share their outer edges.
    big = crop.crop_matrix(points, table.base_68, 96)
    np.testing.assert_allclose(inverse @ (-0.5, -0.5, 1), big @ (-0.5, -0.5, 1), atol=1e-9)
    colour, nothing = np.zeros((1, 48, 48, 3)), np.zeros((1, 48, 48, 1))
    np.testing.assert_array_equal(crop.paste(clip.frames[0], colour, nothing, inverse)[0], clip.frames[0])
    grey = crop.paste(clip.frames[0], colour, nothing + 1, inverse)[0]
    centre = np.rint(points[30]).astype(int)
    assert np.abs(grey[centre[1], centre[0]].astype(int) - 127.5).max() <= 1
    np.testing.assert_array_equal(grey[0, 0], clip.frames[0][0, 0])


def test_labels_move_with_the_crop(table, clip):
    inverse = crop.crop_matrix(crop.points_of(clip.landmarks)[0], table.base_68, 48)
    moved = crop.labels_in(clip.landmarks, inverse)
    back = np.concatenate([moved[..., :2] - 0.5, np.ones_like(moved[..., :1])], -1) @ inverse.T
    np.testing.assert_allclose(back[..., :2] + 0.5, clip.landmarks[..., :2], atol=1e-3)
    # Depths grow as distances do.
    apart = lambda x: np.linalg.norm(x[:, 8] - x[:, 27], axis=-1)  # noqa: E731
    np.testing.assert_allclose(
        apart(moved) / apart(clip.landmarks), (apart(moved) / apart(clip.landmarks))[0]
    )
    assert moved.dtype == np.float32 and (apart(moved) > apart(clip.landmarks)).all()


def test_heads_held_still_keep_their_lips(clip):
    still = held_still(clip.landmarks)
    np.testing.assert_allclose(still[0], clip.landmarks[0], atol=1e-6)
    assert (
        np.abs(still[:, 27] - still[0, 27]).max()
        < 0.25 * np.abs(clip.landmarks[:, 27] - clip.landmarks[0, 27]).max()
    )
    assert lip_gap_r(clip.landmarks, still) > 0.98


def test_training_samples(table, clip):
    view = view_of(clip)
    speech = Speech(table, 6, frames=4)(view, np.random.default_rng(0))
    assert {name: x.shape for name, x in speech.items()} == {
        "example": (6,),
        "audio": (4, 28, 12),
        "codes": (4, 6),
    }
    plain = shapes.encode(shapes.normalise(crop.points_of(clip.landmarks), table, "plain"), table, 6)
    (r,) = [i for i in range(30) if np.allclose(plain[i], speech["example"], atol=1e-5)]
    np.testing.assert_allclose(speech["codes"], plain[r + 1 : r + 5], atol=1e-5)
    heard = audio.windows(audio.features(clip.audio), np.arange(r + 1, r + 5))
    np.testing.assert_allclose(speech["audio"], heard, atol=1e-3)
    footage = Footage(table, 32, frames=4, projected=32)(view, np.random.default_rng(0))
    shape = {"image": (32, 32, 3), "example": (136,), "frames": (4, 32, 32, 3), "landmarks": (4, 136)}
    assert {name: x.shape for name, x in footage.items()} == shape
    # Aligned: the same nose in every frame, so less moves than in the picture.
    motion = lambda frames: np.abs(np.diff(frames[:, 8:24, 8:24].astype(float), axis=0)).mean()  # noqa: E731
    assert motion(footage["frames"]) < 20
    bare = view_of(Clip("bare", "bare", clip.frames, clip.audio))
    with pytest.raises(FeatureError, match="bare: no landmarks"):
        Footage(table, 32)(bare, np.random.default_rng(0))
    with pytest.raises(FeatureError, match="30 frames, 37 are needed"):
        Speech(table, 6, frames=28)(view, np.random.default_rng(0))
