import numpy as np

from talkbench.data.synthetic import motion, speech, visemes
from talkbench.data.synthetic import phonemes as ph
from talkbench.geometry.head import Deformer, head


def lip_gap(expression):
    """Distance of the inner lips' middles in outer eye distances (T,)."""
    still = np.zeros((len(expression), 2))
    moved = Deformer(np.zeros(60))(expression, still, still)[:, head().landmarks68]
    return np.linalg.norm(moved[:, 62] - moved[:, 66], axis=1)


def _clip(identity):
    words = speech.text(speech.speaker(identity), speech.clip_stream(identity, 0, 0), 3.0)
    return words, (np.arange(75) + 0.5) / 25, motion.controls(identity, 0, 75).expression


def test_bilabials_shut_the_lips():
    gaps = []
    for identity in range(30):
        words, times, expression = _clip(identity)
        gaps.append(lip_gap(expression)[visemes.closure(words, times) > 0.98])
    gaps = np.concatenate(gaps)
    assert len(gaps) > 50
    assert gaps.max() < 0.02


def test_silence_shuts_the_mouth_within_150_ms():
    checked = 0
    for identity in range(30):
        words, times, expression = _clip(identity)
        gap = lip_gap(expression)
        for index, start, stop in zip(words.phoneme, words.start[:-1], words.start[1:]):
            late = (times > start + 0.15) & (times < stop - 0.15)
            if index == ph.SILENCE and late.any():
                checked += 1
                assert gap[late].max() < 0.03
    assert checked > 10


def test_gaps_are_those_of_real_speech():
    """24 real clips: median .075 .045 .15 for mean, deviation, 95 %; largest .11 .079 .26."""
    gaps = np.concatenate([lip_gap(_clip(identity)[2]) for identity in range(30)])
    assert 0.075 < gaps.mean() < 0.115
    assert 0.045 < gaps.std() < 0.08
    assert 0.15 < np.percentile(gaps, 95) < 0.26


def test_vowels_open_the_mouth_in_the_order_of_the_table():
    voice = speech.speaker(0)
    opened = {}
    for name in ("aa", "ah", "iy", "uw"):
        sounds = np.array([ph.SILENCE, ph.INDEX[name], ph.SILENCE])
        words = speech.Text(sounds, np.array([0.0, 0.5, 0.7, 1.2]), stress=np.zeros(3), position=np.zeros(3))
        opened[name] = visemes.lips(voice, words, np.array([0.6]))
    assert opened["aa"]["jawOpen"] > opened["ah"]["jawOpen"] > opened["iy"]["jawOpen"]
    assert opened["uw"]["mouthPucker"] > 0.4 > opened["aa"]["mouthPucker"]
    assert opened["iy"]["mouthStretchLeft"] > 0.2 > opened["uw"]["mouthStretchLeft"]
