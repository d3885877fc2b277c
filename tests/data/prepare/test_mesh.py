"""The pipe to MediaPipe's own interpreter, with a stand-in for MediaPipe."""

import sys
import textwrap

import numpy as np
import pytest

from talkbench.data.prepare.faces import open_backend
from talkbench.data.prepare.mesh_worker import POINTS

FAKE = """
    import os, types
    class FaceMesh:
        def __init__(self, **options):
            assert options == {"max_num_faces": 1, "refine_landmarks": True}
            self.frames = 0
        def reset(self):
            self.frames = 0
        def process(self, frame):
            self.frames += 1
            if frame[0, 0, 0] == 255:
                os._exit(1)
            if frame[0, 0, 0] == 0:
                return types.SimpleNamespace(multi_face_landmarks=None)
            mark = lambda i: types.SimpleNamespace(x=i / 478, y=self.frames / 10, z=-0.5)
            face = types.SimpleNamespace(landmark=[mark(i) for i in range(478)])
            return types.SimpleNamespace(multi_face_landmarks=[face])
    solutions = types.SimpleNamespace(face_mesh=types.SimpleNamespace(FaceMesh=FaceMesh))
"""


@pytest.fixture
def mesh(tmp_path, monkeypatch):
    (tmp_path / "mediapipe.py").write_text(textwrap.dedent(FAKE))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    mesh = open_backend(("talkbench.data.prepare.mesh:Mesh", sys.executable))
    yield mesh
    mesh.close()


def test_points_come_back_in_pixels(mesh):
    frames = np.full((3, 20, 40, 3), 9, np.uint8)
    frames[1] = 0
    points = mesh.landmarks(frames)
    assert points.shape == (3, 68, 3) and np.isnan(points[1]).all()
    np.testing.assert_allclose(points[0, :, 0], np.array(POINTS) / 478 * 40, rtol=1e-5)
    np.testing.assert_allclose(points[[0, 2], 0, 1], [2, 6])  # the third frame it saw
    assert (points[0, :, 2] == 20).all()  # towards the viewer
    mesh.begin()
    assert mesh.landmarks(frames[:1])[0, 0, 1] == pytest.approx(2)  # nothing is left of the video before
    assert len(set(POINTS)) == 68


def test_a_process_that_dies_is_made_anew_and_said_if_in_vain(mesh):
    with pytest.raises(RuntimeError, match="died twice"):
        mesh.landmarks(np.full((1, 20, 40, 3), 255, np.uint8))
    assert np.isfinite(mesh.landmarks(np.full((1, 20, 40, 3), 9, np.uint8))).all()


def test_an_interpreter_without_mediapipe(tmp_path):
    mesh = open_backend(("talkbench.data.prepare.mesh:Mesh", str(tmp_path / "python")))
    with pytest.raises(RuntimeError, match="--mediapipe-python"):
        mesh.landmarks(np.zeros((1, 8, 8, 3), np.uint8))
