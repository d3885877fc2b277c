"""Sound against lips: what the judge says is kept, flagged, or refused."""

import numpy as np
import pytest
from prepare_videos import face_points, pictures, speech, write, write_face

from talkbench.cli.main import main
from talkbench.data.prepare.settings import Settings, SettingsError
from talkbench.data.prepare.trees import read
from talkbench.data.prepare.work import work
from talkbench.data.prepare.workplace import Workplace

CALL = ("a.module:function",)


class Judge:
    """Finds the offsets that it is given, one a clip."""

    name, hash = "test-sync", "abc"

    def __init__(self, *offsets):
        self.offsets = list(offsets)

    def offset(self, frames, audio):
        assert (
            frames.dtype == np.uint8 and frames.shape[1:] == (32, 32, 3) and len(audio) == 640 * len(frames)
        )
        self.seen = len(frames)
        found = self.offsets.pop(0)
        return None if found is None else {"offset": found, "confidence": 4.5}


def done(folder, judge, **settings):
    """The row of the one file in `folder`, and the records of its clips."""
    (unit,) = read("folder", folder).units
    place = Workplace(folder.parent / "work")
    given = Settings(size=32, min_frames=8, codec="png", sync="test", sync_backend=CALL, **settings)
    opened = []
    row = work(unit, given, place, lambda call: opened.append(call) or judge)
    assert opened == [CALL]
    return row, [place.clip(row["key"], n)[1] for n in range(len(row["clips"]))]


@pytest.fixture
def one(tmp_path):
    write_face(tmp_path / "raw" / "a.mp4")
    return tmp_path / "raw"


@pytest.mark.parametrize("offset, flagged", [(0, False), (-3, False), (-5, True), (4, True)])
def test_the_offset_is_kept_and_a_large_one_flagged(one, offset, flagged):
    row, (meta,) = done(one, Judge(offset))
    assert meta["sync"] == {"offset": offset, "confidence": 4.5, "judge": "test-sync", "hash": "abc"}
    assert ("out_of_sync" in meta["flags"]) == ("out_of_sync" in row["clips"][0]["flags"]) == flagged


def test_the_judge_may_see_no_face_and_sees_the_begin_only(one):
    judge = Judge(None)
    _, (meta,) = done(one, judge, sync_frames=9)
    assert meta["sync"] is None and judge.seen == 9


def test_beyond_the_allowed_offset_clips_are_refused(one):
    row, clips = done(one, Judge(-2), most_offset=1)
    assert clips == [] and (row["verdict"], row["reason"], row["stage"]) == (
        "quarantined",
        "out_of_sync",
        "sync",
    )
    assert row["detail"] == "its sound is 2 frames late, at most 1 are allowed (test-sync)"


def test_of_two_clips_of_a_file_one_is_refused(tmp_path):
    cut = np.concatenate([255 - pictures(10, 3) // 3, pictures(12, 4) // 3])
    (tmp_path / "raw").mkdir()
    write(tmp_path / "raw" / "c.mp4", cut, speech(22), face_points(22))
    row, (meta,) = done(tmp_path / "raw", Judge(2, 1), most_offset=1)
    assert row["verdict"] == "accepted" and [c["clip_id"] for c in row["clips"]] == ["c#001"]
    assert meta["first_frame"] == 10 and meta["sync"]["offset"] == 1
    assert [(d["clip_id"], d["reason"]) for d in row["dropped"]] == [("c#000", "out_of_sync")]


def test_weights_that_are_missing_are_said_before_the_work(one, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TALKBENCH_WEIGHTS", str(tmp_path / "none"))
    call = ["data", "prepare", "--dataset", "folder", "--source", str(one), "--out", str(tmp_path / "out")]
    assert main([*call, "--sync", "syncnet"]) != 0
    said = capsys.readouterr().err
    assert "--sync syncnet: " in said and "is not available: run talkbench weights fetch syncnet" in said
    assert said.strip().count("\n") == 0 and not (tmp_path / "out").exists()
    with pytest.raises(SettingsError, match="--most-offset"):
        Settings(most_offset=1)


def test_the_command_names_the_judge_for_the_workers(one, tmp_path, monkeypatch):
    from talkbench.data.prepare import run

    given = []
    monkeypatch.setattr(
        run, "prepare", lambda listing, settings, *_, **__: given.append(settings) or run.Summary()
    )
    call = ["data", "prepare", "--dataset", "folder", "--source", str(one), "--out", str(tmp_path / "out")]
    main([*call, "--sync", "synth-sync", "--most-offset", "3"])
    assert (
        given[0].sync_backend == ("talkbench.evaluators.offset:load", "synth-sync")
        and given[0].most_offset == 3
    )
