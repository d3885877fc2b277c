"""Head, brows, eyes: how a synthetic speaker moves; and all of a clip that is not a picture."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from talkbench.data.clip import FPS
from talkbench.data.synthetic import phonemes as ph
from talkbench.data.synthetic.speech import Speaker, Text, clip_stream, speaker, synthesise, text
from talkbench.data.synthetic.visemes import lips
from talkbench.geometry.head import EXPRESSION_NAMES

_BLINK = np.array([0.35, 0.9, 1.0, 0.75, 0.4, 0.12])
_GAZE_LIMIT = (0.6, 0.3)  # yaw, pitch; an iris that looks further up hides behind the lid


@dataclass(frozen=True)
class Controls:
    """A clip before it is drawn; all arrays have one entry a frame but the sound.

    Attributes:
        audio: float32 (640 T,) in -1..1, 16 kHz.
        expression: float32 (T, 33) in 0..1, order of `geometry.head.EXPRESSION_NAMES`.
        blink: float32 (T, 2) in 0..1, right and left eye (order of the mesh's eyes).
        gaze: float32 (T, 2) radians, yaw and pitch of the eyeballs against the head.
        pose: float32 (T, 5): yaw, pitch, roll in degrees, tx, ty in head units.
        phoneme: int8 (T,), index into `phonemes.PHONEMES` at the frame's centre.
        stress: float32 (T,), 1 in stressed syllables.
        f0: float32 (T,) Hz, 0 where there is no voice.
    """

    audio: np.ndarray
    expression: np.ndarray
    blink: np.ndarray
    gaze: np.ndarray
    pose: np.ndarray
    phoneme: np.ndarray
    stress: np.ndarray
    f0: np.ndarray


def drift(draw: np.random.Generator, num_frames: int, sigma: float, amplitude: float) -> np.ndarray:
    """Smooth noise (T,): white noise under a Gaussian of `sigma` seconds; mean 0, deviation `amplitude`.

    Short clips are cut from a piece of three seconds; scaled on its own, a piece of few frames would race.
    """
    frames = max(num_frames, 3 * FPS)
    margin = int(4 * sigma * FPS) + 1
    noise = gaussian_filter1d(draw.normal(size=frames + 2 * margin), sigma * FPS)[margin : margin + frames]
    noise -= noise.mean()
    return (amplitude / max(noise.std(), 1e-12) * noise)[:num_frames]


def head_motion(voice: Speaker, words: Text, draw: np.random.Generator, times: np.ndarray) -> np.ndarray:
    """Pose (T, 5) at `times` (seconds, one a frame): yaw, pitch, roll in degrees, tx, ty in head units."""
    count, slow = len(times), 0.55 / voice.speed
    yaw0, pitch0, roll0 = voice.rest
    yaw = yaw0 + drift(draw, count, slow, voice.yaw) + drift(draw, count, 0.16, 0.08 * voice.yaw)
    pitch = pitch0 + drift(draw, count, slow, voice.pitch) + drift(draw, count, 0.16, 0.10 * voice.pitch)
    roll = roll0 + drift(draw, count, 1.3, voice.roll)
    tx = drift(draw, count, 0.9, 0.05) + 0.004 * (yaw - yaw0)
    ty = drift(draw, count, 0.9, 0.03)
    for start, length in _stressed_vowels(words):
        nods, strength = draw.random() < 0.7, draw.uniform(0.3, 1)
        if nods:
            pitch += voice.nod * strength * np.exp(-(((times - start - 0.6 * length) / 0.11) ** 2))
    return np.stack([yaw, pitch, roll, tx, ty], 1)


def brows(voice: Speaker, words: Text, draw: np.random.Generator, times: np.ndarray) -> dict[str, np.ndarray]:
    """Weights of the five brow directions at `times` (seconds), by name."""
    count = len(times)
    lift = drift(draw, count, 0.5, 0.06)
    frown = np.clip(drift(draw, count, 0.7, 0.15) - 0.08, 0, 0.6)
    for start, length in _stressed_vowels(words):
        lifts, strength = draw.random() < 0.35, draw.uniform(0.4, 1)
        if lifts:
            lift = lift + voice.brow * strength * np.exp(-(((times - start - 0.4 * length) / 0.17) ** 2))
    weights = {
        "browInnerUp": 0.8 * lift,
        "browOuterUpLeft": 0.7 * lift * (1 + voice.asymmetry),
        "browOuterUpRight": 0.7 * lift * (1 - voice.asymmetry),
        "browDownLeft": frown,
        "browDownRight": frown,
    }
    return {name: np.clip(value, 0, 1) for name, value in weights.items()}


def blinks(voice: Speaker, draw: np.random.Generator, num_frames: int) -> np.ndarray:
    """Closed eyelids (T, 2) in 0..1, both eyes alike."""
    shut = np.zeros(num_frames + len(_BLINK))
    # The first blink falls anywhere in a gap, as if the clip were cut from a longer one.
    time = draw.random() * (0.5 + draw.gamma(2, voice.blink / 2))
    while (frame := int(time * FPS)) < num_frames:
        shut[frame : frame + len(_BLINK)] = np.maximum(shut[frame : frame + len(_BLINK)], _BLINK)
        time += 0.5 + draw.gamma(2, voice.blink / 2)
    return np.repeat(shut[:num_frames, None], 2, 1)


def gaze(voice: Speaker, draw: np.random.Generator, pose: np.ndarray) -> np.ndarray:
    """Eyeballs' yaw and pitch (T, 2) in radians against the head: fixations, held while the head turns."""
    count = len(pose)
    target = np.zeros((count, 2))
    time = 0.0
    while (frame := int(time * FPS)) < count:
        spread = 0.25 if draw.random() < 0.25 else 0.07
        target[frame:] = draw.normal(0, spread, 2)
        time += draw.uniform(0.5, 2.2)
    turn = np.radians(pose[:, :2] - np.array(voice.rest[:2]))
    return np.clip(target - 0.6 * turn, np.negative(_GAZE_LIMIT), _GAZE_LIMIT)


def _stressed_vowels(words: Text) -> list[tuple[float, float]]:
    chosen = (words.stress > 0) & ph.IS_VOWEL[words.phoneme]
    return list(zip(words.start[:-1][chosen], words.duration[chosen]))


def controls(identity: int, clip: int, num_frames: int) -> Controls:
    """Sound, lips, head and eyes of clip number `clip` of an identity; the same numbers give the same clip.

    Frame t is what happens at (t + .5) / 25 seconds. Sound and lips come from one text; head and brows only
    lean on its stresses and have draws of their own, so a sound foretells them in part, as in life.

    Raises:
        ValueError: for negative numbers or a clip of no frames.
    """
    if identity < 0 or clip < 0 or num_frames < 1:
        raise ValueError(
            f"identity {identity}, clip {clip}, {num_frames} frames: need identity, clip >= 0 and frames >= 1"
        )
    voice = speaker(identity)
    times = (np.arange(num_frames) + 0.5) / FPS
    words = text(voice, clip_stream(identity, clip, 0), num_frames / FPS)
    audio, f0 = synthesise(voice, words, clip_stream(identity, clip, 1), num_frames)
    pose = head_motion(voice, words, clip_stream(identity, clip, 2), times)
    face = clip_stream(identity, clip, 3)
    weights = lips(voice, words, times) | brows(voice, words, face, times)
    expression = np.zeros((num_frames, len(EXPRESSION_NAMES)), np.float32)
    for name, value in weights.items():
        expression[:, EXPRESSION_NAMES.index(name)] = value
    where = words.at(times)
    return Controls(
        audio=audio,
        expression=expression,
        blink=blinks(voice, face, num_frames).astype(np.float32),
        gaze=gaze(voice, face, pose).astype(np.float32),
        pose=pose.astype(np.float32),
        phoneme=words.phoneme[where].astype(np.int8),
        stress=words.stress[where].astype(np.float32),
        f0=f0,
    )
