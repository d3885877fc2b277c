"""MediaPipe's face mesh as 68 points, run by an interpreter of its own: `python mesh_worker.py` speaks on stdin and stdout.

MediaPipe 0.10.21 wants numpy below 2, so that it cannot live in this project's environment; this file imports nothing of it.
A question is three little-endian int32 (frames, height, width) and the RGB bytes; the answer, for each frame 68 x 3 float32
(x right, y down, z towards the viewer, in pixels), NaN where there is no face. No frames: the next picture begins a new video.
"""

import importlib
import struct
import sys

import numpy as np

# of the mesh's 478 points, in iBUG order
POINTS = [
    *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),  # jaw
    *(71, 63, 105, 66, 107, 336, 296, 334, 293, 301),  # brows
    *(168, 197, 5, 4, 75, 97, 2, 326, 305),  # nose
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),  # eyes
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),  # outer mouth
    *(78, 82, 13, 312, 308, 317, 14, 87),  # inner mouth
]


def points_of(mesh, frame: np.ndarray) -> np.ndarray:
    """float32 (68, 3) of the face in uint8 (H, W, 3), NaN without one."""
    found = mesh.process(frame).multi_face_landmarks
    if not found:
        return np.full((68, 3), np.nan, np.float32)
    height, width = frame.shape[:2]
    marks = found[0].landmark
    return np.array(
        [(marks[i].x * width, marks[i].y * height, -marks[i].z * width) for i in POINTS], np.float32
    )


def main() -> None:
    """Answers until stdin ends."""
    questions, answers = sys.stdin.buffer, sys.stdout.buffer
    mediapipe = importlib.import_module("mediapipe")
    mesh = mediapipe.solutions.face_mesh.FaceMesh(max_num_faces=1, refine_landmarks=True)
    answers.write(struct.pack("<i", 68))  # ready
    answers.flush()
    while header := questions.read(12):
        count, height, width = struct.unpack("<3i", header)
        if count == 0:
            mesh.reset()
            continue
        data = questions.read(count * height * width * 3)
        frames = np.frombuffer(data, np.uint8).reshape(count, height, width, 3)
        answers.write(np.stack([points_of(mesh, frame) for frame in frames]).astype("<f4").tobytes())
        answers.flush()


if __name__ == "__main__":
    main()
