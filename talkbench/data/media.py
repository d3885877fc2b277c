"""Reading and writing pictures, videos and sound on one time base: 25 frames/s, 16 kHz mono, 640 samples a
frame.

Frames are chosen by time stamps (nearest, never by index), sound is placed by time stamps, silence fills what
is missing. Every fault of a file becomes a `MediaError` of one line.
"""

import os
import struct
import wave
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import av.filter
import cv2
import numpy as np
import soxr

from talkbench.data.clip import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME

VIDEO_SUFFIXES = (
    ".mp4",
    ".mov",
    ".m4v",
    ".mkv",
    ".webm",
    ".avi",
    ".mpg",
    ".mpeg",
    ".ts",
    ".wmv",
    ".flv",
    ".3gp",
)
_WRITE_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
# Containers only: a playlist could name other files and addresses, a picture or a text is no video.
_CONTAINERS = (
    "mov,matroska,avi,mpegts,mpeg,flv,asf,ogg,gif,h264,hevc,mpegvideo,m4v,"
    "wav,w64,aiff,caf,flac,mp3,aac,au,amr"
)
_OPEN_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": _CONTAINERS}
_TRUNCATED_BELOW = 0.98
_LONGEST_GAP = 10  # seconds between neighbouring frames or sound packets; more is a broken time stamp


class MediaError(ValueError):
    """A file that cannot be used, in one line: which, why, what to do.

    Attributes:
        path: the file.
        reason: unreadable, no_video, no_audio, truncated, too_short or unwritable.
    """

    def __init__(self, path: str | Path, reason: str, text: str):
        super().__init__(f"{path}: {text}")
        self.path = Path(path)
        self.reason = reason
        self.text = text

    def __reduce__(self):
        return type(self), (self.path, self.reason, self.text)


@dataclass
class MediaInfo:
    """What was found in a video file.

    Attributes:
        path: the file.
        fps: average rate of the source in frames/s.
        width, height: pixels after rotation.
        rotation: degrees by which the stored picture was turned (counter-clockwise).
        interlaced: whether it was de-interlaced (yadif).
        video_codec, pixel_format, colour_space: as the stream says; colour space 2: untagged, read as BT.601.
        source_frames, announced_frames: decoded, and promised by the container (0: it does not say).
        frames: number of frames at 25 frames/s.
        start: time stamp of the first frame in seconds.
        audio_codec, audio_rate, audio_channels: of the source's sound; None, 0, 0 without.
        audio_pad_head, audio_pad_tail: samples of silence (at 16 kHz) where the source has no sound.
        flags: vfr, interlaced, rotated, odd_size, no_audio, audio_start_late, audio_short.
    """

    path: str
    fps: float = 0.0
    width: int = 0
    height: int = 0
    rotation: int = 0
    interlaced: bool = False
    video_codec: str = ""
    pixel_format: str = ""
    colour_space: int = 2
    source_frames: int = 0
    announced_frames: int = 0
    frames: int = 0
    start: float = 0.0
    audio_codec: str | None = None
    audio_rate: int = 0
    audio_channels: int = 0
    audio_pad_head: int = 0
    audio_pad_tail: int = 0
    flags: list[str] = field(default_factory=list)

    def as_dict(self) -> dict:
        return asdict(self)


@dataclass
class Video:
    """A whole video: frames uint8 (T, H, W, 3) RGB at 25 frames/s, audio float32 (640 T,) at 16 kHz, info."""

    frames: np.ndarray
    audio: np.ndarray
    info: MediaInfo


# ----------------------------------------------------------------------------------------------- opening


