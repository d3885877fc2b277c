"""MFCC features as SyncNet's published front end computes them (python_speech_features with its defaults)."""

from functools import cache

import numpy as np
from scipy import fft

WINDOW, HOP, FFT = 400, 160, 512  # samples at 16 kHz: 25 ms, 10 ms
FILTERS, CEPSTRA, LIFTER = 26, 13, 22
PRE_EMPHASIS = 0.97


@cache
def mel_filters(rate: int = 16_000) -> np.ndarray:
    """Triangular mel filters, float64 (26, 257), 0 Hz to rate / 2; band edges rounded down to FFT bins."""
    top = 2595 * np.log10(1 + rate / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, FILTERS + 2) / 2595) - 1)
    edges = np.floor((FFT + 1) * hertz / rate)
    bins = np.arange(FFT // 2 + 1)
    filters = np.zeros((FILTERS, len(bins)))
    for j, (low, middle, high) in enumerate(zip(edges, edges[1:], edges[2:])):
        up, down = (bins >= low) & (bins < middle), (bins >= middle) & (bins < high)
        filters[j, up] = (bins[up] - low) / (middle - low)
        filters[j, down] = (high - bins[down]) / (high - middle)
    return filters


def mfcc(samples: np.ndarray, full_scale: float | None = None) -> np.ndarray:
    """13 cepstral coefficients every 10 ms; float64 (1 + ceil((n - 400) / 160), 13).

    Args:
        samples: (n,) int16 mono at 16 kHz, or float in [-1, 1], which is first brought to 16 bit (rounded,
            clipped): SyncNet was trained on unscaled 16-bit samples and the log energy depends on the scale.
        full_scale: take float samples as they are, times this.

    The window is rectangular, the last frame padded with zeros; coefficient 0 is the frame's log energy.
    """
    samples = np.asarray(samples)
    if samples.ndim != 1 or len(samples) == 0:
        raise ValueError(f"audio {samples.shape}: MFCC need a mono signal (n,) with n > 0")
    if full_scale is not None:
        samples = samples * full_scale
    elif samples.dtype.kind == "f":
        samples = np.clip(np.round(samples.astype(np.float64) * 32768), -32768, 32767)
    signal = samples.astype(np.float64)
    signal = np.append(signal[0], signal[1:] - PRE_EMPHASIS * signal[:-1])
    count = 1 + max(0, -(-(len(signal) - WINDOW) // HOP))
    signal = np.pad(signal, (0, max(0, (count - 1) * HOP + WINDOW - len(signal))))
    frames = np.lib.stride_tricks.sliding_window_view(signal, WINDOW)[::HOP][:count]
    power = np.abs(np.fft.rfft(frames, FFT)) ** 2 / FFT
    tiny = np.finfo(float).eps
    energy, bands = power.sum(1), power @ mel_filters().T
    bands[bands == 0] = tiny
    cepstra = fft.dct(np.log(bands), type=2, axis=1, norm="ortho")[:, :CEPSTRA]
    cepstra *= 1 + LIFTER / 2 * np.sin(np.pi * np.arange(CEPSTRA) / LIFTER)
    cepstra[:, 0] = np.log(np.where(energy == 0, tiny, energy))
    return cepstra
