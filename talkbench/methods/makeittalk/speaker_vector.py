"""Speaker vectors: the GE2E voice encoder (Wan et al. 2018) in Resemblyzer's form, and its own front end.

The front end differs from AutoVC's: power mel without logarithm, 100 frames/s, 40 bins.
"""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from scipy.ndimage import binary_dilation

from talkbench.methods.makeittalk.audio import mel_filters, spectrum
from talkbench.nn.conv import Linear
from talkbench.nn.recurrent import LSTM

RATE = 16_000
WINDOW, HOP, MELS = 400, 160, 40
PARTIAL = 160  # frames of a partial utterance: 1.6 s
PARTIALS_A_SECOND = 2.0  # MakeItTalk; the package's own default is 1.3
GAIN = 3.0  # the speaker branch sees three times the vector
MINUTE = 960_000  # samples of which MakeItTalk makes one vector
_VAD_WINDOW, _VAD_MEAN, _VAD_REACH = 480, 8, 7


class VoiceEncoder(nn.Module):
    """Power mel (B, T, 40) -> speaker vectors (B, features) of length 1, none negative.

    Attributes:
        logarithm: take the mel's logarithm first; averaged: take the mean of the LSTM's outputs, not the last one. Both
            learn much sooner; neither is published.
    """

    hidden: int = 256
    features: int = 256
    layers: int = 3
    logarithm: bool = False
    averaged: bool = False

    @nn.compact
    def __call__(self, mels: jax.Array) -> jax.Array:
        if self.logarithm:
            mels = jnp.log(jnp.maximum(mels, 1e-6)) / 4 + 1
        heard = LSTM(self.hidden, self.layers, name="lstm")(mels)
        raw = nn.relu(Linear(self.features, name="linear")(heard.mean(1) if self.averaged else heard[:, -1]))
        return raw / jnp.maximum(jnp.linalg.norm(raw, axis=1, keepdims=True), 1e-12)


def mean_voice(vectors: jax.Array) -> jax.Array:
    """A speaker's vector of those of several utterances: (..., N, E) -> (..., E) of length 1."""
    mean = vectors.mean(-2)
    return mean / jnp.maximum(jnp.linalg.norm(mean, axis=-1, keepdims=True), 1e-12)


def power_mel(samples: np.ndarray) -> np.ndarray:
    """(n,) float at 16 kHz -> (n // 160 + 1, 40) float32 power mel, no logarithm."""
    magnitude = spectrum(samples, WINDOW, HOP, padding="constant")
    return (np.square(magnitude) @ mel_filters(RATE, WINDOW, MELS).T).astype(np.float32)


def partial_slices(samples: int, rate: float = PARTIALS_A_SECOND, coverage: float = 0.75) -> np.ndarray:
    """Partial utterances of a recording of `samples`: int64 rows (mel start, stop, sample start, stop).

    Args:
        rate: partials a second.
        coverage: the last partial is dropped if less of it than this is sound, unless it is the only one.
    """
    frames = math.ceil((samples + 1) / HOP)
    step = round(RATE / rate / HOP)
    if not 0 < step <= PARTIAL:
        raise ValueError(f"{rate} partials a second: choose between 0.63 and 200")
    starts = np.arange(0, max(1, frames - PARTIAL + step + 1), step)
    covered = (samples - starts[-1] * HOP) / (PARTIAL * HOP)
    if covered < coverage and len(starts) > 1:
        starts = starts[:-1]
    stops = starts + PARTIAL
    return np.stack([starts, stops, starts * HOP, stops * HOP], 1)


def embed_utterance(
    encode: Callable, samples: np.ndarray, rate: float = PARTIALS_A_SECOND
) -> tuple[np.ndarray, np.ndarray]:
    """Speaker vector of one recording.

    Args:
        encode: power mel (N, 160, 40) -> vectors (N, E).
        samples: (n,) float at 16 kHz (`trim_silence` and `raise_volume` belong before this).

    Returns:
        The vector (E,) of length 1, and the partial ones (N, E).
    """
    slices = partial_slices(len(samples), rate)
    samples = np.pad(samples, (0, max(0, slices[-1, 3] - len(samples))))
    mel = power_mel(samples)
    partials = np.asarray(encode(np.stack([mel[start:stop] for start, stop in slices[:, :2]])))
    mean = partials.mean(0)
    return mean / np.linalg.norm(mean), partials


def speaker_vector(encode: Callable, samples: np.ndarray) -> np.ndarray:
    """What MakeItTalk calls the voice of a file: the mean over whole minutes of utterance vectors, (E,).

    The rest after the last whole minute is not heard, unless there is nothing else; the mean is not brought
    back to length 1.
    """
    minutes = max(1, len(samples) // MINUTE)
    pieces = [samples[i * MINUTE : (i + 1) * MINUTE] for i in range(minutes)]
    return np.mean([embed_utterance(encode, piece)[0] for piece in pieces], 0)


def raise_volume(samples: np.ndarray, target: float = -30.0) -> np.ndarray:
    """Samples scaled up to `target` dBFS (RMS of full scale 1); louder ones and silence stay as they are."""
    rms = np.sqrt(np.mean(np.square(samples)))
    change = target - 20 * np.log10(rms) if rms > 0 else 0.0
    return samples * 10 ** (change / 20) if change > 0 else samples


def loud_windows(windows: np.ndarray) -> np.ndarray:
    """Voice activity by energy alone, (N, 480) int16 -> bool (N,): within 35 dB of the loudest window.

    The published code asks WebRTC's detector in its strictest mode, which is not among the packages used
    here.
    """
    energy = np.sqrt(np.mean(np.square(windows.astype(np.float64)), 1))
    return energy > max(energy.max(initial=0.0) * 10 ** (-35 / 20), 1.0)


def trim_silence(
    samples: np.ndarray, is_speech: Callable[[np.ndarray], np.ndarray] = loud_windows
) -> np.ndarray:
    """(n,) float at 16 kHz without its longer silences; a tail that fills no 30 ms window is cut.

    Args:
        is_speech: windows int16 (N, 480) -> bool (N,).
    """
    samples = samples[: len(samples) // _VAD_WINDOW * _VAD_WINDOW]
    windows = np.round(samples * 32767).astype(np.int16).reshape(-1, _VAD_WINDOW)
    flags = np.asarray(is_speech(windows), np.float64)
    padded = np.concatenate([np.zeros((_VAD_MEAN - 1) // 2), flags, np.zeros(_VAD_MEAN // 2)])
    sums = np.cumsum(padded)
    sums[_VAD_MEAN:] = sums[_VAD_MEAN:] - sums[:-_VAD_MEAN]
    mean = np.round(sums[_VAD_MEAN - 1 :] / _VAD_MEAN).astype(bool)
    kept = binary_dilation(mean, np.ones(_VAD_REACH))
    return samples[np.repeat(kept, _VAD_WINDOW)]
