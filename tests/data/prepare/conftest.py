"""Files that every preparation test begins with."""

import numpy as np
import pytest
from prepare_videos import SIDE, face_points, pictures, speech, write, write_face


@pytest.fixture(scope="session")
def raw(tmp_path_factory):
    """Six files: two good ones, one of two shots, one without landmarks (so without a face), one mute, one of text."""
    folder = tmp_path_factory.mktemp("raw")
    write_face(folder / "id00017" / "talk" / "00001.mp4", 1)
    write_face(folder / "b.mp4", 2, 14)
    cut = np.concatenate([255 - pictures(10, 3) // 3, pictures(12, 4) // 3])
    write(folder / "c.mp4", cut, speech(22), face_points(22))
    plain = (
        np.full((12, SIDE, SIDE, 3), 90, np.uint8) + np.arange(12, dtype=np.uint8)[:, None, None, None] * 3
    )
    write(folder / "d.mp4", plain, speech(12))
    write(folder / "e.mp4", pictures(12, 6), None, face_points(12))
    (folder / "f.mp4").write_text("no video\n")
    return folder
