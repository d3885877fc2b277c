"""Sound: loudness, mel, pitch, windows, speaker vectors' front end."""

import numpy as np
import pytest

from talkbench.data.store import write_store
from talkbench.data.synthetic.source import synthetic_clip
from talkbench.data.view import view_of
from talkbench.methods.makeittalk import audio, features, pitch
from talkbench.methods.makeittalk import speaker_vector as voices


def tone(hertz, seconds=0.5, amplitude=0.25):
    return amplitude * np.sin(2 * np.pi * hertz * np.arange(int(16_000 * seconds)) / 16_000)


def test_loudness():
    pcm = np.full(100, 3277, np.int16)
    made, rms, level = audio.normalize_loudness(pcm)
    assert rms == 3277 and level == pytest.approx(-20, abs=1e-3) and np.abs(made - pcm).max() <= 1
    loud, _, _ = audio.normalize_loudness(np.array([32767, 0] * 50, np.int16))
    assert np.sqrt(np.mean(loud.astype(float) ** 2)) == pytest.approx(3277, abs=2)
    silent, rms, level = audio.normalize_loudness(np.zeros(10, np.int16))
    assert rms == 0 and level == -np.inf and not silent.any()
    with pytest.raises(ValueError, match="16-bit"):
        audio.normalize_loudness(np.zeros(10, np.float32))


def test_mel_frames_and_level():
    for count in (2560, 2561):  # a multiple of the hop gets one more sample
        pcm = (32767 * tone(1000)[:count]).astype(np.int16)
        samples = audio.conditioned(pcm)
        assert len(samples) == 2561
        mel = audio.normalized_mel(samples)
        assert mel.shape == (11, 80) and mel.dtype == np.float32
    loudest = mel[5].argmax()
    assert mel[5, loudest] > 0.7 and mel[5, 70] < mel[5, loudest] - 0.4
    with pytest.raises(ValueError, match="at least 513"):
        audio.spectrum(np.zeros(512))


def test_pitch_of_a_clip():
    log = np.log([100.0, 200.0, 400.0])
    made = audio.normalized_pitch(np.array([*log, audio.UNVOICED]))
    spread = np.sqrt(2 / 3) * np.log(2)
    np.testing.assert_allclose(made, [0.5 - np.log(2) / spread / 8, 0.5, 0.5 + np.log(2) / spread / 8, -1])
    assert audio.pitch_bins(np.array([-1, 0, 0.5, 1])).tolist() == [0, 1, 129, 256]
    assert audio.one_hot_pitch(np.array([3])).argmax() == 3
    assert (audio.normalized_pitch(np.full(3, audio.UNVOICED)) == -1).all()
    assert audio.normalized_pitch(log[:1]).tolist() == [0.5]


def test_a_tracker_of_another_rate_is_refused():
    pcm = (32767 * tone(200)).astype(np.int16)
    mel, track = audio.autovc_features(pcm, lambda samples, low, high: np.full(32, np.log(low)), "M")
    assert mel.shape == (32, 80) and track.shape == (32,)
    with pytest.raises(ValueError, match="3 frames for 32"):
        audio.autovc_features(pcm, lambda samples, low, high: np.zeros(3))


def test_the_published_tracker_is_asked_for_by_name():
    try:
        made = pitch.rapt(tone(200), 100.0, 600.0)
    except pitch.TrackerMissingError as missing:
        assert "pysptk" in str(missing)
    else:
        assert np.median(made[made > 0]) == pytest.approx(np.log(200), abs=0.02)


def test_windows_look_ahead():
    mel = np.arange(40.0).reshape(20, 2)
    made = audio.windows(mel, np.array([0.0, 1.0]), np.array([2.0, 2.0]))
    assert made.shape == (2, 18, 2) and made.dtype == np.float32
    np.testing.assert_array_equal(made[1, :, 0], np.arange(1, 19))
    np.testing.assert_array_equal(made[1, :, 1], np.arange(1, 19))
    with pytest.raises(ValueError, match="at least 19"):
        audio.windows(mel[:18], 0, 1)


def test_partials():
    assert voices.partial_slices(8000).tolist() == [[0, 160, 0, 25_600]]
    assert voices.partial_slices(44_100)[:, 0].tolist() == [0, 50, 100, 150]
    assert voices.partial_slices(44_100, 1.3)[:, 0].tolist() == [0, 77, 154]
    with pytest.raises(ValueError, match="partials a second"):
        voices.partial_slices(44_100, 0.1)


def test_speaker_vector_of_minutes():
    heard = []

    def encode(mels):
        heard.append(mels.shape)
        return np.tile([3.0, 4.0], (len(mels), 1))

    vector, partials = voices.embed_utterance(encode, tone(300))
    np.testing.assert_allclose(vector, [0.6, 0.8])
    assert heard == [(1, 160, 40)] and partials.shape == (1, 2)
    np.testing.assert_allclose(voices.speaker_vector(encode, tone(300)), [0.6, 0.8])
    assert len(heard) == 2


def test_volume_is_only_raised():
    quiet = voices.raise_volume(tone(300, amplitude=0.001))
    assert 20 * np.log10(np.sqrt(np.mean(quiet**2))) == pytest.approx(-30)
    loud = tone(300, amplitude=0.9)
    assert voices.raise_volume(loud) is loud
    assert not voices.raise_volume(np.zeros(10)).any()


def test_long_silences_are_dropped():
    speech = tone(300, 0.96)
    kept = voices.trim_silence(np.concatenate([speech, np.zeros(32_000), speech]))
    assert len(speech) * 2 <= len(kept) < len(speech) * 2 + 16_000
    every = voices.trim_silence(speech, lambda windows: np.ones(len(windows), bool))
    np.testing.assert_array_equal(every, speech)


def test_two_utterances_are_of_two_clips_where_a_speaker_has_them(tmp_path):
    clips = [synthetic_clip(person, number, 25, 32) for person, number in ((0, 0), (0, 1), (1, 0))]
    store, ear = write_store(tmp_path / "store", clips), features.Ear("autocorrelation", "M", 9)

    def repeated(samples):
        return np.concatenate([voices.power_mel(voices.raise_volume(samples.astype(np.float64)))] * 3)

    power = [repeated(store.view(clip.clip_id).audio()) for clip in clips]

    def within(piece, whole):
        starts = range(len(whole) - len(piece) + 1)
        return any(np.allclose(piece, whole[i : i + len(piece)], rtol=1e-3, atol=1e-6) for i in starts)

    hear, rng = features.Voices(ear, 32), np.random.default_rng(0)
    for number, other in ((0, 1), (1, 0), (2, 2)):
        first, second = hear(store.view(clips[number].clip_id), rng)["voices"]
        assert within(first, power[number]) and within(second, power[other])
    first, second = hear(view_of(clips[0]), rng)["voices"]  # of a clip alone
    assert within(second, repeated(clips[0].audio))
    assert features.utterances(store.view(clips[0].clip_id), rng, 3).shape == (3, 160, 40)
