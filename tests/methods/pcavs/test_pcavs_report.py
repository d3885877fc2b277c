"""The figures of the report on arrays whose figures are known."""

import numpy as np
import pytest

from talkbench.data.synthetic.source import synthetic_clip
from talkbench.methods.pcavs import report


@pytest.fixture(scope="module")
def clip():
    return synthetic_clip(3, 0, 30, 32)


def test_yaw_is_the_heads(clip):
    found = report.yaw(clip.landmarks[..., :2])
    assert abs(np.corrcoef(found, clip.pose[:, 0])[0, 1]) > 0.95


def test_a_perfect_copy_follows_the_pose_and_does_not_hear(clip):
    points = clip.landmarks[..., :2]
    figures = report.disentanglement(
        lambda source, driving: driving.frames, lambda frames: points, clip, clip.audio
    )
    assert figures["yaw_r"] == pytest.approx(1) and figures["mouth_r"] == pytest.approx(1)
    assert figures["pose_moved"] == figures["mouth_moved"] == 0


def test_other_speech_that_turns_the_head_is_told(clip):
    still, count = clip.landmarks[:1, :, :2].repeat(30, 0), iter((clip.landmarks[..., :2], None))
    figures = report.disentanglement(
        lambda source, driving: driving.frames,
        lambda frames: still if (points := next(count)) is None else points,
        clip,
        clip.audio,
    )
    assert figures["pose_moved"] > 0.05 and figures["mouth_moved"] > 0.05
    assert figures["wrong_mouth_r"] == 0


@pytest.mark.parametrize("within", [True, False])
def test_retrieval(within):
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=(40, 8)) for _ in range(20)]
    assert report.retrieval([(x, x + 1e-3) for x in rows], within, rng, length=3) == 1
    strange = [(x, rng.normal(size=x.shape)) for x in rows]
    assert report.retrieval(strange, within, rng, length=3) < 0.2
    with pytest.raises(ValueError, match="fewer than 16"):
        report.retrieval([(x[:10], x[:10]) for x in rows[:3]], within, rng, length=3)
