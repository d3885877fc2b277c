"""The mel spectrogram of PC-AVS and the windows of it that belong to video frames. numpy only."""

from functools import cache

import numpy as np

RATE, SAMPLES_PER_FRAME = 16_000, 640
WINDOW, HOP, BANDS = 1280, 160, 80
LOW, HIGH = 125.0, 7600.0
ROWS = 20  # of a window: 0.2 s
ROWS_PER_FRAME = 4
LEAD = 2  # frames by which a window starts before its video frame
LOUDNESS = 0.1  # root mean square of a normalised sound


def _to_mel(hertz):
    """Slaney's scale: linear to 1 kHz, logarithmic above."""
    hertz = np.asarray(hertz, np.float64)
    return np.where(
        hertz < 1000, hertz * 3 / 200, 15 + 27 / np.log(6.4) * np.log(np.maximum(hertz, 1) / 1000)
    )


def _to_hertz(mel):
    mel = np.asarray(mel, np.float64)
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))


@cache
def filters() -> np.ndarray:
    """Triangles of equal area between 125 and 7600 Hz, float32 (80, 641)."""
    edges = _to_hertz(np.linspace(_to_mel(LOW), _to_mel(HIGH), BANDS + 2))
    bins = np.arange(WINDOW // 2 + 1) * (RATE / WINDOW)
    up = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    down = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    triangles = np.maximum(0, np.minimum(up, down))
    return (triangles * (2 / (edges[2:] - edges[:-2]))[:, None]).astype(np.float32)


def loudness(audio: np.ndarray) -> float:
    """Root mean square of a sound, float64."""
    return float(np.sqrt(np.mean(np.square(audio, dtype=np.float64)))) if len(audio) else 0.0


def normalize(audio: np.ndarray, rms: float | None = None) -> np.ndarray:
    """A sound at the loudness that the networks know; silence stays silence.

    Args:
        audio: float (N,). rms: of the whole sound that `audio` is a part of; None: its own.
    """
    rms = loudness(audio) if rms is None else rms
    return (audio * (LOUDNESS / max(1e-4, rms))).astype(np.float32)


def magnitudes(audio: np.ndarray) -> np.ndarray:
    """|FFT| of frames of 1280 samples every 160, float64 (N / 160 + 7, 641) for (N,) samples; N is filled up to 160.

    Row k covers samples 160 k - 1120 to 160 k + 159; there is silence before and after. Root-Hann window.
    """
    count = -(-(len(audio) + WINDOW - HOP) // HOP)
    padded = np.zeros((count - 1) * HOP + WINDOW)
    padded[WINDOW - HOP : WINDOW - HOP + len(audio)] = audio
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    shape = 0.5 * np.sin(np.pi * (2 * np.arange(WINDOW) + 1) / (2 * WINDOW))
    return np.abs(np.fft.rfft(frames * shape))


def levels(magnitude: np.ndarray) -> np.ndarray:
    """Magnitudes (F, 641) -> mel levels (F, 80) float32 in [0, 1]: -100 dB is 0, 0 dB is 1."""
    # Not a matrix product: BLAS threads that wait for busy cores made a window cost a tenth of a second.
    heard = np.einsum("fk,bk->fb", magnitude, filters(), dtype=np.float64)
    decibel = 20 * np.log10(np.maximum(1e-5, heard)) - 20
    return np.clip((decibel + 100) / 100, 0, 1).astype(np.float32)


def mel(audio: np.ndarray) -> np.ndarray:
    """The published spectrogram of a whole sound (N,): float32 (N / 160 + 7, 80)."""
    return levels(magnitudes(normalize(audio)))


def published_windows(spectrogram: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the published code feeds: only frames whose window lies inside the spectrogram.

    Returns:
        frames (n,), first rows (n,), windows (n, 80, 20).
    """
    frames = np.arange(LEAD, len(spectrogram) // ROWS_PER_FRAME - 2)
    starts = ROWS_PER_FRAME * (frames - LEAD)
    return frames, starts, _cut(spectrogram, starts)


def windows(audio: np.ndarray) -> np.ndarray:
    """The window of every video frame of a sound: float32 (T, 80, 20), T = N // 640.

    Window i is the one that the published code gives to frame i; the first two and the last ones, which it leaves
    out, reach into silence. So frame i of what is generated belongs to frame i of the sound.
    """
    count = len(audio) // SAMPLES_PER_FRAME
    lead, tail = LEAD * SAMPLES_PER_FRAME, SAMPLES_PER_FRAME
    sound = np.pad(normalize(audio), (lead, tail))
    return _cut(levels(magnitudes(sound)), ROWS_PER_FRAME * np.arange(count))


def windows_of_frames(read, frames: np.ndarray, rms: float) -> np.ndarray:
    """`windows(whole sound)[frames]` without reading more than they need: float32 (n, 80, 20).

    Args:
        read: `f(start, stop) -> samples`, zeros outside the sound.
        frames: (n,), ascending by 1.
        rms: `loudness` of the whole sound.
    """
    first, last = int(frames[0]), int(frames[-1])
    before = WINDOW - HOP
    start = (first - LEAD) * SAMPLES_PER_FRAME - before
    stop = (last - LEAD) * SAMPLES_PER_FRAME + ROWS * HOP
    rows = levels(magnitudes(normalize(read(start, stop), rms)))
    skip = before // HOP  # rows that reach before `start`
    return _cut(rows, skip + ROWS_PER_FRAME * (np.asarray(frames) - first))


def _cut(spectrogram: np.ndarray, starts: np.ndarray) -> np.ndarray:
    return spectrogram[starts[:, None] + np.arange(ROWS)].transpose(0, 2, 1)
