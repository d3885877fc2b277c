"""The 28 phonemes of the synthetic speech and silence: what each sounds like and how it shapes the mouth."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Phoneme:
    """One row of the table.

    Attributes:
        name: ARPAbet-like symbol.
        formants: F1, F2, F3 in Hz of a speaker of scale 1.
        duration: seconds at tempo 1.
        voice: amplitude of voicing, 0..1.
        noise: amplitude, centre (Hz), bandwidth (Hz) of frication or of a stop's burst.
        frequency: relative frequency among vowels, or among consonants.
        viseme: weights of `VISEME_AXES` by name.
        dominance: strength of the viseme against its neighbours.
        kind: "silence", "vowel", "consonant" or "stop".
    """

    name: str
    formants: tuple[int, int, int]
    duration: float
    voice: float
    noise: tuple[float, float, float]
    frequency: float
    viseme: dict[str, float] = field(hash=False)
    dominance: float
    kind: str


# Left and right directions share an axis; `visemes.lips` parts them again with the speaker's asymmetry.
VISEME_AXES = (
    "jaw",
    "lower_down",
    "upper_up",
    "stretch",
    "smile",
    "funnel",
    "pucker",
    "press",
    "roll_lower",
    "roll_upper",
)
_SHORT = dict(zip(("jaw", "ld", "uu", "st", "sm", "fu", "pk", "pr", "rl", "ru"), VISEME_AXES))

_QUIET = (0.0, 3000.0, 1500.0)


def _row(kind, name, formants, milliseconds, voice, noise, frequency, viseme, dominance):
    weights = {}
    for word in viseme.split(", "):
        if word:
            axis, value = word.split()
            weights[_SHORT[axis]] = float(value)
    return Phoneme(
        name, formants, milliseconds / 1000, voice, noise or _QUIET, frequency, weights, dominance, kind
    )


# One row a line, as a table is read.
# Silence lasts as long as the pause it stands for: its duration is drawn, not read here.
PHONEMES: tuple[Phoneme, ...] = (
    _row("silence", "sil", (500, 1500, 2500), 300, 0, None, 0, "", 0.5),
    _row("vowel", "aa", (730, 1090, 2440), 150, 1, None, 2, "jaw .66, ld .15, uu .08", 1),
    _row("vowel", "ae", (660, 1720, 2410), 150, 1, None, 2.5, "jaw .54, st .28, uu .22, ld .2", 1),
    _row("vowel", "ah", (620, 1190, 2390), 90, 1, None, 5, "jaw .40, ld .12", 0.8),
    _row("vowel", "eh", (530, 1840, 2480), 110, 1, None, 3, "jaw .42, st .22, uu .12, ld .18", 0.9),
    _row("vowel", "iy", (270, 2290, 3010), 120, 1, None, 3.5, "jaw .16, st .40, sm .25, uu .18, ld .25", 1),
    _row("vowel", "ih", (390, 1990, 2550), 85, 1, None, 4, "jaw .24, st .22, sm .1, uu .1, ld .15", 0.8),
    _row("vowel", "ao", (570, 840, 2410), 140, 1, None, 2, "jaw .52, fu .50, pk .05", 1),
    _row("vowel", "ow", (450, 880, 2350), 150, 1, None, 2, "jaw .36, fu .42, pk .32", 1),
    _row("vowel", "uw", (300, 870, 2240), 120, 1, None, 2, "jaw .18, pk .72, fu .28", 1),
    _row("vowel", "er", (490, 1350, 1690), 120, 1, None, 2, "jaw .28, fu .32, pk .18", 0.9),
    _row("consonant", "m", (280, 1000, 2200), 80, 0.45, None, 3, "jaw .10, pr .30", 1.3),
    _row("consonant", "n", (280, 1650, 2500), 70, 0.45, None, 5, "jaw .18, ld .12", 0.6),
    _row("consonant", "l", (360, 1100, 2700), 70, 0.7, None, 3.5, "jaw .30, uu .08, ld .12", 0.7),
    _row("consonant", "r", (330, 1150, 1500), 75, 0.7, None, 3.5, "jaw .18, pk .35, fu .30", 0.9),
    _row("consonant", "w", (300, 680, 2200), 75, 0.65, None, 2, "jaw .12, pk .88, fu .10", 1.1),
    _row("consonant", "y", (280, 2200, 2950), 70, 0.7, None, 1, "jaw .16, st .32, sm .15, ld .15", 0.7),
    _row("stop", "p", (300, 850, 2200), 95, 0, (0.35, 900, 900), 2.2, "jaw .10, pr .45, rl .1, ru .1", 1.4),
    _row("stop", "b", (250, 850, 2200), 80, 0.12, (0.15, 900, 900), 2, "jaw .10, pr .35", 1.4),
    _row("stop", "t", (300, 1750, 2600), 90, 0, (0.55, 4500, 1800), 5, "jaw .14, st .10, uu .10, ld .18", 0.7),
    _row("stop", "d", (250, 1750, 2600), 75, 0.12, (0.25, 4000, 1800), 3.5, "jaw .15, st .08, uu .08, ld .16", 0.7),
    _row("stop", "k", (300, 1950, 2400), 95, 0, (0.5, 2000, 700), 3, "jaw .26, ld .08", 0.5),
    _row("stop", "g", (250, 1950, 2400), 80, 0.12, (0.25, 2000, 700), 1.5, "jaw .26, ld .08", 0.5),
    _row("consonant", "f", (340, 1200, 2400), 100, 0, (0.22, 5000, 4500), 2, "jaw .12, rl .80, uu .30", 1.3),
    _row("consonant", "v", (280, 1200, 2400), 75, 0.5, (0.12, 5000, 4500), 2, "jaw .13, rl .70, uu .25", 1.2),
    _row("consonant", "s", (320, 1700, 2600), 110, 0, (0.6, 6300, 1600), 4.5, "jaw .07, st .22, uu .16, ld .26", 1),
    _row("consonant", "z", (280, 1700, 2600), 90, 0.45, (0.35, 6300, 1600), 2.5, "jaw .08, st .20, uu .15, ld .24", 1),
    _row("consonant", "sh", (320, 1850, 2500), 115, 0, (0.65, 3200, 1300), 1.5, "jaw .14, fu .60, pk .22, uu .12, ld .12", 1.1),
    # "h" takes the formants of the vowel that follows; its own are used only before a clip's end.
    _row("consonant", "h", (500, 1500, 2500), 70, 0, None, 2, "jaw .30", 0.25),
)  # fmt: skip

NAMES: tuple[str, ...] = tuple(p.name for p in PHONEMES)
INDEX: dict[str, int] = {name: i for i, name in enumerate(NAMES)}
SILENCE = INDEX["sil"]
H = INDEX["h"]
VOWELS = np.array([i for i, p in enumerate(PHONEMES) if p.kind == "vowel"])
CONSONANTS = np.array([i for i, p in enumerate(PHONEMES) if p.kind in ("consonant", "stop")])
FINALS = np.array([i for i in CONSONANTS if NAMES[i] not in ("h", "w", "y")])
GLIDES = np.array([INDEX[name] for name in ("l", "r", "w")])
BILABIALS = np.array([INDEX[name] for name in ("m", "p", "b")])

IS_VOWEL = np.array([p.kind == "vowel" for p in PHONEMES])
IS_STOP = np.array([p.kind == "stop" for p in PHONEMES])
IS_BILABIAL = np.isin(np.arange(len(PHONEMES)), BILABIALS)
FORMANTS = np.array([p.formants for p in PHONEMES], np.float64)
DURATIONS = np.array([p.duration for p in PHONEMES])
VOICE = np.array([p.voice for p in PHONEMES], np.float64)
NOISE = np.array([p.noise for p in PHONEMES], np.float64)
FREQUENCIES = np.array([p.frequency for p in PHONEMES], np.float64)
DOMINANCE = np.array([p.dominance for p in PHONEMES], np.float64)
VISEMES = np.array([[p.viseme.get(axis, 0.0) for axis in VISEME_AXES] for p in PHONEMES])
