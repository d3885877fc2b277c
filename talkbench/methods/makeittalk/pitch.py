"""Pitch trackers: `f(samples, lowest Hz, highest Hz) -> natural log of the pitch`, one number every 256 samples.

The published code uses RAPT (Talkin 1995) of the SPTK tools. It is not among the packages used here, so pYIN
(Mauch & Dixon 2014) is the default, a deviation: voicing decisions differ at the edges of voiced stretches.
"""

import importlib

import numpy as np

from talkbench.methods.makeittalk.audio import HOP, RATE, UNVOICED


class TrackerMissingError(ValueError):
    """A pitch tracker whose package is not installed."""


def pyin(samples: np.ndarray, lowest: float, highest: float) -> np.ndarray:
    """Log pitch (n // 256 + 1,), `UNVOICED` where there is none; 16 kHz samples."""
    import librosa  # slow to import

    hertz, voiced, _ = librosa.pyin(
        samples, fmin=lowest, fmax=highest, sr=RATE, frame_length=1024, hop_length=HOP, fill_na=0.0
    )
    return np.where(voiced & (hertz > 0), np.log(np.maximum(hertz, 1.0)), UNVOICED)


def rapt(samples: np.ndarray, lowest: float, highest: float) -> np.ndarray:
    """The published tracker, if the package pysptk is installed; see `pyin`.

    Raises:
        TrackerMissingError: it is not installed.
    """
    try:
        sptk = importlib.import_module("pysptk.sptk")
    except ImportError:
        raise TrackerMissingError(
            "the pitch tracker RAPT needs the package pysptk, which is not installed: install it or use pyin"
        ) from None
    return sptk.rapt(samples.astype(np.float32) * 32768, RATE, HOP, min=lowest, max=highest, otype=2)


def autocorrelation(samples: np.ndarray, lowest: float, highest: float) -> np.ndarray:
    """The quick tracker, for training on features made as they are read; see `pyin`.

    The first peak of the normalised autocorrelation that comes near its highest one; voiced above a half, where the
    frame is within 35 dB of the loudest.
    """
    size, shortest, longest = 1024, int(RATE / highest), int(np.ceil(RATE / lowest))
    padded = np.pad(np.asarray(samples, np.float64), size // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::HOP]
    frames = frames - frames.mean(1, keepdims=True)
    power = np.abs(np.fft.rfft(frames, 2 * size)) ** 2
    shared = np.fft.irfft(power)[:, : longest + 2]
    # The energies of the two stretches that a lag compares.
    sums = np.cumsum(np.square(frames), 1)
    lags = np.arange(longest + 2)
    head = sums[:, size - 1 - lags]
    tail = sums[:, -1:] - np.concatenate([np.zeros((len(sums), 1)), sums], 1)[:, lags]
    ratio = shared / np.maximum(np.sqrt(head * tail), 1e-12)
    middle = ratio[:, 1:-1]
    peak = (middle >= ratio[:, :-2]) & (middle >= ratio[:, 2:])
    inside = (lags[1:-1] >= shortest) & (lags[1:-1] <= longest)
    height = np.where(peak & inside, middle, 0.0)
    best = height.max(1)
    first = (height >= 0.9 * best[:, None]).argmax(1)
    loud = sums[:, -1] > sums[:, -1].max(initial=0) * 10 ** (-35 / 10)
    voiced = (best > 0.5) & loud & (sums[:, -1] > 0)
    return np.where(voiced, np.log(RATE / (first + 1)), UNVOICED)


TRACKERS = {"pyin": pyin, "rapt": rapt, "autocorrelation": autocorrelation}
