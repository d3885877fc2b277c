"""Pictures of a clip for the eye: a contact sheet with landmarks and sound, and a video with landmarks."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from talkbench.data.clip import FPS, SAMPLE_RATE, Clip
from talkbench.data.media import write_video

# iBUG's 68 points as lines: (first, last, closed)
_LINES = (
    (0, 16, False),
    (17, 21, False),
    (22, 26, False),
    (27, 30, False),
    (31, 35, False),
    (36, 41, True),
    (42, 47, True),
    (48, 59, True),
    (60, 67, True),
)
_GREEN, _RED, _WHITE, _GREY = (80, 255, 120), (255, 70, 60), (235, 235, 235), (40, 40, 44)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SUBPIXEL = 4  # bits


def draw_landmarks(image: np.ndarray, landmarks: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """A copy of uint8 (H, W, 3) with (68, 2 or 3) points drawn on it, multiplied by `scale` first."""
    image = image.copy()
    # points count from the left edge of pixel 0, OpenCV from its centre
    points = np.rint((landmarks[:, :2] * scale - 0.5) * (1 << _SUBPIXEL)).astype(np.int32)
    for first, last, closed in _LINES:
        cv2.polylines(image, [points[first : last + 1]], closed, _GREEN, 1, cv2.LINE_AA, _SUBPIXEL)
    for point in points:
        cv2.circle(image, tuple(int(v) for v in point), 1 << _SUBPIXEL, _RED, -1, cv2.LINE_AA, _SUBPIXEL)
    return image


def _tile(clip: Clip, index: int, side: int) -> np.ndarray:
    frame = clip.frames[index]
    scale = side / frame.shape[1]
    height = round(frame.shape[0] * scale)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    tile = cv2.resize(frame, (side, height), interpolation=interpolation)
    if clip.landmarks is not None:
        tile = draw_landmarks(tile, clip.landmarks[index], scale)
    cv2.putText(tile, str(index), (4, height - 5), _FONT, 0.4, _WHITE, 1, cv2.LINE_AA)
    return tile


def _strip(height: int, width: int, label: str) -> np.ndarray:
    strip = np.full((height, width, 3), _GREY, np.uint8)
    cv2.putText(strip, label, (4, 12), _FONT, 0.4, _WHITE, 1, cv2.LINE_AA)
    return strip


def _curve(strip: np.ndarray, values: np.ndarray, low: float, high: float) -> None:
    height, width = strip.shape[:2]
    x = (np.arange(len(values)) + 0.5) / len(values) * width
    y = (height - 3) - (values - low) / max(high - low, 1e-9) * (height - 6)
    cv2.polylines(strip, [np.rint(np.stack([x, y], -1)).astype(np.int32)], False, _GREEN, 1, cv2.LINE_AA)


def _waveform(audio: np.ndarray, height: int, width: int) -> np.ndarray:
    strip = _strip(height, width, "sound")
    for column, part in enumerate(np.array_split(audio, width)):
        if len(part):
            top, bottom = (round(height / 2 * (1 - float(v))) for v in (part.max(), part.min()))
            cv2.line(strip, (column, top), (column, bottom), _GREEN)
    return strip


def log_mel(audio: np.ndarray, bands: int = 80) -> np.ndarray:
    """float32 (bands, frames) in dB below the loudest, -80..0, every 5 ms: for the eye, not for a network."""
    window, size, hop = 512, 2048, SAMPLE_RATE // 200  # padded, so that every low band has a bin
    padded = np.pad(audio, (window // 2, window // 2))
    windows = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop] * np.hanning(window)
    power = np.abs(np.fft.rfft(windows, size)) ** 2
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + SAMPLE_RATE / 1400), bands + 2) / 2595) - 1)
    bins = np.arange(power.shape[1]) * SAMPLE_RATE / size
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    energy = power @ np.maximum(np.minimum(rising, falling), 0).T
    decibels = 10 * np.log10(np.maximum(energy, 1e-10))
    return np.clip(decibels - decibels.max(), -80, 0).T.astype(np.float32)


def _mel_strip(audio: np.ndarray, height: int, width: int) -> np.ndarray:
    grey = np.rint((log_mel(audio) + 80) * (255 / 80)).astype(np.uint8)[::-1]
    coloured = cv2.applyColorMap(cv2.resize(grey, (width, height)), cv2.COLORMAP_MAGMA)
    strip = cv2.cvtColor(coloured, cv2.COLOR_BGR2RGB)
    cv2.putText(strip, "mel", (4, 12), _FONT, 0.4, _WHITE, 1, cv2.LINE_AA)
    return strip


def _phoneme_strip(phonemes: np.ndarray, names: Sequence[str] | None, height: int, width: int) -> np.ndarray:
    strip = np.full((height, width, 3), _GREY, np.uint8)
    starts = np.flatnonzero(np.diff(phonemes, prepend=phonemes[0] - 1))
    ends = np.append(starts[1:], len(phonemes))
    for number, (start, end) in enumerate(zip(starts, ends)):
        left, right = (round(frame / len(phonemes) * width) for frame in (start, end))
        if number % 2:
            strip[:, left:right] = np.array(_GREY) + 25
        code = int(phonemes[start])
        text = names[code] if names is not None and 0 <= code < len(names) else str(code)
        cv2.putText(strip, text, (left + 2, height - 6), _FONT, 0.35, _WHITE, 1, cv2.LINE_AA)
    return strip


def _lip_strip(landmarks: np.ndarray, height: int, width: int) -> np.ndarray:
    strip = _strip(height, width, "inner lip gap")
    gap = np.linalg.norm(landmarks[:, 62, :2] - landmarks[:, 66, :2], axis=-1)
    _curve(strip, gap, 0, float(gap.max()))
    return strip


def contact_sheet(
    clip: Clip,
    *,
    columns: int = 8,
    rows: int = 2,
    tile: int = 144,
    phoneme_names: Sequence[str] | None = None,
) -> np.ndarray:
    """A clip on one picture: frames spread over its length, with landmarks, and below them, on one time axis,
    sound, mel spectrogram, phonemes and lip gap, as far as the clip has them.

    Args:
        clip: what to show.
        columns, rows: of frames (fewer if the clip is shorter).
        tile: width of a frame in pixels.
        phoneme_names: names of the codes in `labels["phoneme"]`.

    Returns:
        uint8 (H, W, 3) RGB.
    """
    shown = np.unique(
        np.linspace(0, clip.num_frames - 1, min(columns * rows, clip.num_frames)).round().astype(int)
    )
    tiles = [_tile(clip, int(index), tile) for index in shown]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    width = columns * tile
    grid = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    seconds = clip.num_frames / FPS
    size = f"{clip.frames.shape[2]}x{clip.frames.shape[1]}"
    title = f"{clip.clip_id}   {clip.identity}   {size}   {clip.num_frames} frames   {seconds:.2f} s"
    if clip.landmark_source:
        title += f"   landmarks: {clip.landmark_source}"
    parts = [_strip(20, width, title), *grid]
    if clip.audio.any():
        parts += [_waveform(clip.audio, 60, width), _mel_strip(clip.audio, 120, width)]
    else:
        parts.append(_strip(20, width, "no sound"))
    if "phoneme" in clip.labels:
        parts.append(_phoneme_strip(clip.labels["phoneme"].astype(int), phoneme_names, 22, width))
    if clip.landmarks is not None:
        parts.append(_lip_strip(clip.landmarks, 60, width))
    return np.vstack(parts)


def write_clip_video(path: str | Path, clip: Clip, *, landmarks: bool = True, least_width: int = 256) -> None:
    """The clip as a video with sound, enlarged by a whole factor to `least_width`, its landmarks drawn on it.

    MediaError if it can't be written.
    """
    factor = max(1, -(-least_width // clip.frames.shape[2]))

    def drawn():
        for index, frame in enumerate(clip.frames):
            image = (
                cv2.resize(frame, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
                if factor > 1
                else frame
            )
            if landmarks and clip.landmarks is not None:
                image = draw_landmarks(image, clip.landmarks[index], factor)
            yield image

    write_video(path, drawn(), clip.audio if clip.audio.any() else None)
