import numpy as np
import pytest
from learning import losses

from talkbench import config as configs
from talkbench.data.synthetic.source import synthetic_clip
from talkbench.data.view import view_of
from talkbench.evaluators import builtin, offset, synchrony
from talkbench.metrics import sync
from talkbench.weights.checkpoint import CheckpointError


@pytest.fixture(scope="module")
def judge():
    return builtin.sync_judge()


@pytest.fixture(scope="module")
def clips():
    """Of speakers that nothing was trained on; two of one."""
    return [synthetic_clip(*who, 60, 64) for who in ((501, 0), (501, 1), (504, 0))]


def test_shipped_judge_finds_the_offset_and_follows_a_shift(judge, clips):
    for clip in clips:
        video, audio = judge.sync(clip.frames, clip.audio)
        found = sync.search(video, audio)
        assert video.shape == audio.shape == (55, 64)
        assert abs(found.offset) <= 1
        for shift in (-6, 2, 9):
            earlier = np.roll(clip.audio, -640 * shift)
            assert sync.search(*judge.sync(clip.frames, earlier)).offset == found.offset + shift


def test_offset_of_late_sound_for_data_preparation(judge, clips):
    adapter = offset.load("synth-sync")
    on_time = adapter.offset(clips[0].frames, clips[0].audio)
    late = adapter.offset(clips[0].frames, np.roll(clips[0].audio, 5 * 640))
    assert late["offset"] == on_time["offset"] - 5 and late["windows"] == 55 and late["confidence"] > 0
    assert (adapter.name, adapter.hash) == (judge.name, judge.hash)
    assert adapter.offset(clips[0].frames[:20], clips[0].audio[: 20 * 640]) is None


def test_wrong_audio_loses(judge, clips):
    own = [sync.search(*judge.sync(clip.frames, clip.audio)) for clip in clips]
    for i, clip in enumerate(clips):
        for other in clips[:i] + clips[i + 1 :]:
            wrong = sync.search(*judge.sync(clip.frames, other.audio))
            assert wrong.lse_c < 0.6 * own[i].lse_c
            assert wrong.lse_d > own[i].lse_d


def test_a_still_mouth_loses(judge, clips):
    clip = clips[0]
    still = np.repeat(clip.frames[:1], clip.num_frames, 0)
    own, held = (sync.search(*judge.sync(frames, clip.audio)) for frames in (clip.frames, still))
    assert held.lse_c < 0.6 * own.lse_c


def test_beyond_the_end_is_as_far_as_anything_unrelated(judge, clips):
    video, audio = judge.sync(clips[0].frames, clips[0].audio)
    np.testing.assert_allclose(np.linalg.norm(video, axis=1), np.sqrt(2), rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(audio, axis=1), np.sqrt(2), rtol=1e-5)
    assert (video[:, -1] == 1).all() and (audio[:, -1] == 1).all()


def test_pieces_and_sizes(judge, clips):
    clip = clips[2]
    np.testing.assert_allclose(judge.lips(clip.frames), judge.lips(clip.frames, batch=9), atol=1e-4)
    np.testing.assert_allclose(judge.sound(clip.audio, 55), judge.sound(clip.audio, 55, batch=16), atol=1e-4)
    large = np.repeat(np.repeat(clip.frames[:10], 2, 1), 2, 2)
    np.testing.assert_allclose(judge.lips(large), judge.lips(clip.frames[:10]), atol=0.5)
    for frames, windows in ((4, 0), (5, 0), (6, 1)):
        video, audio = judge.sync(clip.frames[:frames], clip.audio[: 640 * frames])
        assert video.shape == audio.shape == (windows, 64)


def test_windows_of_sound_start_with_their_frame():
    audio = np.random.default_rng(0).normal(0, 0.1, 640 * 20).astype(np.float32)
    windows = synchrony.sound_windows(audio, 15)
    assert windows.shape == (15, 20, 13)
    later = synchrony.sound_windows(audio[640 * 4 :], 2)
    np.testing.assert_allclose(windows[5], later[1], atol=1e-4)
    assert synchrony.window_count(30, 640 * 31) == 25 and synchrony.window_count(3, 640 * 3) == 0


def test_stage_learns():
    small = {"model.widths": "4,8", "model.code": "8", "model.sound_widths": "8,8", "model.dense": "16"}
    stage = builtin.stage("sync", configs.load("sync", "tiny", small))
    values = losses(stage, [view_of(synthetic_clip(i, 0, 40, 64)) for i in (3, 4)], 25)
    assert set(stage.weights) == {"lips_to_sound", "sound_to_lips"}
    assert values[0] == pytest.approx(np.log(25), abs=1.5)
    assert values[-1] < 0.7 * values[0]


def test_examples_are_of_one_stretch():
    view = view_of(synthetic_clip(3, 0, 30, 64))
    example = synchrony.features(view, np.random.default_rng(0))
    assert example["lips"].shape == (29, 28, 28, 3) and example["lips"].max() <= 1
    assert example["sound"].shape == (25, 20, 13)


def test_files_of_other_judges_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        builtin.sync_judge.__wrapped__(tmp_path / "none.npz")
    with pytest.raises(CheckpointError, match="expected 'sync'"):
        builtin.sync_judge.__wrapped__(builtin.SHIPPED / "landmarks.npz")


def test_its_file_tells_its_quality(judge):
    figures = judge.meta["held_out"]
    assert figures["split"] == "test" and figures["clips"] == 16
    assert figures["offset_found"] >= 0.9 and figures["retrieval"] > 3 / synchrony.CANDIDATES
    assert judge.hash.endswith(builtin.landmark_judge().hash)