def _existing_file(path: Path) -> None:
    if path.is_dir():
        raise MediaError(path, "unreadable", "is a folder, not a file")
    try:
        size = path.stat().st_size
    except OSError as error:
        reason = (
            "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        )
        raise MediaError(path, "unreadable", reason) from error
    if size == 0:
        raise MediaError(path, "unreadable", "is empty (0 bytes)")


def _open(path: Path, kind: str) -> av.container.InputContainer:
    _existing_file(path)
    try:
        # "file:" keeps a name such as "a:b.mp4" from being read as a protocol
        return av.open(f"file:{path}", options=_OPEN_OPTIONS)
    except (av.FFmpegError, OSError, UnicodeError) as error:
        if isinstance(error, PermissionError):
            raise MediaError(path, "unreadable", "cannot be read: permission denied") from error
        raise MediaError(path, "unreadable", f"is not a {kind} file, or its index is missing") from error


def _video_stream(container: av.container.InputContainer):
    cover = av.stream.Disposition.attached_pic
    return next((stream for stream in container.streams.video if not stream.disposition & cover), None)


# -------------------------------------------------------------------------------------------------- sound


def _mono(frame: av.AudioFrame) -> np.ndarray:
    """float32 (samples,): the mean over channels (libswresample's float mix-down would add 3 dB)."""
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32).mean(0) - 128) / 128
    if samples.dtype.kind == "i":
        scale = np.float64(1) / (1 << (8 * samples.dtype.itemsize - 1))
        return (samples.mean(0, dtype=np.float64) * scale).astype(np.float32)
    return samples.mean(0, dtype=np.float64).astype(np.float32)


