import numpy as np
import pytest

from talkbench.data.clip import Clip
from talkbench.data.media import read_video
from talkbench.data.show import contact_sheet, draw_landmarks, log_mel, write_clip_video


@pytest.fixture
def clip():
    rng = np.random.default_rng(0)
    count = 20
    audio = np.zeros(count * 640, np.float32)
    audio[6400:] = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(6400) / 16_000)
    return Clip(
        "one",
        "someone",
        rng.integers(0, 60, (count, 32, 32, 3), dtype=np.uint8),
        audio,
        landmarks=rng.uniform(4, 28, (count, 68, 3)).astype(np.float32),
        landmark_source="synthetic",
        labels={"phoneme": np.repeat([0, 2, 1, 5], 5).astype(np.int8)},
    )


def test_sheet_shows_what_there_is(clip):
    names = ["sil", "a", "b"]
    whole = contact_sheet(clip, columns=4, rows=2, tile=64, phoneme_names=names)
    assert whole.dtype == np.uint8 and whole.shape == (20 + 128 + 60 + 120 + 22 + 60, 256, 3)
    assert (whole == contact_sheet(clip, columns=4, rows=2, tile=64, phoneme_names=names)).all()
    sound = whole[148:208].max(-1)  # the waveform: silence first, then the tone
    assert (sound[15:50, 140:250] > 100).mean() > 10 * (sound[20:50, 10:110] > 100).mean()
    clip.landmarks, clip.labels, clip.audio = None, {}, np.zeros_like(clip.audio)
    bare = contact_sheet(clip, columns=4, rows=2, tile=64)
    assert bare.shape == (20 + 128 + 20, 256, 3)
    assert (whole[20:148] != bare[20:148]).any()


def test_sheet_of_a_short_clip(clip):
    short = Clip("s", "s", clip.frames[:3], clip.audio[: 3 * 640])
    assert contact_sheet(short, columns=4, rows=2, tile=64).shape[1] == 256


def test_landmarks_are_drawn_where_they_are():
    points = np.full((68, 3), -50, np.float32)
    points[30] = (20.5, 10.5, 0)  # centre of pixel 20, 10
    drawn = draw_landmarks(np.zeros((32, 32, 3), np.uint8), points)
    y, x = np.mgrid[:32, :32]
    red = drawn[..., 0].astype(float)
    red[drawn[..., 1] > drawn[..., 0]] = 0  # not the lines
    near = np.hypot(x - 20, y - 10) < 4
    assert abs((red * x)[near].sum() / red[near].sum() - 20) < 0.3
    assert abs((red * y)[near].sum() / red[near].sum() - 10) < 0.6


def test_log_mel_finds_the_tone(clip):
    mel = log_mel(clip.audio)
    assert mel.shape[0] == 80 and mel.max() == 0 and mel.min() == -80
    assert mel[:, : mel.shape[1] // 3].max() == -80 and np.ptp(mel[:, -40:-10].argmax(0)) == 0


def test_video(clip, tmp_path):
    write_clip_video(tmp_path / "a.mp4", clip, least_width=64)
    video = read_video(tmp_path / "a.mp4")
    assert video.frames.shape == (20, 64, 64, 3) and np.abs(video.audio).max() > 0.3
    assert video.frames.max() > 200  # landmarks on a dark clip
    write_clip_video(tmp_path / "b.mp4", clip, least_width=64, landmarks=False)
    assert read_video(tmp_path / "b.mp4").frames.max() < 120
