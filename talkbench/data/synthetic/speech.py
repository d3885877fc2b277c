"""Synthetic speech: a speaker, a nonsense text, and the sound a formant synthesiser makes of it.

Source and filter in cascade after Klatt, "Software for a cascade/parallel formant synthesizer" (1980):
a glottal pulse train and noise run through five resonators, frication through one of its own. Every
number that a clip needs is drawn from streams keyed by identity and clip: no clip depends on another.
"""

import math
from dataclasses import dataclass

import numpy as np

from talkbench.data.clip import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from talkbench.data.synthetic import phonemes as ph
from talkbench.geometry.compiled import compiled

CONTROL_RATE = 200
_STEP = SAMPLE_RATE // CONTROL_RATE
_BANDWIDTHS = np.array([70.0, 100.0, 150.0, 220.0, 300.0])
_UPPER_FORMANTS = (3500.0, 4600.0)
_LOUDNESS = 0.07
_FLOOR = 0.0006


@dataclass(frozen=True)
class Speaker:
    """Voice, articulation and manner of one identity.

    Attributes:
        f0: resting pitch in Hz.
        scale: factor on all formants (a shorter vocal tract is above 1).
        tempo: speed of speech; breath: noise mixed into voicing; pitch_range: log range of the intonation;
            tilt: 0..1, low-pass on the glottal source; pause: factor on pauses.
        articulation: factor on the lips' movement; smile, press: resting weights; asymmetry: left over right.
        yaw, pitch, roll: amplitudes of the head's motion in degrees; rest: where it rests, in degrees;
            speed: of the motion; nod: degrees on stressed vowels; brow: 0..1; blink: seconds between blinks.
    """

    f0: float
    scale: float
    tempo: float
    breath: float
    pitch_range: float
    tilt: float
    articulation: float
    pause: float
    smile: float
    press: float
    asymmetry: float
    yaw: float
    pitch: float
    roll: float
    speed: float
    nod: float
    brow: float
    blink: float
    rest: tuple[float, float, float]


def speaker(identity: int) -> Speaker:
    """The speaker of an identity (a non-negative integer), drawn from stream [identity, 55]."""
    draw = np.random.default_rng([identity, 55])
    low = draw.random() < 0.5
    f0 = draw.uniform(90, 145) if low else draw.uniform(165, 245)
    scale = draw.uniform(0.94, 1.04) if low else draw.uniform(1.08, 1.20)
    voice = [draw.uniform(*bounds) for bounds in ((0.85, 1.2), (0.01, 0.06), (0.10, 0.25), (0.55, 0.85))]
    manner = [
        draw.uniform(*bounds) for bounds in ((0.8, 1.2), (0.8, 1.4), (-0.05, 0.22), (0, 0.1), (-0.12, 0.12))
    ]
    motion = [
        draw.uniform(*bounds)
        for bounds in ((3, 11), (2, 5.5), (1, 4.5), (0.35, 1), (0, 6), (0.1, 0.7), (2, 5))
    ]
    rest = draw.normal(0, (6, 3, 1.5))
    return Speaker(f0, scale, *voice, *manner, *motion, rest=tuple(float(x) for x in rest))


def clip_stream(identity: int, clip: int, part: int) -> np.random.Generator:
    """The random stream of one part of a clip (0 text, 1 sound, 2 head, 3 face): parts stay apart."""
    return np.random.default_rng([identity, 66, clip, part])


@dataclass(frozen=True)
class Text:
    """A row of phonemes in time.

    Attributes:
        phoneme: int (P,), index into `phonemes.PHONEMES`.
        start: (P + 1,) seconds; phoneme i lasts from start[i] to start[i + 1], the last to after the clip.
        stress: (P,) 1 in stressed syllables, else 0.
        position: (P,) 0 at the beginning of a phrase to 1 at its end.
    """

    phoneme: np.ndarray
    start: np.ndarray
    stress: np.ndarray
    position: np.ndarray

    @property
    def centre(self) -> np.ndarray:
        return (self.start[1:] + self.start[:-1]) / 2

    @property
    def duration(self) -> np.ndarray:
        return np.diff(self.start)

    def at(self, times: np.ndarray) -> np.ndarray:
        """Index (into the P phonemes) of what is spoken at each time in seconds."""
        return np.clip(np.searchsorted(self.start, times, side="right") - 1, 0, len(self.phoneme) - 1)


_VOWEL_CHANCE = ph.FREQUENCIES[ph.VOWELS] / ph.FREQUENCIES[ph.VOWELS].sum()
_CONSONANT_CHANCE = ph.FREQUENCIES[ph.CONSONANTS] / ph.FREQUENCIES[ph.CONSONANTS].sum()
_FINAL_CHANCE = ph.FREQUENCIES[ph.FINALS] / ph.FREQUENCIES[ph.FINALS].sum()
_BEFORE_GLIDE = frozenset(ph.INDEX[name] for name in ("p", "b", "t", "d", "k", "g", "f", "s", "sh"))


