import numpy as np
import pytest

from talkbench.data.synthetic.source import synthetic_clip
from talkbench.methods.hdtf import sound


@pytest.mark.parametrize("hertz", [80.0, 150.0, 310.0])
def test_pitch_of_a_buzz(hertz):
    time = np.arange(16_000) / 16_000
    buzz = sum(np.cos(2 * np.pi * k * hertz * time) / k for k in range(1, 8))
    found, voiced = sound.pitch(buzz)
    assert len(found) == len(voiced) == 100
    inner = slice(3, 94)
    assert voiced[inner].all()
    np.testing.assert_allclose(found[inner], hertz, rtol=0.02)


def test_noise_and_silence_have_no_pitch():
    noise = np.random.default_rng(0).normal(size=16_000)
    assert sound.pitch(noise)[1].mean() < 0.1
    assert not sound.pitch(np.zeros(16_000))[1].any()
    still = sound.features(np.zeros(640 * 5, np.float32))
    assert still.shape == (20, 15) and np.isfinite(still).all() and not still[:, 13:].any()


def test_features_of_speech():
    clip = synthetic_clip(3, 0, 40, 16)
    made = sound.features(clip.audio)
    assert made.shape == (160, 15) and made.dtype == np.float32
    np.testing.assert_allclose(
        sound.features(0.3 * clip.audio), made, rtol=1e-3, atol=1e-2
    )  # loudness doesn't count
    heard = sound.to_video_rate(made[:, 13:])
    true = clip.labels["f0"]
    both = (heard[:, 1] > 0.9) & (true > 0)
    assert both.sum() > 10
    assert np.median(np.abs(heard[both, 0] / true[both] - 1)) < 0.03


def test_rates():
    line = np.stack([np.arange(10.0), 5 - np.arange(10.0)], 1)
    fine = sound.to_feature_rate(line)
    assert fine.shape == (40, 2)
    # Four features a frame, the middle of the first 12.5 ms in: a frame's own time lies between them.
    np.testing.assert_allclose(np.diff(fine[4:-4, 0]), 0.25, atol=1e-5)
    np.testing.assert_allclose(fine[4, 0], (0.0125 + 0.04) / 0.04 - 0.5, atol=1e-5)
    np.testing.assert_allclose(sound.to_video_rate(fine)[1:-1], line[1:-1], atol=1e-5)
