"""Lips from phonemes: dominance blending after Cohen and Massaro (1993), and a closure a blend misses."""

import numpy as np

from talkbench.data.synthetic import phonemes as ph
from talkbench.data.synthetic.speech import Speaker, Text


def closure(words: Text, times: np.ndarray) -> np.ndarray:
    """How firmly the lips are shut at each time (seconds): 1 amid p, b, m, up to .9 in silence, else 0."""
    away = np.abs(times[:, None] - words.centre)
    width = words.duration
    shut = (
        np.clip(1.35 * np.exp(-((away / (0.5 * width + 0.022)) ** 4)), 0, 1) * ph.IS_BILABIAL[words.phoneme]
    )
    silent = 0.9 * np.clip((width / 2 - away) / 0.12, 0, 1) * (words.phoneme == ph.SILENCE)
    return np.maximum(shut, silent).max(1)


def lips(voice: Speaker, words: Text, times: np.ndarray) -> dict[str, np.ndarray]:
    """Weights of the mouth's directions at each time (seconds), by name of `geometry.head.EXPRESSION_NAMES`.

    Every phoneme pulls with a bell of its own width and dominance, so neighbours colour each other both ways.
    """
    dominance = ph.DOMINANCE[words.phoneme] * np.exp(
        -(((times[:, None] - words.centre) / (0.55 * words.duration + 0.028)) ** 2)
    )
    targets = ph.VISEMES[words.phoneme]
    targets = targets * np.where(ph.IS_VOWEL[words.phoneme], 0.92 + 0.18 * words.stress, 1.0)[:, None]
    blend = dominance @ targets / np.maximum(dominance.sum(1, keepdims=True), 1e-12) * voice.articulation
    axis = dict(zip(ph.VISEME_AXES, blend.T))
    shut = closure(words, times)
    silent = shut * (words.phoneme[words.at(times)] == ph.SILENCE)

    jaw = axis["jaw"] * (1 - 0.45 * shut)
    weights = {
        "jawOpen": jaw,
        "mouthClose": jaw * shut,
        "mouthFunnel": axis["funnel"] * (1 - 0.7 * shut),
        "mouthPucker": axis["pucker"],
        "mouthRollLower": axis["roll_lower"],
        "mouthRollUpper": axis["roll_upper"],
    }
    pairs = {
        "mouthLowerDown": axis["lower_down"] * (1 - shut),
        "mouthUpperUp": axis["upper_up"] * (1 - shut),
        "mouthStretch": axis["stretch"] * (1 - 0.6 * shut),
        "mouthSmile": axis["smile"] + voice.smile * (1 - 0.5 * axis["pucker"]),
        "mouthPress": axis["press"] + voice.press * silent,
    }
    for name, value in pairs.items():
        weights[name + "Left"] = value * (1 + voice.asymmetry)
        weights[name + "Right"] = value * (1 - voice.asymmetry)
    return {name: np.clip(value, 0, 1) for name, value in weights.items()}