def _syllable(draw) -> list[int]:
    sounds = []
    if draw.random() < 0.85:
        sounds.append(int(draw.choice(ph.CONSONANTS, p=_CONSONANT_CHANCE)))
    glide, which = draw.random() < 0.12, int(draw.choice(ph.GLIDES))
    if glide and sounds and sounds[0] in _BEFORE_GLIDE:
        sounds.append(which)
    sounds.append(int(draw.choice(ph.VOWELS, p=_VOWEL_CHANCE)))
    if draw.random() < 0.35:
        sounds.append(int(draw.choice(ph.FINALS, p=_FINAL_CHANCE)))
    return sounds


def text(voice: Speaker, draw: np.random.Generator, seconds: float) -> Text:
    """Nonsense of phrases, words and syllables that fills `seconds`, in the speaker's tempo."""
    sound, length, stress, position = [ph.SILENCE], [draw.uniform(0.10, 0.35)], [0.0], [0.0]
    total = length[0]
    while total < seconds + 0.5:
        phrase = []
        for _ in range(draw.integers(2, 7)):
            count = int(draw.choice(4, p=(0.45, 0.33, 0.16, 0.06))) + 1
            stressed = int(draw.integers(count))
            for syllable in range(count):
                phrase += [(sound_, float(syllable == stressed)) for sound_ in _syllable(draw)]
        for number, (index, strong) in enumerate(phrase):
            factor = (1.25 if strong else 0.9) * (1.15 if ph.IS_VOWEL[index] else 1.0)
            sound.append(index)
            length.append(ph.DURATIONS[index] * factor / voice.tempo * math.exp(0.15 * draw.normal()))
            stress.append(strong)
            position.append(number / max(len(phrase) - 1, 1))
        sound.append(ph.SILENCE)
        length.append(draw.uniform(0.15, 0.55) * voice.pause)
        stress.append(0.0)
        position.append(1.0)
        total = sum(length)
    start = np.concatenate([[0.0], np.cumsum(length)])
    return Text(np.array(sound), start, np.array(stress), np.array(position))


def _smooth(track: np.ndarray, points: int) -> np.ndarray:
    """Filter (C, ...) along time with a Hann window of `points`, the ends held."""
    window = np.hanning(points + 2)[1:-1]
    window /= window.sum()
    half = points // 2
    padded = np.concatenate([np.repeat(track[:1], half, 0), track, np.repeat(track[-1:], half, 0)])
    return sum(weight * padded[i : i + len(track)] for i, weight in enumerate(window))


def _tracks(voice: Speaker, words: Text, draw: np.random.Generator, steps: int) -> dict[str, np.ndarray]:
    """Control tracks at 200 Hz, evaluated at the middle of each step."""
    times = (np.arange(steps) + 0.5) / CONTROL_RATE
    where = words.at(times)
    index = words.phoneme[where]
    strong = words.stress[where]

    # An "h" is the following vowel whispered.
    shape_index = words.phoneme.copy()
    for i in range(len(shape_index) - 2, -1, -1):
        if shape_index[i] == ph.H:
            shape_index[i] = shape_index[i + 1]
    formants = np.empty((steps, 5))
    formants[:, :3] = ph.FORMANTS[shape_index[where]]
    formants[:, 3:] = _UPPER_FORMANTS
    formants *= voice.scale

    voiced = ph.VOICE[index] * np.where(strong > 0, 1.35, 1.0)
    aspiration = np.where(index == ph.H, 0.22, 0.0)
    noise, centre, width = ph.NOISE[index].T.copy()

    release = words.start[:-1] + 0.62 * words.duration
    stop = ph.IS_STOP[index]
    after_release = times - release[where]
    burst = (after_release >= 0) & (after_release < 4 / CONTROL_RATE)
    noise[stop & ~burst] = 0.0
    aspiration[stop & (after_release >= 0) & (ph.VOICE[index] == 0)] = 0.12

    # Where nothing hisses the filter keeps its last place: a jump there would ring.
    last = np.maximum.accumulate(np.where(noise > 0, np.arange(steps), -1))
    first = int(np.argmax(noise > 0))
    last = np.where(last < 0, first, last)
    centre, width = centre[last], width[last]

    accent = _smooth(strong, 31)
    wobble = _smooth(draw.normal(size=steps), 81)
    wobble /= max(wobble.std(), 1e-9)
    log_f0 = 1.1 * accent - 0.6 * words.position[where] + 0.25 * wobble + 0.15
    voiced = _smooth(voiced, 5)
    return {
        "formants": _smooth(formants, 9),
        "voice": voiced,
        "aspiration": _smooth(aspiration, 3) + voice.breath * voiced,
        "noise": _smooth(noise, 3),
        "centre": centre,
        "width": width,
        "f0": voice.f0 * np.exp(voice.pitch_range * log_f0),
    }


@compiled
def _resonator(frequency, bandwidth, rate):
    """Coefficients of y = a x + b y1 + c y2, unit gain at 0 Hz."""
    radius = math.exp(-math.pi * bandwidth / rate)
    c = -radius * radius
    b = 2.0 * radius * math.cos(2.0 * math.pi * frequency / rate)
    return 1.0 - b - c, b, c


