"""Every reason for which a stretch is refused."""

import numpy as np
import pytest

from talkbench.data.prepare import checks
from talkbench.data.prepare.segments import Dropped
from talkbench.data.prepare.settings import Settings, SettingsError

SETTINGS = Settings()
LOUD = np.sin(np.arange(100 * 640) / 5).astype(np.float32) * 0.3


def reason(check, *args):
    with pytest.raises(Dropped) as refused:
        check(*args)
    return refused.value.reason


def test_sound():
    checks.check_audio(LOUD, len(LOUD), SETTINGS)
    checks.check_audio(LOUD, int(0.92 * len(LOUD)), SETTINGS)
    assert reason(checks.check_audio, LOUD, len(LOUD) // 2, SETTINGS) == "audio_short"
    assert reason(checks.check_audio, LOUD * 1e-5, len(LOUD), SETTINGS) == "silent_audio"
    click = np.zeros_like(LOUD)
    click[: 10 * 640] = LOUD[: 10 * 640]  # 90 % silence, though the RMS is high
    assert reason(checks.check_audio, click, len(click), SETTINGS) == "silent_audio"
    checks.check_audio(click * 0, 0, Settings(allow_silent=True))
    assert checks.audio_flags(np.clip(LOUD * 10, -1, 1), SETTINGS) == ["clipped_audio"]
    assert checks.audio_flags(LOUD, SETTINGS) == []


def test_faces():
    one, none = np.array([[10.0, 10, 50, 50]]), np.zeros((0, 4))
    two = np.concatenate([one, one + 60])
    extra = np.concatenate([one, [[60.0, 60, 70, 70]]])  # much smaller
    checks.check_faces([one] * 19 + [none], 0.95, SETTINGS)
    checks.check_faces([extra] * 20, 0.95, SETTINGS)
    checks.check_faces([two] * 2 + [one] * 18, 0.95, SETTINGS)
    assert reason(checks.check_faces, [one] * 18 + [none] * 2, 0.95, SETTINGS) == "no_face"
    assert reason(checks.check_faces, [], 0.5, SETTINGS) == "no_face"
    assert reason(checks.check_faces, [two] * 3 + [one] * 17, 0.95, SETTINGS) == "several_faces"


def test_length_and_stills():
    checks.check_length(64, SETTINGS)
    assert reason(checks.check_length, 63, SETTINGS) == "too_short"
    checks.check_still(np.arange(100) % 2 == 0, SETTINGS)
    assert reason(checks.check_still, np.arange(100) % 10 > 0, SETTINGS) == "frozen"


def test_grey_edge_counts_constant_rows_only():
    frame = np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8)
    assert checks.grey_edge(frame) == 0
    frame[-7:] = (110, 108, 111)
    assert checks.grey_edge(frame) == 7
    frame[-7:] = 90
    assert checks.grey_edge(frame) == 0


def test_worst_follows_the_order_of_the_reasons():
    drops = [Dropped("shot_cut_in_segment", ""), Dropped("too_short", ""), Dropped("no_face", "")]
    assert checks.worst(drops).reason == "too_short"


@pytest.mark.parametrize(
    "wrong",
    [{"size": 15}, {"codec": "gif"}, {"crop": "round"}, {"quality": 0}, {"min_frames": 0}, {"increase": 3}],
)
def test_settings_name_the_flag(wrong):
    flag = "--" + next(iter(wrong)).replace("_", "-")
    with pytest.raises(SettingsError, match=flag):
        Settings(**wrong)
