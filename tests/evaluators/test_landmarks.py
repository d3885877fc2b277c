import jax
import numpy as np
import pytest

from talkbench import config as configs
from talkbench.data.synthetic.source import SyntheticSource, synthetic_clip
from talkbench.data.view import view_of
from talkbench.evaluators import builtin, landmarks
from talkbench.weights.checkpoint import CheckpointError


@pytest.fixture(scope="module")
def judge():
    return builtin.landmark_judge()


def test_shipped_judge_finds_the_mouth_on_unseen_speakers(judge):
    """The bound that the benchmark needs: a third of what standing still costs."""
    clips = [SyntheticSource("dev", 64).clip(f"s{i:04d}_c000") for i in (501, 505)]
    error = landmarks.held_out_error(judge, clips)
    assert error["mouth_ratio"] <= 1 / 3
    assert error["error_eye"] <= 0.05


def test_other_sizes_are_scaled(judge):
    clip = synthetic_clip(502, 0, 3, 128)
    found = judge.landmarks(clip.frames)
    assert found.shape == (3, 68, 2)
    assert np.linalg.norm(found - clip.landmarks[..., :2], axis=-1).mean() < 3


def test_the_batch_does_not_matter(judge):
    frames = synthetic_clip(503, 0, 7, 64).frames
    np.testing.assert_allclose(judge.landmarks(frames), judge.landmarks(frames, batch=3), atol=1e-3)


def test_augmentation_moves_points_with_the_picture():
    """A dot painted at a landmark is found at the augmented landmark."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        frame = np.zeros((64, 64, 3), np.uint8)
        frame[29:32, 24:27] = 255  # centre at (25.5, 30.5)
        points = np.full((68, 2), (25.5, 30.5))
        image, moved = landmarks._augment(frame, points, rng)
        weight = np.clip(image.mean(-1) - np.median(image), 0, None)
        weight[weight < 0.25 * weight.max()] = 0
        rows, columns = np.mgrid[:64, :64] + 0.5
        centre = (weight * columns).sum() / weight.sum(), (weight * rows).sum() / weight.sum()
        np.testing.assert_allclose(centre, moved[0], atol=0.35)


def test_window_samples_between_pixels():
    column = np.broadcast_to(np.arange(64.0)[None, None, :, None], (1, 64, 64, 3)).astype(np.float32)
    window = landmarks._window(column, np.array([[30.0, 30.0]]))
    steps = (np.arange(2 * landmarks.WINDOW) + 0.5) / 2 - landmarks.WINDOW / 2
    np.testing.assert_allclose(window[0, 10, :, 0], 30 + steps - 0.5, atol=1e-4)


def test_stage_learns(judge):
    config = configs.load("landmarks", "tiny", {"model.dense": "16", "train.batch_size": "4"})
    stage = builtin.stage("landmarks", config)
    view = view_of(synthetic_clip(3, 0, 10, 64))
    rows = [stage.features(view, np.random.default_rng(i)) for i in range(4)]
    batch = {k: np.stack([r[k] for r in rows]) for k in rows[0]}
    side, none = stage.init(jax.random.key(0), batch)
    assert none is None
    terms, (stats, _) = stage.generator_loss(side["params"], side["stats"], {}, {}, batch, jax.random.key(1))
    assert set(terms) == set(stage.weights)
    assert all(np.isfinite(v) for v in terms.values())
    assert jax.tree.structure(stats) == jax.tree.structure(side["stats"])


def test_teacher_is_another_network_than_the_judge(judge):
    features, variables = builtin.teacher()
    maps = features(variables, np.zeros((1, 64, 64, 3), np.float32))
    assert [m.shape[1] for m in maps] == [32, 16, 8]
    ours = jax.tree.leaves(variables["params"])[0]
    assert not any(x.shape == ours.shape and np.allclose(x, ours) for x in jax.tree.leaves(judge._variables))


def test_head_pose_follows_the_true_one(judge):
    """A stranger's face is fitted with the mean one: what is off is the same in all frames."""
    clips = [synthetic_clip(i, 0, 50, 64) for i in (500, 503)]
    found = [builtin.pose_judge().pose(clip.frames) for clip in clips]
    for clip, seen in zip(clips, found, strict=True):
        assert seen.shape == (50, 3)
        moved, turned = (rows - rows.mean(0) for rows in (seen, clip.pose[:, :3]))
        assert np.abs(moved - turned).mean() < 0.5 * np.abs(turned).mean()
        assert np.corrcoef(seen[:, 0], clip.pose[:, 0])[0, 1] > 0.9
    assert (builtin.pose_judge().name, builtin.pose_judge().hash) == ("synth-pose", judge.hash)


def test_wrong_files_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        builtin.landmark_judge.__wrapped__(tmp_path / "none.npz")
    with pytest.raises(CheckpointError, match="expected 'landmarks'"):
        builtin.landmark_judge.__wrapped__(builtin.SHIPPED / "landmarks_teacher.npz")
    with pytest.raises(ValueError, match="no builtin judge 'lips'"):
        builtin.stage("lips", None)


def test_what_was_seen_is_remembered_and_not_shared(judge, monkeypatch):
    frames = synthetic_clip(504, 0, 4, 64).frames
    first = judge.landmarks(frames)
    monkeypatch.setattr(judge, "_look", lambda frames, batch: pytest.fail("looked twice"))
    again = judge.landmarks(frames.copy())
    np.testing.assert_array_equal(first, again)
    again += 1
    np.testing.assert_array_equal(judge.landmarks(frames), first)
