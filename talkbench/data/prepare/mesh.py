"""The landmark back end `mediapipe`: a process of another interpreter (see `mesh_worker`) behind a pipe."""

import struct
import subprocess
from pathlib import Path

import numpy as np

WORKER = Path(__file__).with_name("mesh_worker.py")


class MeshError(RuntimeError):
    """The other interpreter cannot be run, or has no MediaPipe."""


class Mesh:
    """`landmarks(frames)` by MediaPipe in `python`; the process is made anew if it dies.

    Attributes:
        name: what records call the maker of their landmarks.
    """

    name = "mediapipe-mesh68"

    def __init__(self, python: str):
        self._python = python
        self._process: subprocess.Popen | None = None

    def begin(self) -> None:
        """The next frames are of another video: nothing is followed from before."""
        if self._process is not None and self._process.poll() is None:
            self._process.stdin.write(struct.pack("<3i", 0, 0, 0))
            self._process.stdin.flush()

    def landmarks(self, frames: np.ndarray) -> np.ndarray:
        """uint8 RGB (T, H, W, 3) -> float32 (T, 68, 3) in `Clip`'s convention, NaN where there is no face.

        Raises:
            MeshError: the interpreter has no MediaPipe, or died twice over these frames.
        """
        for _ in range(2):
            try:
                process = self._running()
                process.stdin.write(struct.pack("<3i", *frames.shape[:3]))
                process.stdin.write(np.ascontiguousarray(frames).tobytes())
                process.stdin.flush()
                answer = process.stdout.read(len(frames) * 68 * 3 * 4)
            except BrokenPipeError:
                answer = b""
            if len(answer) == len(frames) * 68 * 3 * 4:
                return np.frombuffer(answer, "<f4").reshape(len(frames), 68, 3)
            self.close()
        raise MeshError(f"{self._python}: MediaPipe's process died twice over the same frames")

    def _running(self) -> subprocess.Popen:
        if self._process is None:
            try:
                self._process = subprocess.Popen(
                    [self._python, str(WORKER)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                )
            except OSError as error:
                raise MeshError(f"--mediapipe-python {self._python}: {error.strerror}") from error
            if self._process.stdout.read(4) != struct.pack("<i", 68):
                self.close()
                raise MeshError(
                    f"--mediapipe-python {self._python}: cannot import mediapipe; give an interpreter of an environment "
                    "with mediapipe==0.10.21"
                )
        return self._process

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
