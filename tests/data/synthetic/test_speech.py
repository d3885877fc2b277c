import numpy as np
import pytest
import scipy.fft
from scipy.signal import lfilter

from talkbench.data.synthetic import motion, speech
from talkbench.data.synthetic import phonemes as ph
from talkbench.geometry.head import EXPRESSION_NAMES

JAW = EXPRESSION_NAMES.index("jawOpen")


def _words(identity, clip=0, frames=75):
    voice = speech.speaker(identity)
    return speech.text(voice, speech.clip_stream(identity, clip, 0), frames / 25)


def _mfcc(audio):
    """13 cepstra at 100 Hz, 25 ms windows, 26 mel bands: (4 T, 13) for 640 T samples."""
    audio = np.pad(lfilter([1, -0.97], [1], audio), (120, 280))
    rows = len(audio[200:-200]) // 160
    windows = np.lib.stride_tricks.sliding_window_view(audio, 400)[::160][:rows] * np.hanning(400)
    power = np.abs(np.fft.rfft(windows, 512)) ** 2
    edges = 700 * (np.exp(np.linspace(0, np.log1p(8000 / 700), 28)) - 1)
    frequency = np.fft.rfftfreq(512, 1 / 16000)
    up = (frequency - edges[:-2, None]) / np.diff(edges)[:-1, None]
    down = (edges[2:, None] - frequency) / np.diff(edges)[1:, None]
    bands = power @ np.clip(np.minimum(up, down), 0, None).T
    return scipy.fft.dct(np.log(bands + 1e-8), norm="ortho")[:, :13]


def _heard(audio, frames):
    """MFCC at 13 offsets over +-120 ms round each frame's centre: (T, 169)."""
    cepstra = _mfcc(audio)
    rows = np.arange(frames)[:, None] * 4 + 2 + np.arange(-12, 13, 2)
    return cepstra[np.clip(rows, 0, len(cepstra) - 1)].reshape(frames, -1)


def test_sound_tells_the_jaw_and_another_clips_sound_does_not():
    frames = 150
    train = [motion.controls(i, 0, frames) for i in range(12)]
    test = [motion.controls(1000 + i, 0, frames) for i in range(4)]
    x = np.concatenate([_heard(c.audio, frames) for c in train])
    y = np.concatenate([c.expression[:, JAW] for c in train])
    mean, scale = x.mean(0), x.std(0)
    z = (x - mean) / scale
    weights = np.linalg.solve(z.T @ z + 30 * np.eye(z.shape[1]), z.T @ (y - y.mean()))
    told = [(_heard(c.audio, frames) - mean) / scale @ weights for c in test]
    truth = [c.expression[:, JAW] for c in test]

    def agreement(offset):
        cut = slice(5, frames - 5)
        return np.mean([np.corrcoef(t[cut], np.roll(y, offset)[cut])[0, 1] for t, y in zip(told, truth)])

    assert agreement(0) > 0.8
    assert int(np.argmax([agreement(k) for k in range(-5, 6)])) == 5
    assert agreement(-3) < 0.6 and agreement(3) < 0.6
    wrong = np.mean([np.corrcoef(told[i], truth[j])[0, 1] for i in range(4) for j in range(4) if i != j])
    assert abs(wrong) < 0.15


def test_sound_is_640_samples_a_frame_of_fixed_loudness():
    for frames in (1, 7, 75):
        clip = motion.controls(3, 2, frames)
        assert clip.audio.shape == (640 * frames,) and clip.audio.dtype == np.float32
        assert np.isfinite(clip.audio).all() and np.abs(clip.audio).max() < 1 / 1.2 + 0.01
    assert clip.audio.std() == pytest.approx(0.07, abs=0.005)


def test_silence_is_quiet_and_vowels_are_loud():
    clip = motion.controls(4, 0, 100)
    words = _words(4, frames=100)
    loud, quiet = [], []
    for index, start, stop in zip(words.phoneme, words.start[:-1], words.start[1:]):
        piece = clip.audio[int(16000 * (start + 0.04)) : int(16000 * (stop - 0.02))]
        if len(piece) > 160:
            if index == ph.SILENCE:
                quiet.append(piece.std())
            elif ph.IS_VOWEL[index]:
                loud.append(piece.std())
    assert max(quiet) < 0.004
    assert min(loud) > 0.01


@pytest.mark.parametrize("identity", [2, 5])
def test_f0_label_is_the_period_of_the_sound(identity):
    clip = motion.controls(identity, 0, 75)
    worst = []
    for t in range(2, 73):
        # The middle of a steady vowel, where autocorrelation has no doubt.
        if ph.IS_VOWEL[clip.phoneme[t - 1 : t + 2]].all() and len(set(clip.phoneme[t - 1 : t + 2])) == 1:
            piece = clip.audio[640 * t - 160 : 640 * t + 800].astype(float)
            period = 16000 / clip.f0[t]
            lags = np.arange(int(0.7 * period), int(1.4 * period) + 1)
            found = lags[np.argmax([np.dot(piece[:-lag], piece[lag:]) / (960 - lag) for lag in lags])]
            worst.append(abs(found / period - 1))
    assert len(worst) > 5
    assert np.median(worst) < 0.02


def test_resonator_rings_at_its_frequency():
    for frequency, bandwidth in ((300, 70), (1200, 100), (4600, 300)):
        a, b, c = speech._resonator(float(frequency), float(bandwidth), 16000.0)
        z = np.exp(-2j * np.pi * np.arange(0, 8000, 5) / 16000)
        response = np.abs(a / (1 - b * z - c * z**2))
        assert response[0] == pytest.approx(1)
        assert abs(5 * np.argmax(response) - frequency) < 15
        wide = 5 * (response > response.max() / np.sqrt(2)).sum()
        assert wide == pytest.approx(bandwidth, rel=0.1)


def test_vowels_ring_at_their_formants():
    voice = speech.speaker(1)
    for name in ("aa", "ae", "iy", "uw"):
        words = speech.Text(np.array([ph.INDEX[name]]), np.array([0.0, 1.0]), np.zeros(1), np.array([0.5]))
        sound, _ = speech.synthesise(voice, words, np.random.default_rng(0), 20)
        spectrum = np.abs(np.fft.rfft(sound[3200:9600] * np.hanning(6400))) ** 2
        strongest = 16000 * np.argmax(spectrum) / 6400
        first, second = voice.scale * ph.FORMANTS[ph.INDEX[name]][:2]
        assert min(abs(strongest - first), abs(strongest - second)) < 0.75 * voice.f0


def test_speakers_differ_and_stay_in_their_ranges():
    voices = [speech.speaker(i) for i in range(60)]
    low = [v for v in voices if v.f0 < 150]
    high = [v for v in voices if v.f0 >= 150]
    assert 15 < len(low) < 45
    assert all(0.94 <= v.scale <= 1.04 for v in low) and all(1.08 <= v.scale <= 1.20 for v in high)
    assert len({v.f0 for v in voices}) == 60
    assert speech.speaker(7) == speech.speaker(7)


def test_text_is_made_of_the_table():
    counts = np.zeros(len(ph.PHONEMES))
    for identity in range(20):
        words = _words(identity)
        assert words.start[-1] > 3 and (words.duration > 0).all()
        assert words.phoneme[0] == ph.SILENCE == words.phoneme[-1]
        assert set(words.stress) <= {0.0, 1.0}
        counts += np.bincount(words.phoneme, minlength=len(counts))
    assert (counts > 0).all()
    assert 0.3 < counts[ph.VOWELS].sum() / counts.sum() < 0.55
