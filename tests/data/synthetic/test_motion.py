import os
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest

from talkbench.data.synthetic import motion, speech
from talkbench.resources import PACKAGE


def test_shapes_types_and_ranges():
    for identity in (0, 9, 1003):
        clip = motion.controls(identity, 1, 40)
        shapes = {
            f.name: (getattr(clip, f.name).shape, getattr(clip, f.name).dtype.name) for f in fields(clip)
        }
        assert shapes == {
            "audio": ((25600,), "float32"),
            "expression": ((40, 33), "float32"),
            "blink": ((40, 2), "float32"),
            "gaze": ((40, 2), "float32"),
            "pose": ((40, 5), "float32"),
            "phoneme": ((40,), "int8"),
            "stress": ((40,), "float32"),
            "f0": ((40,), "float32"),
        }
        for f in fields(clip):
            assert np.isfinite(getattr(clip, f.name)).all()
        assert 0 <= clip.expression.min() and clip.expression.max() <= 1
        assert 0 <= clip.blink.min() and clip.blink.max() <= 1
        assert (np.abs(clip.gaze).max(0) <= np.float32((0.6, 0.3))).all()


def test_clip_does_not_depend_on_what_was_made_before():
    wanted = motion.controls(11, 3, 50)
    for other in (0, 12, 11):
        motion.controls(other, 2, 30)
    again = motion.controls(11, 3, 50)
    for f in fields(wanted):
        np.testing.assert_array_equal(getattr(wanted, f.name), getattr(again, f.name))


def test_another_process_makes_the_same_clip():
    code = (
        "import numpy as np; from talkbench.data.synthetic.motion import controls; c = controls(6, 1, 25);"
        "print([float(np.abs(x).astype(float).sum()) for x in (c.audio, c.expression, c.pose, c.gaze)])"
    )
    path = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=path)
    c = motion.controls(6, 1, 25)
    here = [float(np.abs(x).astype(float).sum()) for x in (c.audio, c.expression, c.pose, c.gaze)]
    assert eval(done.stdout) == here


def test_clip_is_the_one_it_was():
    """Change of any number here asks for a new SYNTHETIC_VERSION."""
    clip = motion.controls(1000, 0, 100)
    found = {
        "jaw": clip.expression[::20, 0],
        "yaw": clip.pose[::20, 0],
        "phoneme": clip.phoneme[::8],
        "audio": clip.audio[320::6400],
    }
    for name, value in found.items():
        np.testing.assert_allclose(value, EXPECTED[name], atol=1e-4, err_msg=name)


EXPECTED = {
    "jaw": [0.00208, 0.41653, 0.39665, 0.19304, 0.15485],
    "yaw": [9.9944, -10.8541, -0.1092, -2.6631, -2.0217],
    "phoneme": [0, 8, 12, 21, 2, 2, 21, 28, 0, 0, 9, 18, 3],
    "audio": [-0.00036, 0.01635, -0.13723, 0.08562, -0.0867, 0.00362, -0.00722, -0.0001, 0.02205, 0.00934],
}


def test_clips_and_speakers_differ():
    first, second, other = motion.controls(5, 0, 75), motion.controls(5, 1, 75), motion.controls(6, 0, 75)
    for clip in (second, other):
        assert np.abs(np.corrcoef(first.audio, clip.audio)[0, 1]) < 0.1
        assert np.abs(first.expression - clip.expression).mean() > 0.01
        assert np.abs(first.pose - clip.pose).mean() > 0.5


def test_drift_has_the_deviation_it_is_given():
    noise = motion.drift(np.random.default_rng(0), 200, 0.5, 3.0)
    assert noise.std() == pytest.approx(3.0) and abs(noise.mean()) < 1e-9
    assert np.abs(np.diff(noise)).max() < 1.0
    short = motion.drift(np.random.default_rng(0), 5, 0.5, 3.0)
    assert short.shape == (5,) and np.abs(np.diff(short)).max() < 1.5


def test_eyes_blink_now_and_then_and_fixate():
    blinks = [motion.controls(i, 0, 75).blink for i in range(40)]
    rate = np.mean([(b[:, 0] == 1).sum() for b in blinks]) / 3
    assert 0.15 < rate < 0.5
    voice = speech.speaker(0)
    still = np.tile(np.array([*voice.rest, 0, 0]), (75, 1))
    look = motion.gaze(voice, np.random.default_rng(0), still)
    assert 1 <= (np.abs(np.diff(look[:, 0])) > 0).sum() <= 6


def test_eyes_turn_against_the_head():
    voice = speech.speaker(0)
    turned = np.tile(np.array([*voice.rest, 0, 0]), (25, 1))
    turned[:, 0] += 20
    straight = motion.gaze(voice, np.random.default_rng(1), np.tile(np.array([*voice.rest, 0, 0]), (25, 1)))
    look = motion.gaze(voice, np.random.default_rng(1), turned)
    np.testing.assert_allclose(look[:, 0], np.clip(straight[:, 0] - 0.6 * np.radians(20), -0.6, 0.6))


@pytest.mark.parametrize("wrong", [(-1, 0, 10), (0, -1, 10), (0, 0, 0)])
def test_wrong_numbers_are_told(wrong):
    with pytest.raises(ValueError, match="identity"):
        motion.controls(*wrong)
