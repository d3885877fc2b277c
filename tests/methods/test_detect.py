import numpy as np
import pytest

from talkbench.methods import detect


def test_an_unknown_detector_is_named():
    with pytest.raises(detect.DetectError, match="model.detector='retina': there are synthetic and fan"):
        detect.landmarks(np.zeros((16, 16, 3), np.uint8), "retina")


def test_a_picture_without_a_face_is_refused(monkeypatch):
    from talkbench.evaluators import s3fd
    from talkbench.weights import store

    monkeypatch.setattr(store, "path_of", lambda name: name)
    monkeypatch.setattr(s3fd, "read_weights", lambda path: path)
    monkeypatch.setattr(s3fd, "detect", lambda weights, pictures: weights)
    monkeypatch.setattr(s3fd, "largest", lambda found: np.full((1, 5), np.nan))
    with pytest.raises(detect.DetectError, match="no face found in the source picture"):
        detect.landmarks(np.zeros((16, 16, 3), np.uint8), "fan")
