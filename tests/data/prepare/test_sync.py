"""Flash and click: what was together in a file of any frame rate is together in its record."""

from fractions import Fraction

import av
import numpy as np
import pytest
from prepare_videos import SIDE, face_points, pictures

from talkbench.data.media import read_video
from talkbench.data.prepare.settings import Settings
from talkbench.data.prepare.trees import read
from talkbench.data.prepare.work import work
from talkbench.data.prepare.workplace import Workplace
from talkbench.data.store import decode_frame

RATE = 44_100
SETTINGS = Settings(size=32, min_frames=8, max_frames=100_000, cut_threshold=255)  # the stripes jump


def times_of(rate, seconds: float) -> np.ndarray:
    """Time stamps of frames: at a constant rate, or thirtieths of which some are left out, but none around an event."""
    if rate != "vfr":
        return np.arange(int(seconds * rate)) / float(rate)
    times = np.arange(int(seconds * 30)) / 30
    far = np.abs(times % 1 - 0.5) > 0.2
    left_out = far & (np.arange(len(times)) % 2 == 1) & (np.random.default_rng(5).random(len(times)) < 0.7)
    return times[~left_out]


def write_events(path, times: np.ndarray, events: np.ndarray, seconds: float) -> None:
    """A white patch for 140 ms around each event and a click of 1 ms, its middle at it, over drifting stripes and a hum."""
    base = Fraction(1, 90_000)
    frames = pictures(50) // 2
    sound = 0.05 * np.sin(np.arange(int(seconds * RATE)) * 0.03)
    for event in events:
        middle = round(event * RATE)
        sound[middle - 22 : middle + 23] = 0.9
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=30, options={"preset": "ultrafast", "crf": "16"})
        video.width = video.height = SIDE
        video.pix_fmt = "yuv420p"
        video.codec_context.time_base = base
        track = container.add_stream("aac", rate=RATE, layout="mono")
        for number, time in enumerate(times):
            picture = frames[number % len(frames)].copy()
            if np.abs(events - time).min() <= 0.07:
                picture[:16, :16] = 255
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(time / base), base
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for start in range(0, len(sound), 1024):
            part = sound[start : start + 1024].astype(np.float32)[None]
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
            container.mux(track.encode(frame))
        container.mux(track.encode(None))


@pytest.mark.parametrize(
    "rate, seconds",
    [(24, 4), (25, 4), (Fraction(30_000, 1001), 60), (30, 4), (50, 4), (60, 4), ("vfr", 8)],
)
def test_flash_and_click_stay_together(tmp_path, rate, seconds):
    wanted, times = np.arange(0.5, seconds - 0.3, 1.0 if seconds < 10 else 5.0), times_of(rate, seconds)
    events = times[
        np.abs(times[:, None] - wanted).argmin(0)
    ]  # of a frame, or the flash would be off in the file already
    path = tmp_path / "raw" / "clip.mp4"
    path.parent.mkdir()
    write_events(path, times, events, seconds)
    count = len(read_video(path, 16).frames)
    assert abs(count - 25 * seconds) <= 2
    np.savez(path.with_name("clip.landmarks.npz"), landmarks=face_points(count))
    (unit,) = read("folder", path.parent).units
    place = Workplace(tmp_path / "work")
    row = work(unit, SETTINGS, place)
    assert row["verdict"] == "accepted", row["detail"]
    clip, meta = place.clip(row["key"], 0)
    assert clip.num_frames == count and ("vfr" in meta["flags"]) == (rate == "vfr")
    patch = np.array([decode_frame(data)[:6, :6].mean() for data in clip.frames])
    late = []
    for event in events:
        near = np.flatnonzero(np.abs(np.arange(count) / 25 - event) < 0.3)
        white = near[patch[near] > 200]
        samples = slice(int((event - 0.3) * 16_000), int((event + 0.3) * 16_000))
        loud = np.square(clip.audio[samples] * (np.abs(clip.audio[samples]) > 0.3))
        click = (
            samples.start + (loud * np.arange(len(loud))).sum() / loud.sum()
        ) / 16_000  # its centre of gravity
        assert abs(click - event) < 0.0005 and len(white) in (3, 4)
        late.append(white.mean() / 25 - click)
    assert np.abs(late).max() <= 0.020  # half of the grid of 25 frames/s
    assert abs(late[-1] - late[0]) <= 0.041  # of one frame's grid: no drift
