import numpy as np
import pytest

from talkbench.data.synthetic import source
from talkbench.data.synthetic.motion import controls
from talkbench.data.synthetic.source import SPLITS, SyntheticError, SyntheticSource, synthetic_clip
from talkbench.geometry.head import Deformer, head


@pytest.fixture(scope="module")
def clip():
    return synthetic_clip(1000, 0, 50, 64, split="test")


def test_splits_share_no_person_but_train_and_val():
    people = {name: set(rule.identities) for name, rule in SPLITS.items()}
    assert people["val"] <= people["train"]
    assert not people["train"] & people["dev"]
    assert not (people["train"] | people["dev"]) & people["test"]
    assert not set(SPLITS["val"].clips) & set(SPLITS["train"].clips)


def test_clip_has_every_label(clip):
    assert (clip.clip_id, clip.identity, clip.split) == ("s1000_c000", "s1000", "test")
    assert clip.frames.shape == (50, 64, 64, 3) and clip.landmark_source == "synthetic"
    assert clip.pose.shape == (50, 6) and clip.shape.shape == (60,) and clip.expression.shape == (50, 33)
    shapes = {name: (value.shape, value.dtype.name) for name, value in clip.labels.items()}
    assert shapes == {
        "blink": ((50, 2), "float32"),
        "gaze": ((50, 2), "float32"),
        "visible": ((50, 68), "bool"),
        "phoneme": ((50,), "int8"),
        "stress": ((50,), "float32"),
        "f0": ((50,), "float32"),
    }
    assert 0.5 < clip.labels["visible"].mean() <= 1
    np.testing.assert_array_equal(clip.audio, controls(1000, 0, 50).audio)


def test_landmarks_are_what_shape_expression_and_pose_say(clip):
    """From the labels alone, by the formula of the camera, to a thousandth of a pixel."""
    moved = Deformer(clip.shape)(clip.expression, clip.labels["blink"], clip.labels["gaze"])
    marks = moved[:, head().landmarks68].astype(np.float64)
    yaw, pitch, roll = np.radians(clip.pose[:, :3].astype(np.float64).T)
    pivot = np.array([0, -0.75, -1.05])
    for t in range(0, 50, 7):
        cy, sy, cp, sp, cr, sr = (f(a[t]) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
        about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
        about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
        place = (marks[t] - pivot) @ (about_z @ about_y @ about_x).T + pivot
        px = 32 + 64 / 3 * place[:, 0] + clip.pose[t, 3]
        py = 32 - 64 / 3 * (place[:, 1] - 0.30) + clip.pose[t, 4]
        np.testing.assert_allclose(clip.landmarks[t, :, :2], np.stack([px, py], 1), atol=2e-3)


def test_clip_does_not_depend_on_what_was_drawn_before(clip):
    synthetic_clip(3, 1, 5, 64)
    source._identity.cache_clear()
    again = synthetic_clip(1000, 0, 50, 64)
    np.testing.assert_array_equal(clip.frames, again.frames)
    np.testing.assert_array_equal(clip.landmarks, again.landmarks)


def test_another_background_leaves_the_person(clip):
    other = synthetic_clip(1000, 0, 50, 64, background=77)
    changed = (other.frames != clip.frames).any(-1)
    assert changed[:, :8, :8].mean() > 0.5
    nose = clip.landmarks[:, 30, :2].astype(int)
    assert not changed[np.arange(50), nose[:, 1], nose[:, 0]].any()
    np.testing.assert_array_equal(other.landmarks, clip.landmarks)


def test_standing_still_is_a_poor_guess():
    """PSNR of the first frame against the others: about 20 dB, so there is something to win."""
    scores = []
    for identity in (1001, 1004, 1007):
        frames = synthetic_clip(identity, 0, 100, 64).frames.astype(np.float32)
        error = np.mean((frames[1:] - frames[0]) ** 2, axis=(1, 2, 3))
        scores.append(np.mean(10 * np.log10(255**2 / error)))
    assert 15 < np.mean(scores) < 25


def test_source_is_a_source():
    dev = SyntheticSource("dev", 32)
    assert len(dev.clip_ids) == 16 and dev.clip_ids[:3] == ["s0500_c000", "s0500_c001", "s0501_c000"]
    assert dev.name == "synthetic" and dev.manifest["version"] == source.SYNTHETIC_VERSION
    one = dev.clip("s0501_c001")
    assert one.split == "dev" and one.frames.shape == (75, 32, 32, 3)
    view = dev.view("s0501_c001")
    np.testing.assert_array_equal(view.frame(3), one.frames[3])
    assert [len(SyntheticSource(name, 64).clip_ids) for name in SPLITS] == [960, 48, 16, 48]
    assert SyntheticSource("dev", 32, [500]).manifest != dev.manifest


@pytest.mark.parametrize(
    "arguments, word",
    [(("tset", 64), "train"), (("test", 0), "16"), (("dev", 64, [3]), "500"), (("dev", 64, []), "500")],
)
def test_what_does_not_exist_is_told(arguments, word):
    with pytest.raises(SyntheticError, match=word):
        SyntheticSource(*arguments)


def test_unknown_clip_is_told():
    with pytest.raises(SyntheticError, match="s0500_c000"):
        SyntheticSource("dev", 32).clip("s1000_c000")