@compiled
def _uniform(state):
    """One step of Knuth's 64-bit LCG and its top 53 bits as a number in -1..1."""
    state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
    return state, 2.0 * (np.float64(state >> np.uint64(11)) / 9007199254740992.0) - 1.0


@compiled
def _synthesise(
    formants, bandwidths, voice, aspiration, noise, centre, width, f0, tilt, seed, samples, rate, step
):
    """Run the source through the filters, float64 (samples,); all tracks have one entry a control step."""
    steps = len(voice)
    poles = formants.shape[1]
    out = np.empty(samples)
    coefficient = np.empty((poles + 1, 3))
    memory = np.zeros((poles + 1, 2))
    state = np.uint64(seed)
    phase, period_factor = 0.0, 1.0
    last_pulse, low_passed = 0.0, 0.0
    v = asp = fric = pitch = 0.0
    for i in range(samples):
        if i % 16 == 0:
            place = min(max((i + 8.0) / step - 0.5, 0.0), steps - 1.0)
            left = min(int(place), steps - 2)
            t = place - left
            for k in range(poles):
                frequency = (1.0 - t) * formants[left, k] + t * formants[left + 1, k]
                a, b, c = _resonator(frequency, bandwidths[k], rate)
                coefficient[k, 0], coefficient[k, 1], coefficient[k, 2] = a, b, c
            nearest = min(int(place + 0.5), steps - 1)
            a, b, c = _resonator(centre[nearest], width[nearest], rate)
            coefficient[poles, 0], coefficient[poles, 1], coefficient[poles, 2] = a, b, c
            v = (1.0 - t) * voice[left] + t * voice[left + 1]
            asp = (1.0 - t) * aspiration[left] + t * aspiration[left + 1]
            fric = (1.0 - t) * noise[left] + t * noise[left + 1]
            pitch = (1.0 - t) * f0[left] + t * f0[left + 1]
        phase += pitch / rate * period_factor
        if phase >= 1.0:
            phase -= 1.0
            state, u = _uniform(state)
            period_factor = 1.0 + 0.02 * math.sqrt(3.0) * u
        if phase < 0.40:
            pulse = 0.5 * (1.0 - math.cos(math.pi * phase / 0.40))
        elif phase < 0.50:
            pulse = math.cos(0.5 * math.pi * (phase - 0.40) / 0.10)
        else:
            pulse = 0.0
        flow = 9.0 * (pulse - last_pulse)
        last_pulse = pulse
        low_passed += (1.0 - 0.35 * tilt) * (flow - low_passed)
        state, white = _uniform(state)
        if v > 0.05:
            hiss = white * (0.4 + 0.6 * pulse)
        else:
            hiss = white
        signal = v * low_passed + asp * hiss
        for k in range(poles):
            y = (
                coefficient[k, 0] * signal
                + coefficient[k, 1] * memory[k, 0]
                + coefficient[k, 2] * memory[k, 1]
            )
            memory[k, 1] = memory[k, 0]
            memory[k, 0] = y
            signal = y
        rasp = fric * hiss
        y = (
            coefficient[poles, 0] * rasp
            + coefficient[poles, 1] * memory[poles, 0]
            + coefficient[poles, 2] * memory[poles, 1]
        )
        memory[poles, 1] = memory[poles, 0]
        memory[poles, 0] = y
        out[i] = signal + 0.55 * y
    return out  # fmt: skip


def synthesise(
    voice: Speaker, words: Text, draw: np.random.Generator, num_frames: int
) -> tuple[np.ndarray, np.ndarray]:
    """Speak a text.

    Returns audio float32 (640 num_frames,) in -1..1 (of 16 bits) and F0 float32 (num_frames,) in Hz at the
    frames' centres, 0 where there is no voice.
    """
    samples = num_frames * SAMPLES_PER_FRAME
    steps = samples // _STEP
    tracks = _tracks(voice, words, draw, steps)
    seed = draw.integers(1, 2**63)
    sound = _synthesise(
        tracks["formants"],
        _BANDWIDTHS,
        tracks["voice"],
        tracks["aspiration"],
        tracks["noise"],
        tracks["centre"],
        tracks["width"],
        tracks["f0"],
        voice.tilt,
        np.uint64(seed),
        samples,
        float(SAMPLE_RATE),
        _STEP,
    )
    sound *= _LOUDNESS / max(float(np.sqrt(np.mean(sound**2))), 1e-6)
    sound = np.tanh(1.2 * sound) / 1.2 + _FLOOR * draw.normal(size=samples)
    sound = np.rint(sound * 32767).astype(np.float32) / np.float32(32767)  # 16 bits, as it is stored
    middle = np.arange(num_frames) * (CONTROL_RATE // FPS) + CONTROL_RATE // FPS // 2
    f0 = np.where(tracks["voice"][middle] > 0.05, tracks["f0"][middle], 0.0)
    return sound, f0.astype(np.float32)
