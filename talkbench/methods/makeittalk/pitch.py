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


TRACKERS = {"pyin": pyin, "rapt": rapt}
