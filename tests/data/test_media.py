"""Reading and writing media: time base, sound, faults. Made files here, real ones when they are there."""

import os
import pickle
import subprocess
import sys
import textwrap
import wave
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from talkbench.data.media import (
    MediaError,
    VideoReader,
    read_audio,
    read_image,
    read_video,
    resize_square,
    whole_frames,
    write_audio,
    write_image,
    write_video,
)


def moving_frames(count: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A smooth picture that drifts, so that every frame differs from its neighbours."""
    y, x = np.mgrid[:height, :width]
    frames = [
        np.stack([128 + 100 * np.sin((x + 3 * t) / 9), 128 + 100 * np.cos((y - 2 * t) / 7), x * 0 + 60], -1)
        for t in range(count)
    ]
    return np.array(frames).astype(np.uint8)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


def encode(
    path,
    times,
    pictures,
    *,
    codec="libx264",
    sound=None,
    rate=48_000,
    sound_start=0.0,
    options=None,
    **stream,
):
    """Writes pictures at `times` (seconds) and sound (channels, samples) from `sound_start` on."""
    base = Fraction(1, 90_000)
    with av.open(str(path), "w") as container:
        options = {"preset": "ultrafast", "crf": "10"} if options is None else options
        video = container.add_stream(codec, rate=30, options=options)
        video.height, video.width = pictures[0].shape[:2]
        video.pix_fmt = stream.get("pix_fmt", "yuv420p")
        video.codec_context.time_base = base
        if sound is not None:
            layout = "stereo" if len(sound) == 2 else "mono"
            track = container.add_stream(stream.get("sound_codec", "aac"), rate=rate, layout=layout)
        for time, picture in zip(times, pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(time / base), base
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if sound is not None:
            for start in range(0, sound.shape[1], 1024):
                part = np.ascontiguousarray(sound[:, start : start + 1024].astype(np.float32))
                frame = av.AudioFrame.from_ndarray(part, format="fltp", layout=layout)
                frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
                frame.pts = start + round(sound_start * rate)
                container.mux(track.encode(frame))
            container.mux(track.encode(None))


def tone(seconds: float, rate: int, channels: int = 1, frequency: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)[None].repeat(
        channels, 0
    )


# ------------------------------------------------------------------------------------------ time base


RATES = {"24": 24, "25": 25, "29.97": 30000 / 1001, "30": 30, "50": 50, "60": 60}


def times_of(rate: str, seconds: float) -> np.ndarray:
    if rate != "vfr":
        return np.arange(int(seconds * RATES[rate])) / RATES[rate]
    # ten gaps of 1/30 s and ten of 2/30 s in every second, in any order
    rng = np.random.default_rng(0)
    gaps = np.concatenate([rng.permutation([1] * 10 + [2] * 10) for _ in range(int(seconds))]) / 30
    return np.cumsum(gaps) - gaps


@pytest.mark.parametrize("rate", [*RATES, "vfr"])
def test_flash_and_click_stay_together(tmp_path, rate):
    seconds, sample_rate = 20, 44_100
    times = times_of(rate, seconds)
    # odd seconds: on the 25 fps grid, where nothing but a wrong rule can part them; even ones: beside it
    events = np.arange(1, seconds - 1) + np.where(np.arange(1, seconds - 1) % 2, 0, 0.013)
    # the frame that shows the event best (of two equally near the earlier)
    starts = [times[np.argmin(np.abs(times - event) + 1e-6 * (times > event))] for event in events]
    lit = np.any([(times >= start) & (times < start + 0.15) for start in starts], axis=0)
    dark, bright = np.zeros((32, 32, 3), np.uint8), np.full((32, 32, 3), 255, np.uint8)
    sound = np.zeros((1, seconds * sample_rate), np.float32)
    for event in events:
        sound[0, round(event * sample_rate) :][:200] = 0.9
    encode(tmp_path / "a.mp4", times, [bright if on else dark for on in lit], sound=sound, rate=sample_rate)

    video = read_video(tmp_path / "a.mp4")
    assert abs(len(video.frames) - seconds * 25) <= 2 and len(video.audio) == 640 * len(video.frames)
    light = video.frames.mean((1, 2, 3)) > 128
    flashes = (np.flatnonzero(light[1:] & ~light[:-1]) + 1) / 25
    samples = np.arange(len(video.audio)) / 16_000
    loud = np.abs(video.audio) > 0.3
    clicks = np.array([samples[loud & (samples > event - 0.3)][0] for event in events])
    assert np.abs(clicks - events).max() < 0.002
    assert len(flashes) == len(events)
    off = flashes - clicks
    assert np.abs(off[::2]).max() <= 0.020
    assert np.abs(off[1::2]).max() <= 0.040  # half a source gap and a frame of the grid
    assert abs(off[:8].mean() - off[-8:].mean()) < 0.015  # no drift


def test_25_fps_is_kept_frame_by_frame(tmp_path):
    frames = moving_frames(40)
    encode(
        tmp_path / "a.mp4", np.arange(40) / 25 + 1.0, frames
    )  # starts at 1 s: the first frame is the origin
    got = read_video(tmp_path / "a.mp4").frames
    assert got.shape == frames.shape
    for n in range(1, 39):
        here = psnr(got[n], frames[n])
        assert here > 30 and here > psnr(got[n], frames[n - 1]) + 3 and here > psnr(got[n], frames[n + 1]) + 3


@pytest.mark.parametrize(
    "rate, count, expected", [(30, 199, 165), (30, 282, 235), (50, 75, 37), (12.5, 10, 20)]
)
def test_number_of_frames(tmp_path, rate, count, expected):
    encode(tmp_path / "a.mp4", np.arange(count) / rate, moving_frames(count, 32, 32))
    assert len(read_video(tmp_path / "a.mp4").frames) == expected


def test_nearest_frame_earlier_of_two(tmp_path):
    frames = moving_frames(6)
    encode(tmp_path / "a.mp4", np.arange(6) / 12.5, frames)
    got = read_video(tmp_path / "a.mp4").frames
    nearest = [int(np.argmax([psnr(frame, f) for f in frames])) for frame in got]
    assert nearest == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_matroska_rounds_time_stamps_without_losing_frames(tmp_path):
    frames = moving_frames(50, 32, 32)
    encode(tmp_path / "a.mkv", np.arange(50) * 1001 / 30000, frames, sound=tone(1.6, 44_100), rate=44_100)
    video = read_video(tmp_path / "a.mkv")
    assert len(video.frames) == 41 and "vfr" not in video.info.flags
    spectrum = np.abs(np.fft.rfft(video.audio[1600:24000] * np.hanning(22400)))
    assert abs(np.argmax(spectrum) * 16_000 / 22400 - 440) < 1  # one clean tone: no gaps were cut in
    assert np.sort(spectrum)[-8:].sum() > 0.9 * spectrum.sum()


# ---------------------------------------------------------------------------------------------- sound


def test_stereo_is_averaged(tmp_path):
    sound = tone(2, 44_100, 2)
    encode(
        tmp_path / "a.mkv",
        np.arange(50) / 25,
        moving_frames(50, 32, 32),
        sound=sound,
        rate=44_100,
        sound_codec="flac",
    )
    assert 0.48 < np.abs(read_video(tmp_path / "a.mkv").audio[2000:-2000]).max() < 0.52
    sound[1] = 0
    encode(
        tmp_path / "b.mkv",
        np.arange(50) / 25,
        moving_frames(50, 32, 32),
        sound=sound,
        rate=44_100,
        sound_codec="flac",
    )
    assert 0.24 < np.abs(read_audio(tmp_path / "b.mkv")[2000:-2000]).max() < 0.26


def test_late_and_short_sound_is_filled_with_zeros(tmp_path):
    pictures = moving_frames(75, 32, 32)
    encode(
        tmp_path / "a.mkv",
        np.arange(75) / 25,
        pictures,
        sound=tone(1, 16_000),
        rate=16_000,
        sound_start=1.0,
        sound_codec="flac",
    )
    video = read_video(tmp_path / "a.mkv")
    assert not video.audio[:15_900].any() and not video.audio[32_100:].any()
    assert np.abs(video.audio[16_050:31_900]).max() > 0.45
    assert abs(video.info.audio_pad_head - 16_000) < 40 and abs(video.info.audio_pad_tail - 16_000) < 40
    assert {"audio_start_late", "audio_short"} <= set(video.info.flags)


def test_sound_round_trip_has_no_lag(tmp_path):
    rng = np.random.default_rng(0)
    audio = np.convolve(rng.normal(size=50 * 640), np.hanning(9), "same").astype(np.float32)
    audio *= 0.5 / np.abs(audio).max()
    write_video(tmp_path / "a.mp4", moving_frames(50, 32, 32), audio)
    got = read_video(tmp_path / "a.mp4").audio
    assert got.shape == audio.shape
    lags = np.correlate(got[8000:24000], audio[7900:24100], "valid")
    assert np.argmax(lags) == 100 and np.corrcoef(got, audio)[0, 1] > 0.95


def test_wav_formats(tmp_path):
    signal = tone(1, 44_100)[0]
    for width, scale, offset, kind in ((1, 127, 128, "u1"), (2, 32767, 0, "<i2"), (4, 2**31 - 1, 0, "<i4")):
        path = tmp_path / f"{width}.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(2)
            file.setsampwidth(width)
            file.setframerate(44_100)
            file.writeframes((np.stack([signal, signal], -1) * scale + offset).astype(kind).tobytes())
        got = read_audio(path)
        assert got.dtype == np.float32 and abs(len(got) - 16_000) <= 1
        wanted = 0.5 * np.sin(2 * np.pi * 440 * np.arange(len(got)) / 16_000)
        assert np.abs(got - wanted)[200:-200].max() < (0.02 if width == 1 else 0.002)


def test_write_audio_round_trip(tmp_path):
    audio = np.random.default_rng(1).uniform(-1, 1, 1000).astype(np.float32)
    write_audio(tmp_path / "new" / "a.wav", audio)
    assert np.abs(read_audio(tmp_path / "new" / "a.wav") - audio).max() <= 1.6 / 32767
    assert len(whole_frames(audio)) == 1280 and not whole_frames(audio)[1000:].any()


# -------------------------------------------------------------------------------------------- pictures


def test_write_video_is_close_playable_and_says_what_it_is(tmp_path):
    frames = moving_frames(30)
    write_video(tmp_path / "a.mp4", iter(frames), np.zeros(100))
    video = read_video(tmp_path / "a.mp4")
    assert psnr(video.frames, frames) > 33 and video.frames.shape == frames.shape
    assert (video.info.video_codec, video.info.pixel_format, video.info.audio_codec) == (
        "h264",
        "yuv420p",
        "aac",
    )
    assert video.info.flags == [] and len(video.audio) == 30 * 640
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # the index in front: plays while it loads
    for size in (1_000, 50_000, 150_000, 7_000, 90_000):  # other memory below the encoder must not show
        _held = np.random.default_rng(size).normal(size=size)
        write_video(tmp_path / "b.mp4", iter(frames), np.zeros(100))
        assert data == (tmp_path / "b.mp4").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["a.mp4", "b.mp4"]


def test_odd_sizes_get_a_border_of_one_pixel(tmp_path):
    frames = moving_frames(10, 47, 63)
    write_video(tmp_path / "a.mp4", frames)
    video = read_video(tmp_path / "a.mp4")
    assert video.frames.shape == (10, 48, 64, 3) and psnr(video.frames[:, :47, :63], frames) > 33
    assert "no_audio" in video.info.flags


def test_odd_size_444_and_10_bit(tmp_path):
    frames = moving_frames(10, 47, 63)
    for pix_fmt in ("yuv444p", "yuv444p10le"):
        encode(tmp_path / "a.mp4", np.arange(10) / 25, frames, pix_fmt=pix_fmt)
        video = read_video(tmp_path / "a.mp4")
        assert video.frames.shape == frames.shape and psnr(video.frames, frames) > 35
        assert "odd_size" in video.info.flags


def test_interlaced_is_smoothed(tmp_path):
    wide = moving_frames(60, 64, 64)
    woven = wide[::2].copy()
    woven[:, 1::2] = wide[1::2, 1::2]  # second field half a frame later
    options = {"preset": "ultrafast", "crf": "5", "x264-params": "tff=1"}
    encode(tmp_path / "a.mp4", np.arange(30) / 25, woven, options=options, pix_fmt="yuv422p")
    video = read_video(tmp_path / "a.mp4")
    assert video.info.interlaced and "interlaced" in video.info.flags and len(video.frames) == 30

    def combing(frames):
        rows = frames[5:-5].astype(float)
        return np.abs(rows[:, 1:-1] - (rows[:, :-2] + rows[:, 2:]) / 2).mean()

    assert combing(video.frames) < 0.5 * combing(woven)


def test_images(tmp_path):
    picture = moving_frames(1, 40, 60)[0]
    write_image(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), picture)
    assert read_image(tmp_path / "a.png", 32).shape == (32, 32, 3)
    np.testing.assert_array_equal(resize_square(picture, 40), picture[:, 10:50])
    write_image(tmp_path / "a.jpg", picture)
    assert psnr(read_image(tmp_path / "a.jpg"), picture) > 28
    rgba = np.dstack([picture, np.full((40, 60), 0, np.uint8)])
    rgba[:20, :, 3] = 255
    cv2.imwrite(str(tmp_path / "b.png"), cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA))
    got = read_image(tmp_path / "b.png")
    np.testing.assert_array_equal(got[:20], picture[:20])
    assert (got[20:] == 255).all()
    cv2.imwrite(str(tmp_path / "grey.png"), picture[..., 0])
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), picture[..., :1].repeat(3, -1))


# ---------------------------------------------------------------------------------------------- faults


def fault(path, reader=read_video) -> MediaError:
    with pytest.raises(MediaError) as caught:
        reader(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return caught.value


def test_faulty_files(tmp_path):
    assert fault(tmp_path / "missing.mp4").reason == "unreadable"
    assert "folder" in fault(tmp_path).text
    (tmp_path / "empty.mp4").touch()
    assert "empty" in fault(tmp_path / "empty.mp4").text
    (tmp_path / "text.mp4").write_text("this is no video\n" * 50)
    assert fault(tmp_path / "text.mp4").reason == "unreadable"
    assert fault(tmp_path / "text.mp4", read_audio).reason == "unreadable"
    assert fault(tmp_path / "text.mp4", read_image).reason == "unreadable"
    write_image(tmp_path / "picture.png", np.zeros((16, 16, 3), np.uint8))
    assert fault(tmp_path / "picture.png").reason == "unreadable"
    write_audio(tmp_path / "sound.wav", np.zeros(16000))
    assert fault(tmp_path / "sound.wav").reason == "no_video"
    write_audio(tmp_path / "nothing.wav", np.zeros(0))
    assert fault(tmp_path / "nothing.wav", read_audio).reason in ("no_audio", "unreadable")
    write_video(tmp_path / "silent.mp4", moving_frames(5))
    assert fault(tmp_path / "silent.mp4", read_audio).reason == "no_audio"
    encode(tmp_path / "short.mp4", [0.0], moving_frames(1), options={"preset": "ultrafast"})
    with av.open(str(tmp_path / "flash.mp4"), "w") as container:
        video = container.add_stream("libx264", rate=60)
        video.height, video.width = 48, 64
        container.mux(video.encode(av.VideoFrame.from_ndarray(moving_frames(1)[0], format="rgb24")))
        container.mux(video.encode(None))
    assert fault(tmp_path / "flash.mp4").reason == "too_short"


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_truncated_file(tmp_path, share):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (60, 48, 64, 3), dtype=np.uint8)
    write_video(tmp_path / "a.mp4", frames, rng.uniform(-0.5, 0.5, 60 * 640))
    data = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: int(share * len(data))])
    error = fault(tmp_path / "cut.mp4")
    assert error.reason == "truncated" and "of 60" in error.text


def test_playlist_reads_no_other_file(tmp_path):
    write_video(tmp_path / "a.mp4", moving_frames(5))
    (tmp_path / "list.m3u8").write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://localhost:9/a.ts\n"
    )
    assert fault(tmp_path / "list.m3u8").reason == "unreadable"


def test_file_names_with_colons_and_spaces(tmp_path):
    path = tmp_path / "http: odd#name%20.mp4"
    write_video(path, moving_frames(5))
    assert len(read_video(path).frames) == 5


def test_unwritable(tmp_path):
    frames = moving_frames(3)
    (tmp_path / "file").write_text("x")
    for path, text in (
        (tmp_path / "a.txt", "ending in"),
        (tmp_path / "file" / "a.mp4", "cannot be written"),
        (Path("/proc/nowhere/a.mp4"), "cannot be written"),
    ):
        with pytest.raises(MediaError, match=text) as caught:
            write_video(path, frames)
        assert caught.value.reason == "unwritable"
    (tmp_path / "dir.mp4").mkdir()
    with pytest.raises(MediaError, match="is a folder"):
        write_video(tmp_path / "dir.mp4", frames)
    with pytest.raises(MediaError, match="no frames"):
        write_video(tmp_path / "a.mp4", [])
    with pytest.raises(MediaError, match="frame 1 is"):
        write_video(tmp_path / "a.mp4", [frames[0], frames[1][:20]])
    with pytest.raises(MediaError, match=".wav"):
        write_audio(tmp_path / "a.mp3", np.zeros(10))
    with pytest.raises(MediaError, match=".png"):
        write_image(tmp_path / "a.gif", frames[0])
    assert sorted(os.listdir(tmp_path)) == ["dir.mp4", "file"]


def test_full_disk_leaves_the_old_file(tmp_path):
    script = f"""
        import resource, signal
        import numpy as np
        from talkbench.data.media import MediaError, write_audio, write_video
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        noise = np.random.default_rng(0).integers(0, 256, (30, 64, 64, 3), dtype=np.uint8)
        for write in (lambda: write_video({str(tmp_path / "a.mp4")!r}, noise, np.zeros(100)),
                      lambda: write_audio({str(tmp_path / "a.wav")!r}, np.zeros(100_000))):
            try:
                write()
            except MediaError as error:
                print(error.reason)
    """
    (tmp_path / "a.mp4").write_text("old")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["unwritable", "unwritable"], done.stderr
    assert os.listdir(tmp_path) == ["a.mp4"] and (tmp_path / "a.mp4").read_text() == "old"


def test_interrupted_source_leaves_nothing(tmp_path):
    def frames():
        yield from moving_frames(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_video(tmp_path / "a.mp4", frames())
    assert os.listdir(tmp_path) == []


def test_stream_gives_the_same_and_sound_at_the_end(tmp_path):
    frames = moving_frames(20)
    write_video(tmp_path / "a.mp4", frames, np.zeros(100))
    with VideoReader(tmp_path / "a.mp4") as reader:
        with pytest.raises(RuntimeError):
            _ = reader.audio
        got = list(reader)
        assert len(reader.audio) == 640 * 20 and reader.info.frames == 20
    np.testing.assert_array_equal(got, read_video(tmp_path / "a.mp4").frames)


# ------------------------------------------------------------------------------------------ real files


@pytest.mark.parametrize("name, frames, rms", [("vox2_u_00373", 128, 0.016), ("lia_obama", 200, 0.0557)])
def test_real_clip(real, name, frames, rms):
    video = read_video(real / f"{name}.mp4")
    assert video.frames.shape == (frames, 256, 256, 3) and len(video.audio) == 640 * frames
    assert abs(np.sqrt(np.mean(video.audio**2)) - rms) < 2e-4
    with av.open(str(real / f"{name}.mp4")) as container:
        for n, frame in zip(range(40), container.decode(video=0)):
            np.testing.assert_array_equal(video.frames[n], frame.to_ndarray(format="rgb24"))


def test_real_odd_files(real):
    misc = real / "raw" / "misc"
    video = read_video(misc / "fps30.mp4")
    assert video.frames.shape == (165, 700, 700, 3) and video.info.audio_channels == 2
    with VideoReader(misc / "vfr.mp4") as reader:
        count = sum(1 for _ in reader)
        assert "vfr" in reader.info.flags and count == 152
    with VideoReader(misc / "no_audio.mp4") as reader:
        count = sum(1 for _ in reader)
        assert reader.info.flags == ["no_audio"] and not reader.audio.any() and count == 225


def test_real_faulty_files(real):
    faulty = real / "raw" / "faulty"
    reasons = {
        "audio_only": "no_video",
        "empty": "unreadable",
        "no_index": "unreadable",
        "text": "unreadable",
    }
    for name, reason in {**reasons, "truncated": "truncated"}.items():
        assert fault(faulty / f"{name}.mp4").reason == reason
    assert "after 61 frames of 108" in fault(faulty / "truncated.mp4").text

    turned = read_video(faulty / "rotated90.mp4")
    upright = read_video(real / "raw/voxceleb2/test/mp4/id06209/video_a/00105.mp4")
    assert "rotated" in turned.info.flags and turned.frames.shape == upright.frames.shape
    assert np.abs(turned.frames.astype(int) - upright.frames).mean() < 2
    late = read_video(faulty / "audio_starts_200ms.mp4")
    assert not late.audio[:2176].any() and np.abs(late.audio[:3200]).max() < 0.03  # the encoder's priming
    assert np.abs(late.audio[3200:6400]).max() > 0.1
    short = read_video(faulty / "audio_ends_early.mp4")
    assert "audio_short" in short.info.flags and not short.audio[26_000:].any() and len(short.frames) == 75
    assert "interlaced" in read_video(faulty / "interlaced.mp4").info.flags
    assert read_video(faulty / "odd_size_444.mp4").frames.shape == (75, 223, 225, 3)


def test_errors_travel_between_processes(tmp_path):
    error = fault(tmp_path / "missing.mp4")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.path, copy.reason) == (str(error), error.path, error.reason)
