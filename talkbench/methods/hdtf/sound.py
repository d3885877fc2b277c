"""G_ani's audio features: 13 MFCC, the pitch and whether there is one, 100 times a second. numpy and scipy only.

The authors' extractor is unpublished; MFCC as their later work has them, and a pitch tracker of our own.
"""

import numpy as np
from scipy.fft import irfft, rfft

from talkbench.data.clip import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME
from talkbench.data.mfcc import HOP, WINDOW, mfcc

RATE = SAMPLE_RATE // HOP  # frames a second
PER_FRAME = RATE // FPS  # in a video frame
FEATURES = 15
_PITCH_WINDOW, _FFT = 640, 1024
_LOWEST, _HIGHEST = 60, 450  # Hz
_VOICED = 0.5  # of the normalised autocorrelation
_OCTAVE_COST = 0.02
_FAINT = 1e-3  # of the loudest frame's energy


def pitch(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fundamental frequency by the autocorrelation under a Hann window, divided by the window's own (Boersma 1993).

    Args:
        samples: (n,) at 16 kHz.

    Returns:
        hertz (m,), the best guess everywhere, and voiced (m,) bool; frame k is around sample 160 k + 200, m = n // 160.
    """
    count = len(samples) // HOP
    before = _PITCH_WINDOW // 2 - WINDOW // 2
    padded = np.pad(np.asarray(samples, np.float64), (before, _PITCH_WINDOW))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _PITCH_WINDOW)[::HOP][:count]
    window = np.hanning(_PITCH_WINDOW)
    frames = (frames - frames.mean(1, keepdims=True)) * window
    own = lambda x: irfft(np.abs(rfft(x, _FFT)) ** 2, _FFT)[..., : _PITCH_WINDOW // 2]  # noqa: E731
    correlation, reach = own(frames), own(window)
    energy = correlation[:, 0]
    lags = np.arange(SAMPLE_RATE // _HIGHEST, SAMPLE_RATE // _LOWEST)
    normal = correlation[:, lags] / np.maximum(energy, 1e-12)[:, None] / (reach[lags] / reach[0])
    # Multiples of the period fit as well as it does: short lags are favoured a little.
    best = np.argmax(normal - _OCTAVE_COST * np.log2(lags), 1)
    voiced = (normal[np.arange(count), best] > _VOICED) & (energy > _FAINT * max(energy.max(initial=0), 1e-9))
    return SAMPLE_RATE / lags[best], voiced


def features(samples: np.ndarray) -> np.ndarray:
    """Sound of whole video frames (640 T,) in [-1, 1] -> float32 (4 T, 15): MFCC, Hz (interpolated where unvoiced), voiced.

    Not yet brought to mean 0 and deviation 1. Loudness doesn't count: the sound is divided by its peak first.
    """
    samples = np.asarray(samples, np.float64)
    samples = samples - samples.mean()
    samples = samples / max(np.abs(samples).max(), 1e-4)
    cepstra = mfcc(np.pad(samples, (0, HOP)), full_scale=1.0)
    hertz, voiced = pitch(samples)
    known, frames = np.flatnonzero(voiced), np.arange(len(hertz))
    line = np.interp(frames, known, hertz[known]) if len(known) else np.zeros(len(hertz))
    return np.concatenate([cepstra[: len(hertz)], line[:, None], voiced[:, None]], 1).astype(np.float32)


def _times(num_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Middles, in seconds, of the video frames and of the features' windows."""
    video = (np.arange(num_frames) + 0.5) * (SAMPLES_PER_FRAME / SAMPLE_RATE)
    return video, (np.arange(PER_FRAME * num_frames) * HOP + WINDOW / 2) / SAMPLE_RATE


def _resample(values: np.ndarray, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    return np.stack([np.interp(new, old, column) for column in values.T], 1).astype(np.float32)


def to_feature_rate(values: np.ndarray) -> np.ndarray:
    """Parameters of video frames (T, P) -> (4 T, P), linearly interpolated, ends held."""
    video, heard = _times(len(values))
    return _resample(values, video, heard)


def to_video_rate(values: np.ndarray) -> np.ndarray:
    """The way back: (4 T, P) -> (T, P)."""
    video, heard = _times(len(values) // PER_FRAME)
    return _resample(values, heard, video)
