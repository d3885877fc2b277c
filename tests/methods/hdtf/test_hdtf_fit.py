from dataclasses import replace

import numpy as np
import pytest

from talkbench.data.store import Store, write_store
from talkbench.data.synthetic.source import synthetic_clip
from talkbench.data.view import view_of
from talkbench.methods.hdtf import fit, mesh
from talkbench.methods.hdtf.face_fit import FitError
from talkbench.methods.hdtf.features import motion_of

FRAMES, SIZE = 8, 32  # as many frames as the tests of the fit itself: one compiled program


@pytest.fixture(scope="module")
def clip():
    return synthetic_clip(3, 0, FRAMES, SIZE)


def test_a_set_with_landmarks_gets_coefficients(clip, tmp_path, capsys):
    """The fitted clip's mesh moves as the labelled one's, and the copy can be trained on."""
    bare = replace(clip, shape=None, expression=None, pose=None, labels={})
    blind = replace(bare, clip_id="blind", landmarks=None)
    write_store(tmp_path / "bare", [bare, blind])
    fit.main(["--data", f"folder={tmp_path / 'bare'}", "--size", str(SIZE), "--out", str(tmp_path / "out")])
    heard = capsys.readouterr()
    assert "left out blind: blind: no landmarks" in heard.err and "1 of 2 clips" in heard.out
    (made,) = Store(tmp_path / "out").clips()
    np.testing.assert_array_equal(made.frames, clip.frames)
    some = np.arange(FRAMES)
    ours, true = (mesh.points(motion_of(view_of(c), some, SIZE), SIZE) for c in (made, clip))
    assert np.abs(ours - true).mean() < 0.01 * SIZE
    moves = np.diff(made.pose[:, 3:5], axis=0) - np.diff(clip.pose[:, 3:5], axis=0)
    assert np.abs(moves).max() < 0.02 * SIZE
    assert made.pose[:, 5] == pytest.approx(SIZE / 3, rel=0.1)


def test_what_fits_badly_is_left_out(clip, capsys):
    assert list(fit.fitted_clips([clip], limit=1e-9)) == []
    assert "% of the face off" in capsys.readouterr().err
    with pytest.raises(FitError, match="no landmarks"):
        fit.fitted(replace(clip, landmarks=None))
