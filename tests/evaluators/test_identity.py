from dataclasses import replace

import cv2
import numpy as np
import pytest
from learning import losses

from talkbench import config as configs
from talkbench.data.synthetic.source import synthetic_clip
from talkbench.data.view import view_of
from talkbench.evaluators import builtin, identity
from talkbench.metrics import frechet
from talkbench.weights.checkpoint import CheckpointError


@pytest.fixture(scope="module")
def judge():
    return builtin.identity_judge()


@pytest.fixture(scope="module")
def whole():
    return builtin.feature_judge()


@pytest.fixture(scope="module")
def clips():
    """Two each of four speakers that nothing was trained on."""
    return [synthetic_clip(i, clip, 25, 64) for i in (500, 502, 505, 507) for clip in (0, 1)]


def test_shipped_judge_tells_unseen_speakers_apart(judge, whole, clips):
    figures = identity.held_out(judge, whole, clips, frames=5)
    assert figures["auc"] >= 0.9
    assert figures["same"] > figures["other"] + 0.2
    assert figures["clips"] == 8


def test_embeddings(judge, clips):
    frames = clips[0].frames[:7]
    found = judge.embed(frames)
    assert found.shape == (7, 64)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(judge.embed(frames, batch=3), found, atol=1e-4)


def test_features_see_what_happens_to_pictures(whole, clips):
    frames = np.concatenate([clip.frames for clip in clips])
    real = whole.features(frames)
    assert real.shape == (200, 64) and real.min() >= 0
    np.testing.assert_allclose(whole.features(frames[:7], batch=3), real[:7], atol=1e-4)
    blurred = [np.stack([cv2.GaussianBlur(f, (0, 0), sigma) for f in frames]) for sigma in (0.5, 1.0)]
    slight, strong = (frechet.fid(real, whole.features(f)) for f in blurred)
    assert frechet.fid(real, real) < 1e-3 * slight and slight < 0.8 * strong
    large = np.repeat(np.repeat(frames[:3], 2, 1), 2, 2)
    np.testing.assert_allclose(whole.features(large), real[:3], atol=1e-4)


def test_perceptual_distance_grows_with_what_happens_to_pictures(clips):
    judge, frames = builtin.perceptual_judge(), clips[0].frames[:7]
    np.testing.assert_array_equal(judge.distance(frames, frames), 0)
    blurred = [np.stack([cv2.GaussianBlur(f, (0, 0), sigma) for f in frames]) for sigma in (0.5, 1.0, 2.0)]
    slight, middle, strong = (judge.distance(frames, f) for f in blurred)
    assert (0 < slight).all() and (slight < middle).all() and (middle < strong).all() and strong.max() < 4
    np.testing.assert_allclose(judge.distance(blurred[1], frames, batch=3), middle, rtol=1e-4)
    assert judge.name == "synth-lpips" and judge.hash == builtin.feature_judge().hash


def test_area_under_the_curve():
    assert identity.auc(np.array([3.0, 4.0]), np.array([1.0, 2.0])) == 1
    assert identity.auc(np.array([1.0, 2.0]), np.array([1.0, 2.0])) == 0.5
    assert identity.auc(np.array([2.0]), np.array([1.0, 2.0, 3.0, 4.0])) == 0.375


def test_stage_learns():
    small = {"model.widths": "4,8,8", "model.outputs": "8", "model.speakers": "8"}
    stage = builtin.stage("identity", configs.load("identity", "tiny", small))
    views = [view_of(synthetic_clip(i, 0, 5, 64)) for i in (1, 3, 5, 7)] * 2
    values = losses(stage, views, 25)
    assert values[-1] < 0.5 * values[0]


def test_the_file_keeps_what_is_needed():
    side = {"params": {"net": {"a": 1}, "speakers": {"vectors": 2}}, "stats": {"net": {"b": 3}}}
    assert builtin.exported("identity", side) == {"params": {"net": {"a": 1}}, "stats": {"net": {"b": 3}}}
    assert builtin.exported("sync", side) is side


def test_other_data_is_refused():
    view = view_of(replace(synthetic_clip(3, 0, 2, 64), identity="Ann"))
    with pytest.raises(ValueError, match="'Ann': this judge is trained with --data synthetic"):
        identity.features(view, np.random.default_rng(0))


def test_files_of_other_judges_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="expected 'identity'"):
        builtin.identity_judge.__wrapped__(builtin.SHIPPED / "landmarks.npz")
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        builtin.feature_judge.__wrapped__(tmp_path / "none.npz")


def test_its_file_tells_its_quality(judge, whole):
    figures = judge.meta["held_out"]
    assert figures["split"] == "test" and figures["clips"] == 48 and figures["auc"] >= 0.9
    assert (judge.name, whole.name) == ("synth-identity", "synth-features")
    assert judge.hash == f"{whole.hash}-{builtin.landmark_judge().hash}"