class _Sound:
    """Collects decoded sound by time stamp at the source's rate."""

    def __init__(self, path: Path):
        self.path = path
        self.rate = 0
        self.start: Fraction | None = None  # seconds
        self.chunks: list[np.ndarray] = []
        self.length = 0  # samples so far

    def add(self, frame: av.AudioFrame) -> None:
        samples = _mono(frame)
        if not self.rate:
            self.rate = frame.sample_rate
        elif frame.sample_rate != self.rate:
            raise MediaError(self.path, "unreadable", "changes its sample rate on the way; convert it first")
        if frame.pts is not None:
            time = frame.pts * frame.time_base
            if self.start is None:
                self.start = time
            gap = round((time - self.start) * self.rate) - self.length
            if gap > _LONGEST_GAP * self.rate:
                raise MediaError(self.path, "unreadable", f"its sound has a gap of {gap / self.rate:.0f} s")
            # containers round time stamps (to 1 ms in Matroska): only more than 5 ms is a real gap or overlap
            if gap > self.rate // 200:
                self.chunks.append(np.zeros(gap, np.float32))
                self.length += gap
            elif gap < -(self.rate // 200):
                samples = samples[-gap:]
        elif self.start is None:
            self.start = Fraction(0)
        self.chunks.append(samples)
        self.length += len(samples)

    def at_16_khz(self) -> np.ndarray:
        """float32 in [-1, 1], starting at `start`."""
        samples = np.concatenate(self.chunks) if self.chunks else np.zeros(0, np.float32)
        self.chunks = [samples]
        if not np.isfinite(samples).all():
            raise MediaError(self.path, "unreadable", "its sound holds values that are not numbers")
        if self.rate not in (0, SAMPLE_RATE):
            samples = soxr.resample(samples, self.rate, SAMPLE_RATE, quality="HQ")
        return np.clip(samples, -1, 1).astype(np.float32)


# ------------------------------------------------------------------------------------------------- videos


class VideoReader:
    """A video's frames at 25 frames/s one after the other; one source frame is held at a time.

    Use as a context manager and iterate once; `audio` and the whole of `info` are there after the last frame.
    Frame n is the source frame nearest to first time stamp + n/25 s (the earlier of two equally near), turned
    upright and de-interlaced. Raises MediaError for a missing, empty, foreign, cut off or too short file, or
    one without video.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._container = _open(self.path, "video")
        self._stream = _video_stream(self._container)
        if self._stream is None:
            self.close()
            raise MediaError(self.path, "no_video", "has no video stream")
        # threads gain nothing once every core runs a reader of its own
        self._stream.thread_type = "NONE"
        context = self._stream.codec_context
        self._audio_stream = next(iter(self._container.streams.audio), None)
        self._sound = _Sound(self.path)
        self._audio: np.ndarray | None = None
        self._graph: av.filter.Graph | None = None
        self.info = MediaInfo(
            path=str(self.path),
            fps=float(self._stream.average_rate or 0),
            width=context.width,
            height=context.height,
            video_codec=context.name,
            pixel_format=context.pix_fmt or "",
            announced_frames=self._stream.frames,
        )
        if self._audio_stream is not None:
            self.info.audio_codec = self._audio_stream.codec_context.name
            self.info.audio_rate = self._audio_stream.codec_context.sample_rate
            self.info.audio_channels = self._audio_stream.codec_context.channels

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self._container.close()

    @property
    def expected_frames(self) -> int:
        """Number of frames at 25 frames/s that the container promises: a guess, 0 if it says nothing."""
        if self._stream.frames and self._stream.average_rate:
            return int(self._stream.frames / self._stream.average_rate * FPS)
        return 0

    @property
    def audio(self) -> np.ndarray:
        """float32 (640 T,) in [-1, 1]; only after the last frame."""
        if self._audio is None:
            raise RuntimeError("the sound is known only after the last frame: iterate to the end first")
        return self._audio

    def __iter__(self) -> Iterator[np.ndarray]:
        """uint8 (H, W, 3) RGB frames."""
        step = Fraction(1, FPS)
        first = previous = None  # times
        held = pending = None  # the decoded frame before this one; the last output, which may be one too many
        count = 0  # outputs produced, including the pending one
        gaps = []
        for time, frame in self._upright_times():
            if previous is None:
                first = previous = time
                held = frame
                continue
            gaps.append(float(time - previous))
            middle = (time + previous) / 2
            picture = None
            while first + count * step <= middle:
                if pending is not None:
                    yield pending
                picture = pending = self._picture(held) if picture is None else picture
                count += 1
            previous, held = time, frame
        if held is None:
            raise MediaError(self.path, "truncated", "no frame of its video can be decoded")
        coarse = held.time_base is not None and held.time_base >= Fraction(1, 1000)
        tolerance = FPS * float(held.time_base) if coarse else 1e-6
        end = float(previous - first) + self._last_duration(held, gaps)
        total = int(end * FPS + tolerance)
        if total < 1:
            raise MediaError(
                self.path, "too_short", f"lasts {1000 * end:.0f} ms, less than one frame at 25 frames/s"
            )
        if pending is not None and count <= total:
            yield pending
        if count < total:
            picture = self._picture(held)
            for _ in range(count, total):
                yield picture
        self._finish(float(first), total, gaps)

    def _last_duration(self, frame: av.VideoFrame, gaps: list[float]) -> float:
        # at a constant rate the gaps say it best: muxers give the last frame any length
        usual = float(np.median(gaps)) if gaps else 1 / (self.info.fps or FPS)
        constant = bool(gaps) and max(gaps) - min(gaps) < 0.005
        duration = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else 0.0
        return duration if not constant and 0 < duration < 5 * usual else usual

    def _upright_times(self) -> Iterator[tuple[Fraction, av.VideoFrame]]:
        """Decoded frames with strictly rising times."""
        last = None
        usual = 1 / Fraction(self._stream.average_rate or FPS)
        for frame in self._deinterlaced():
            stamp = frame.pts if frame.pts is not None else frame.dts
            time = stamp * frame.time_base if stamp is not None else (0 if last is None else last + usual)
            time = Fraction(time)
            if last is not None:
                if time <= last:
                    continue
                if time - last > _LONGEST_GAP:
                    raise MediaError(
                        self.path, "unreadable", f"has a gap of {float(time - last):.0f} s in its video"
                    )
            last = time
            yield time, frame

    def _deinterlaced(self) -> Iterator[av.VideoFrame]:
        for frame in self._decoded():
            if self._graph is None and frame.interlaced_frame:
                self._graph = _yadif(frame)
                self.info.interlaced = True
            if self._graph is None:
                yield frame
            else:
                self._graph.push(frame)
                yield from _pull(self._graph)
        if self._graph is not None:
            self._graph.push(None)
            yield from _pull(self._graph)

    def _decoded(self) -> Iterator[av.VideoFrame]:
        info, shape = self.info, None
        streams = [self._stream] + ([self._audio_stream] if self._audio_stream is not None else [])
        try:
            for packet in self._container.demux(streams):
                for frame in packet.decode():
                    if isinstance(frame, av.AudioFrame):
                        self._sound.add(frame)
                        continue
                    if shape is None:
                        shape = (frame.width, frame.height)
                        info.rotation = frame.rotation % 360
                        info.colour_space = int(frame.colorspace)
                        turned = info.rotation // 90 % 2
                        info.width, info.height = shape[::-1] if turned else shape
                    elif shape != (frame.width, frame.height):
                        raise MediaError(self.path, "unreadable", "changes its picture size on the way")
                    info.source_frames += 1
                    yield frame
        except av.FFmpegError as error:
            raise self._truncated(f"breaks off: {error.strerror}") from error
        if info.source_frames < _TRUNCATED_BELOW * info.announced_frames and not _boxes_are_whole(self.path):
            raise self._truncated("breaks off")

    def _truncated(self, text: str) -> MediaError:
        announced = self.info.announced_frames
        text += f" after {self.info.source_frames} frames" + (f" of {announced}" if announced else "")
        return MediaError(self.path, "truncated", f"{text}; copy or download it again")

    def _picture(self, frame: av.VideoFrame) -> np.ndarray:
        # untagged streams are read as BT.601, tagged ones by their tag: libswscale's defaults
        picture = frame.to_ndarray(format="rgb24")
        return np.ascontiguousarray(np.rot90(picture, self.info.rotation // 90))

    def _finish(self, start: float, total: int, gaps: list[float]) -> None:
        info, sound = self.info, self._sound
        info.start, info.frames = start, total
        self._audio = np.zeros(total * SAMPLES_PER_FRAME, np.float32)
        covered = 0
        if sound.start is not None:
            samples = sound.at_16_khz()
            offset = round((float(sound.start) - start) * SAMPLE_RATE)
            samples = samples[max(-offset, 0) :]
            offset = min(max(offset, 0), len(self._audio))
            covered = min(len(samples), len(self._audio) - offset)
            self._audio[offset : offset + covered] = samples[:covered]
            info.audio_pad_head = offset
        info.audio_pad_tail = len(self._audio) - info.audio_pad_head - covered
        usual = float(np.median(gaps)) if gaps else 0.0
        flags = {
            "vfr": bool(gaps) and (max(gaps) > 1.5 * usual or min(gaps) < usual / 1.5),
            "interlaced": info.interlaced,
            "rotated": info.rotation != 0,
            "odd_size": info.width % 2 == 1 or info.height % 2 == 1,
            "no_audio": covered == 0,
            "audio_start_late": covered > 0 and info.audio_pad_head > SAMPLES_PER_FRAME,
            "audio_short": 0 < covered < 0.95 * len(self._audio),
        }
        info.flags = [name for name, is_set in flags.items() if is_set]


def _yadif(frame: av.VideoFrame) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
    )
    graph.link_nodes(source, graph.add("yadif", "deint=interlaced"), graph.add("buffersink")).configure()
    return graph


def _pull(graph: av.filter.Graph) -> Iterator[av.VideoFrame]:
    while True:
        try:
            yield graph.pull()
        except (BlockingIOError, EOFError):
            return


def _boxes_are_whole(path: Path) -> bool:
    """Whether `path` is an MP4 or MOV file with nothing cut off.

    Edit lists make such files promise more frames than they show: a low count alone doesn't prove a cut.
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        position, kinds = 0, []
        while position + 8 <= size:
            file.seek(position)
            length, kind = struct.unpack(">I4s", file.read(8))
            if length == 1:
                wide = file.read(8)
                length = struct.unpack(">Q", wide)[0] if len(wide) == 8 else size + 1
            elif length == 0:
                length = size - position
            if length < 8:
                return False
            kinds.append(kind)
            position += length
    return position <= size and {b"moov", b"mdat"} <= set(kinds)


def read_video(path: str | Path, size: int | None = None) -> Video:
    """Reads a whole video, if asked as size x size pixels (see `resize_square`).

    See `VideoReader` for rules, errors, and reading without holding all frames.
    """
    with VideoReader(path) as reader:
        frames: np.ndarray | None = None
        count = 0
        for frame in reader:
            if size is not None:
                frame = resize_square(frame, size)
            if frames is None:
                frames = np.empty((max(reader.expected_frames, 1) + 1, *frame.shape), np.uint8)
            elif count == len(frames):
                frames.resize((count + count // 2 + 1, *frame.shape), refcheck=False)
            frames[count] = frame
            count += 1
        frames.resize((count, *frames.shape[1:]), refcheck=False)
        return Video(frames, reader.audio, reader.info)


# ----------------------------------------------------------------------------------------- pictures, sound


def read_image(path: str | Path, size: int | None = None) -> np.ndarray:
    """uint8 (H, W, 3) RGB; EXIF rotation applied, transparency laid over white.

    With `size`, the centre square is resized to size x size. MediaError if it is no picture.
    """
    path = Path(path)
    _existing_file(path)
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise MediaError(path, "unreadable", f"cannot be read: {error.strerror}") from error
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
        alpha = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if image is not None else None
    except cv2.error:
        image = None
    if image is None:
        raise MediaError(path, "unreadable", "is not a picture that can be read (use PNG or JPEG)")
    image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    if alpha is not None and alpha.ndim == 3 and alpha.shape[2] == 4 and alpha.shape[:2] == image.shape[:2]:
        opacity = alpha[..., 3:].astype(np.float32) / np.iinfo(alpha.dtype).max
        image = np.rint(image * opacity + 255 * (1 - opacity)).astype(np.uint8)
    return image if size is None else resize_square(image, size)


def centre_square(height: int, width: int) -> tuple[int, int, int]:
    """(top, left, side) of the largest centred square."""
    side = min(height, width)
    return (height - side) // 2, (width - side) // 2, side


def resize_square(image: np.ndarray, size: int) -> np.ndarray:
    """uint8 (H, W, 3) -> (size, size, 3): the centre square, area-averaged (linear where enlarged)."""
    top, left, side = centre_square(*image.shape[:2])
    square = image[top : top + side, left : left + side]
    if side == size:
        return np.ascontiguousarray(square)
    return cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA if size < side else cv2.INTER_LINEAR)


def read_audio(path: str | Path) -> np.ndarray:
    """float32 (samples,) in [-1, 1], 16 kHz mono, of a sound file or of a video's sound; its own length.

    Channels are averaged, gaps filled with zeros. MediaError if there is no sound in it.
    """
    path = Path(path)
    with _open(path, "sound") as container:
        if not container.streams.audio:
            raise MediaError(path, "no_audio", "has no sound")
        sound = _Sound(path)
        try:
            for frame in container.decode(container.streams.audio[0]):
                sound.add(frame)
        except av.FFmpegError as error:
            seconds = sound.length / max(sound.rate, 1)
            raise MediaError(
                path, "truncated", f"breaks off after {seconds:.1f} s: {error.strerror}"
            ) from error
    samples = sound.at_16_khz()
    if not len(samples):
        raise MediaError(path, "no_audio", "holds no sound (0 samples)")
    return samples


def whole_frames(audio: np.ndarray) -> np.ndarray:
    """Pads sound with zeros to a whole number of frames of 640 samples."""
    return np.pad(audio, (0, -len(audio) % SAMPLES_PER_FRAME))


# ------------------------------------------------------------------------------------------------ writing


class _Atomic:
    """`with _Atomic(path) as temporary:` writes beside `path`; renamed on success, removed on any error."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")

    def __enter__(self) -> Path:
        if self.path.is_dir():
            raise MediaError(self.path, "unwritable", "is a folder; name a file")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MediaError(self.path, "unwritable", f"cannot be written: {error.strerror}") from error
        return self.temporary

    def __exit__(self, kind, error, traceback) -> None:
        try:
            if error is None:
                os.replace(self.temporary, self.path)
        except OSError as problem:
            error = problem
        if error is not None:
            with suppress(OSError):
                self.temporary.unlink()
            if isinstance(error, (OSError, av.FFmpegError)):
                text = f"cannot be written: {error.strerror or error}"
                raise MediaError(self.path, "unwritable", text) from error


def write_video(
    path: str | Path, frames: Iterable[np.ndarray], audio: np.ndarray | None = None, *, crf: int = 18
) -> None:
    """Writes H.264 (yuv420p, BT.601, 25 frames/s) with AAC sound (16 kHz mono, 64 kbit/s) for any player.

    Args:
        path: .mp4, .m4v, .mov or .mkv; parent folders are made; the file appears only when it is whole.
        frames: uint8 (T, H, W, 3) RGB, or an iterable of (H, W, 3). An odd width or height gets one more
            column or row (a copy of the last), since yuv420p has none.
        audio: float (samples,) at 16 kHz; cut, or filled with silence, to 640 a frame. None: no sound track.
        crf: x264's constant rate factor; one thread, so that the same input gives the same bytes everywhere.

    Raises:
        MediaError: unknown suffix, no frames, sizes that change, folder that cannot be written, full disk.
    """
    path = Path(path)
    if path.suffix.lower() not in _WRITE_FORMATS:
        raise MediaError(path, "unwritable", f"name a video file ending in {', '.join(_WRITE_FORMATS)}")
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise MediaError(path, "unwritable", "no frames to write")
    shape = first.shape
    with _Atomic(path) as temporary:
        container_format = _WRITE_FORMATS[path.suffix.lower()]
        options = {} if container_format == "matroska" else {"movflags": "+faststart"}  # index in front
        with av.open(f"file:{temporary}", "w", format=container_format, options=options) as container:
            video = _add_video(container, shape, crf)
            sound = None
            if audio is not None:
                sound = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono", bit_rate=64_000)
                audio = np.clip(audio, -1, 1).astype(np.float32)
            for number, frame in enumerate(_chain(first, frames)):
                if frame.shape != shape or frame.dtype != np.uint8:
                    text = f"frame {number} is {frame.dtype} {frame.shape}, but must be uint8 {shape}"
                    raise MediaError(path, "unwritable", text)
                picture = av.VideoFrame.from_ndarray(_even(frame), format="rgb24")
                picture.pts = number
                container.mux(video.encode(picture))
                if sound is not None:
                    container.mux(sound.encode(_sound_frame(audio, number)))
            container.mux(video.encode(None))
            if sound is not None:
                container.mux(sound.encode(None))


def _add_video(container: av.container.OutputContainer, shape: tuple[int, ...], crf: int):
    # x264's macroblock tree gives small pictures other bytes from run to run, with one thread too.
    options = {"crf": str(crf), "preset": "veryfast", "x264-params": "mbtree=0"}
    video = container.add_stream("libx264", rate=FPS, options=options)
    video.height, video.width = shape[0] + shape[0] % 2, shape[1] + shape[1] % 2
    video.pix_fmt = "yuv420p"
    video.gop_size = FPS
    video.thread_count = 1
    return video


def _chain(first: np.ndarray, rest: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    yield first
    yield from rest


def _even(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    if height % 2 or width % 2:
        frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(frame)


def _sound_frame(audio: np.ndarray, number: int) -> av.AudioFrame:
    samples = np.zeros((1, SAMPLES_PER_FRAME), np.float32)
    part = audio[number * SAMPLES_PER_FRAME : (number + 1) * SAMPLES_PER_FRAME]
    samples[0, : len(part)] = part
    frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
    frame.sample_rate = SAMPLE_RATE
    frame.pts = number * SAMPLES_PER_FRAME
    frame.time_base = Fraction(1, SAMPLE_RATE)
    return frame


def write_audio(path: str | Path, audio: np.ndarray) -> None:
    """Writes float (samples,) in [-1, 1] as a 16 kHz mono 16-bit .wav; MediaError if it cannot be written."""
    path = Path(path)
    if path.suffix.lower() != ".wav":
        raise MediaError(path, "unwritable", "name a sound file ending in .wav")
    samples = np.rint(np.clip(audio, -1, 1) * 32767).astype("<i2")
    with _Atomic(path) as temporary, open(temporary, "wb") as file, wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(SAMPLE_RATE)
        sound.writeframes(samples.tobytes())


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Writes uint8 (H, W, 3) RGB as .png or .jpg; MediaError if it cannot be written."""
    path = Path(path)
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise MediaError(path, "unwritable", "name a picture file ending in .png or .jpg")
    _, data = cv2.imencode(path.suffix.lower(), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    with _Atomic(path) as temporary:
        temporary.write_bytes(data.tobytes())
