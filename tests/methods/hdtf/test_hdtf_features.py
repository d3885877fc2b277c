import cv2
import numpy as np
import pytest

from talkbench.data.clip import Clip
from talkbench.data.synthetic.source import synthetic_clip
from talkbench.data.view import view_of
from talkbench.geometry.face_model import free_model
from talkbench.geometry.head import EXPRESSION_NAMES
from talkbench.methods.hdtf import device_flow, mesh
from talkbench.methods.hdtf.features import FeatureError, Pair, Speech, motion_of
from talkbench.methods.hdtf.host_flow import approximate_flow

SIZE = 64


@pytest.fixture(scope="module")
def clip():
    return synthetic_clip(3, 0, 24, SIZE)


def test_the_mesh_lies_on_the_labelled_landmarks(clip):
    motion = motion_of(view_of(clip), np.arange(24), SIZE)
    drawn = mesh.points(motion, SIZE)
    assert drawn.shape == (24, 468, 2)
    marks = free_model().landmarks
    steady = [*range(36), *range(48, 68)]
    np.testing.assert_allclose(drawn[:, marks][:, steady] + 0.5, clip.landmarks[:, steady, :2], atol=1e-3)
    assert motion.scale == pytest.approx(1 / 3, rel=1e-5)  # the benchmark's framing
    moves = SIZE * np.diff(motion.head[:, 3:], axis=0)
    np.testing.assert_allclose(moves, np.diff(clip.pose[:, 3:5], axis=0), atol=1e-4)
    some = motion.at([3, 5])
    np.testing.assert_array_equal(mesh.points(some, SIZE), drawn[[3, 5]])


def test_parts_of_the_expression():
    assert len(mesh.MOUTH) == 28 and len(mesh.EYEBROWS) == 5
    assert sorted(mesh.MOUTH + mesh.EYEBROWS) == list(range(33))
    assert EXPRESSION_NAMES[mesh.MOUTH[0]] == "jawOpen"


def _warped(picture, flow):
    place = (flow + 1) / 2 * (SIZE - 1)
    return cv2.remap(picture, place[..., 0], place[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def test_the_flow_brings_the_source_face_to_the_driving_one(clip):
    """Mirrored pairs too: over many pairs warping halves the squared error around the nose and mouth."""
    still, moved, mirrored = [], [], set()
    for seed in range(12):
        pair = Pair(mouth=True)(view_of(clip), np.random.default_rng(seed))
        assert pair["flow"].shape == (SIZE, SIZE, 2) and pair["flow"].dtype == np.float32
        x, y = ((pair["mouth"][:2] + 1) / 2 * SIZE).astype(int)
        near = slice(y - 12, y + 4), slice(x - 8, x + 9)
        target = pair["driving"][near].astype(float)
        still.append(np.square(pair["source"][near] - target).mean())
        moved.append(np.square(_warped(pair["source"], pair["flow"])[near] - target).mean())
        mirrored.add(any((pair["source"] == frame[:, ::-1]).all() for frame in clip.frames))
    assert mirrored == {True, False}
    assert np.mean(moved) < 0.5 * np.mean(still)


def test_vertices_that_look_away_move_no_pixels(clip):
    """None from the front; on a turned head the far side, and host and device agree on the flow without it."""
    motion = motion_of(view_of(clip), np.arange(2), SIZE)
    angles = np.array([[0.0, 0, 0], [50, 0, 0]])  # the nose to picture right
    turned = mesh.Motion(
        0 * motion.shape, 0 * motion.expression, np.concatenate([angles, motion.head[:, 3:]], 1), 1 / 3
    )
    points = mesh.points(turned, SIZE)
    hidden = mesh.hidden(points)
    assert hidden[0].mean() < 0.1 < hidden[1].mean() < 0.5
    model = free_model().mean
    assert model[hidden[1], 0].mean() > 0.2  # the subject's left, which has gone behind
    kept = approximate_flow(points[0], points[1], SIZE)[0]
    host = approximate_flow(points[0], points[1], SIZE, hidden[1])[0]
    device, _ = device_flow.approximate_flow(
        *(x.astype(np.float32) for x in (points[:1], points[1:])), SIZE, hidden=hidden[1:]
    )
    assert (np.abs(host - kept).max(-1) > 1e-3).any()
    assert (np.abs(np.asarray(device[0]) - host).max(-1) > 1e-4).mean() < 0.01  # pixels between two vertices
    with pytest.raises(ValueError, match="looks away"):
        approximate_flow(points[0], points[1], SIZE, np.ones(468, bool))


def test_jitter_moves_both_meshes_alike(clip):
    flat = Pair(flip=False)(view_of(clip), np.random.default_rng(1))
    loose = Pair(flip=False, jitter=0.01)(view_of(clip), np.random.default_rng(1))
    assert np.abs(flat["flow"] - loose["flow"]).max() > 0
    assert np.abs(flat["flow"] - loose["flow"]).mean() < 0.02


def test_speech_samples(clip):
    example = Speech(64, (10.0, 6.0, 4.0, 0.02, 0.02))(view_of(clip), np.random.default_rng(0))
    assert {name: value.shape for name, value in example.items()} == {
        "audio": (64, 15),
        "mouth": (64, 28),
        "eyebrow": (64, 5),
        "head": (64, 5),
        "image": (SIZE, SIZE, 3),
        "landmarks": (68, 2),
    }
    # The cut is somewhere in the clip: its jaw curve is a piece of the labels'.
    start = [
        i for i in range(9) if np.allclose(example["mouth"][2:-4:4, 0], _between(clip, i)[:15], atol=1e-5)
    ]
    assert len(start) == 1
    yaw = 10 * example["head"][2:-4:4, 0]
    np.testing.assert_allclose(yaw, _between(clip, start[0], clip.pose[:, 0]), atol=1e-3)


def _between(clip, first, values=None):
    """The labels at the third feature of each frame, 32.5 of its 40 ms in, from frame `first` on."""
    values = clip.expression[:, 0] if values is None else values
    share = (0.0325 - 0.02) / 0.04
    return ((1 - share) * values[:-1] + share * values[1:])[first : first + 15]


def test_what_is_missing_is_named(clip):
    bare = Clip("bare", "bare", clip.frames, clip.audio, clip.landmarks)
    with pytest.raises(FeatureError, match="bare: no shape, expression, pose; HDTF learns from.*hdtf.fit"):
        Pair()(view_of(bare), np.random.default_rng(0))
    with pytest.raises(FeatureError, match="24 frames, 250 are needed.*config.model.frames"):
        Speech(1000, (1.0,) * 5)(view_of(clip), np.random.default_rng(0))
