"""Sound as MakeItTalk's AutoVC hears it: loudness, high-pass, normalised mel, one-hot pitch, windows.

All at 16 kHz with a hop of 256 samples: 62.5 frames/s. numpy only on the way, so that features may be made in
loader workers.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
from scipy.signal import butter, filtfilt, get_window

RATE, HOP, FFT, MELS = 16_000, 256, 1024, 80
FRAMES_A_SECOND = RATE / HOP
WINDOW = 18  # frames that the landmark networks see: this one and 17 ahead
PITCHES = 257
UNVOICED = -1e10  # log pitch of a frame without one
PITCH_RANGES = {"F": (100.0, 600.0), "M": (50.0, 250.0)}  # Hz; the demo uses F for every voice
_LOW, _HIGH = 90.0, 7600.0
_LOUDNESS = -20.0  # dBFS


def normalize_loudness(pcm: np.ndarray, target: float = _LOUDNESS) -> tuple[np.ndarray, int, float]:
    """int16 samples brought to `target` dBFS by an integer RMS, as pydub does.

    Returns:
        int16 samples, the RMS before (rounded down), its level in dBFS. Silence stays as it is (-inf dBFS).
    """
    if pcm.dtype != np.int16:
        raise ValueError(f"loudness is set on 16-bit samples, these are {pcm.dtype}: round to int16 first")
    rms = int(np.sqrt(np.mean(np.square(pcm.astype(np.float64)))))
    if rms == 0:
        return pcm, 0, -np.inf
    level = 20 * np.log10(rms / 32768)
    gain = 10 ** ((target - level) / 20)
    return np.clip(np.floor(pcm * gain), -32768, 32767).astype(np.int16), rms, float(level)


def high_pass() -> tuple[np.ndarray, np.ndarray]:
    """Coefficients b, a of the Butterworth filter of order 5 at 30 Hz."""
    return butter(5, 30 / (RATE / 2), btype="high")


def filtered(samples: np.ndarray) -> np.ndarray:
    """(n,) float64 without what is below 30 Hz, without delay."""
    return filtfilt(*high_pass(), samples)


def spectrum(samples: np.ndarray, window: int = FFT, hop: int = HOP, padding: str = "reflect") -> np.ndarray:
    """Magnitudes of centred frames under a periodic Hann window, (n // hop + 1, window // 2 + 1).

    Args:
        padding: numpy's name of what lies before and after the sound.
    """
    if len(samples) <= window // 2:
        raise ValueError(f"{len(samples)} samples of sound: at least {window // 2 + 1} are needed")
    padded = np.pad(samples, window // 2, mode=padding)
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    return np.abs(np.fft.rfft(frames * get_window("hann", window), axis=1))


@cache
def mel_filters(rate: int, window: int, bins: int, low: float = 0.0, high: float | None = None) -> np.ndarray:
    """Slaney's mel filters, each of area 1: float32 (bins, window // 2 + 1). Do not change in place."""
    from librosa.filters import mel  # slow to import

    return mel(sr=rate, n_fft=window, n_mels=bins, fmin=low, fmax=high)


def autovc_filters() -> np.ndarray:
    """AutoVC's filters, 90 to 7600 Hz: (80, 513)."""
    return mel_filters(RATE, FFT, MELS, _LOW, _HIGH)


def dither(count: int) -> np.ndarray:
    """The noise that is added to every recording, the same for all: within half a millionth."""
    return (np.random.RandomState(0).rand(count) - 0.5) * 1e-6


def conditioned(pcm: np.ndarray, gain: float = 0.95) -> np.ndarray:
    """int16 samples at their final loudness -> float64 (n or n + 1,): high-passed, scaled, dithered."""
    samples = pcm.astype(np.float64) / 32768
    if len(samples) % HOP == 0:
        samples = np.append(samples, 1e-6)
    return filtered(samples) * gain + dither(len(samples))


def normalized_mel(samples: np.ndarray) -> np.ndarray:
    """Conditioned samples -> float32 (frames, 80): 0 is -84 dB, 1 is +16 dB; not clipped."""
    mel = spectrum(samples) @ autovc_filters().T
    return ((20 * np.log10(np.maximum(1e-5, mel)) - 16 + 100) / 100).astype(np.float32)


def normalized_pitch(log_pitch: np.ndarray) -> np.ndarray:
    """Natural log of the pitch (T,), `UNVOICED` where there is none -> 0..1 by the clip's own mean and spread.

    Four standard deviations of the voiced frames reach from the middle to either end; unvoiced frames are -1.
    """
    log_pitch = np.asarray(log_pitch, np.float64)
    voiced = log_pitch > UNVOICED / 2
    made = np.full(log_pitch.shape, -1.0)
    if voiced.any():
        values = log_pitch[voiced]
        spread = values.std() or 1.0
        made[voiced] = (np.clip((values - values.mean()) / 4 / spread, -1, 1) + 1) / 2
    return made


def pitch_bins(normalized: np.ndarray) -> np.ndarray:
    """Normalised pitch (T,) -> int64 bins: 0 unvoiced, else 1..256."""
    return np.where(normalized < 0, 0, 1 + np.rint(255 * np.maximum(normalized, 0))).astype(np.int64)


def one_hot_pitch(bins: np.ndarray) -> np.ndarray:
    """Bins (T,) -> float32 (T, 257)."""
    return np.eye(PITCHES, dtype=np.float32)[bins]


def autovc_features(
    pcm: np.ndarray, track: Callable[[np.ndarray, float, float], np.ndarray], voice: str = "F"
) -> tuple[np.ndarray, np.ndarray]:
    """What AutoVC reads of a recording.

    Args:
        pcm: int16 samples at 16 kHz and -20 dBFS (`normalize_loudness`).
        track: pitch tracker, `f(samples, lowest, highest) -> log pitch` (`pitch`).
        voice: "F" or "M", the tracker's range (`PITCH_RANGES`).

    Returns:
        Mel (frames, 80) float32; normalised pitch (frames,), -1 where there is none.
    """
    samples = conditioned(pcm)
    mel = normalized_mel(samples)
    log_pitch = track(samples, *PITCH_RANGES[voice])
    if len(log_pitch) != len(mel):
        raise ValueError(f"the pitch tracker gave {len(log_pitch)} frames for {len(mel)} of mel")
    return mel, normalized_pitch(log_pitch)


def windows(mel: np.ndarray, mean: np.ndarray, std: np.ndarray, length: int = WINDOW) -> np.ndarray:
    """Converted mel (T, C) -> what the landmark networks see, float32 (T - length, length, C).

    Frame t looks ahead to t + length - 1. One window fewer than would fit is made, as in the published code.
    """
    if len(mel) <= length:
        raise ValueError(f"{len(mel)} frames of sound: at least {length + 1} are needed")
    normal = (mel - mean) / std
    view = np.lib.stride_tricks.sliding_window_view(normal, length, 0)[:-1]
    return np.ascontiguousarray(np.moveaxis(view, -1, 1), np.float32)
