"""Every threshold of a preparation in one place; all of them go into the manifest."""

from dataclasses import asdict, dataclass

from talkbench.data.store import CODECS


class SettingsError(ValueError):
    """A setting out of range; names the flag."""


@dataclass(frozen=True)
class Settings:
    """How files become records; two runs with equal settings and files give equal bytes.

    Attributes:
        size: side of the stored pictures in pixels.
        codec, quality: of the stored pictures (see `store.write_store`).
        crop: of clips without a listed box: "union" (square around all positions of the face), "whole" (centre square of
            the picture), "auto" (whole where the picture is a face crop already, else union).
        increase: enlargement of the union box on each side, as a share of its longer side.
        whole_above: a face box of this share of the picture's shorter side makes it a face crop already.
        landmarks: "auto" (files where they lie beside the video, else face boxes of the frontal cascade), "files" (a video
            without one is refused), or the name of a back end given as `backend`.
        backend: "module:function" and its arguments: what makes an object with `name` and `landmarks(frames)`; see `faces`.
        sync: "none", or the name of a sync judge given as `sync_backend` ("module:function" and its arguments; see `lips`).
        sync_frames: of a clip, from its begin, that the judge looks at.
        tolerated_offset: frames by which sound and picture may be apart without a flag. most_offset: clips that are further
            apart are refused; None: they are flagged only.
        min_frames, max_frames: length of a clip at 25 frames/s.
        allow_silent: keep clips without sound.
        least_audio: share of the clip that the sound must cover (a track that begins 200 ms late is no fault).
        silent_rms, silent_window_db, silent_share: silence is an RMS below the first, or 40 ms windows below the second (dB
            of full scale) in more than the third of the clip.
        clipped_share: share of samples at full scale that is flagged.
        least_faces, least_cascade_faces: share of looked-at frames in which a face must be found; the frontal cascade
            misses turned heads, so it is asked for less.
        face_every: the cascade looks at each n-th frame.
        face_gap: a face that is lost for more frames ends its clip.
        second_area, second_share: another face of this share of the first one's area in more than this share of frames.
        small_face: least side of the face in the source, as a share of `size` (96 of 256 px).
        face_share: bounds of the share of a listed box's side that the face may take.
        frozen_share: share of frames equal to the one before that makes a clip a still.
        cut_threshold: mean absolute difference of HSV at 64x36 between neighbours that is a cut.
        chunk_overlap: a face box whose overlap with the clip's first falls below this begins a new clip.
    """

    size: int = 256
    codec: str = "jpeg"
    quality: int = 95
    crop: str = "auto"
    increase: float = 0.1
    whole_above: float = 0.45
    landmarks: str = "auto"
    backend: tuple[str, ...] = ()
    sync: str = "none"
    sync_backend: tuple[str, ...] = ()
    sync_frames: int = 250
    tolerated_offset: int = 3
    most_offset: int | None = None
    min_frames: int = 64
    max_frames: int = 1024
    allow_silent: bool = False
    least_audio: float = 0.9
    silent_rms: float = 1e-4
    silent_window_db: float = -60.0
    silent_share: float = 0.8
    clipped_share: float = 0.01
    least_faces: float = 0.95
    least_cascade_faces: float = 0.5
    face_every: int = 5
    face_gap: int = 25
    second_area: float = 0.5
    second_share: float = 0.1
    small_face: float = 0.375
    face_share: tuple[float, float] = (0.25, 0.9)
    frozen_share: float = 0.5
    cut_threshold: float = 27.0
    chunk_overlap: float = 0.25

    def __post_init__(self):
        if self.size < 16 or self.size % 2:
            raise SettingsError(f"--size {self.size}: give an even number of at least 16 pixels")
        if self.codec not in CODECS:
            raise SettingsError(f"--codec {self.codec}: use {' or '.join(CODECS)}")
        if self.crop not in ("auto", "union", "whole"):
            raise SettingsError(f"--crop {self.crop}: use auto, union or whole")
        if not 1 <= self.quality <= 100:
            raise SettingsError(f"--quality {self.quality}: give 1 to 100")
        if not 1 <= self.min_frames <= self.max_frames:
            raise SettingsError(f"--min-frames {self.min_frames}: give 1 to {self.max_frames}")
        if not (0 < self.least_faces <= 1 and 0 < self.least_cascade_faces <= 1):
            raise SettingsError("--least-faces: give a share above 0 and up to 1")
        if self.most_offset is not None and (self.most_offset < 0 or not self.sync_backend):
            raise SettingsError(
                f"--most-offset {self.most_offset}: give 0 or more frames, and --sync with a judge"
            )
        if not 0 <= self.increase <= 2:
            raise SettingsError(f"--increase {self.increase}: give 0 to 2, a share of the face box")

    def as_dict(self) -> dict:
        """Plain values for JSON."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}
