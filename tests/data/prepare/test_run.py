"""Whole preparations: the same bytes whoever does the work and however often it is killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from dying import dies
from prepare_videos import face_points, write_face

from talkbench.data.media import read_video
from talkbench.data.prepare import pool
from talkbench.data.prepare.report import write_report
from talkbench.data.prepare.run import prepare, records
from talkbench.data.prepare.settings import Settings
from talkbench.data.prepare.trees import read
from talkbench.data.prepare.units import TreeError
from talkbench.data.prepare.verification import verify
from talkbench.data.prepare.workplace import Workplace
from talkbench.data.sources import SourceError, held_out, open_store
from talkbench.data.store import StoreError

SETTINGS = Settings(size=32, min_frames=8, codec="png")


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def everything(out):
    """Bytes of all files below a prepared folder; how often a refused file was tried is no part of it."""
    found = {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}
    return found | {"quarantine.jsonl": [row | {"tries": 0} for row in lines(out / "quarantine.jsonl")]}


@pytest.fixture(scope="module")
def prepared(raw, tmp_path_factory):
    out = tmp_path_factory.mktemp("prepared") / "out"
    summary = prepare(read("folder", raw), SETTINGS, out, "folder", workers=1)
    assert summary.packed and (summary.sources, summary.accepted) == (6, 3)
    return out


def test_every_file_is_accounted_for(prepared):
    refused = {row["path"]: row["reason"] for row in lines(prepared / "quarantine.jsonl")}
    assert refused == {"d.mp4": "no_face", "e.mp4": "no_audio", "f.mp4": "unreadable"}
    sources = {row["path"]: row["clips"] for row in lines(prepared / "sources.jsonl")}
    assert (
        sources["c.mp4"] == ["c#000", "c#001"] and sources["d.mp4"] == []
    )  # cut in two at the change of the shot
    assert sources["id00017/talk/00001.mp4"] == ["id00017#talk#00001"]
    manifest = records(prepared).manifest
    assert manifest["prepare"]["quarantined"] == {"no_audio": 1, "no_face": 1, "unreadable": 1}
    assert manifest["size"] == 32 and manifest["clips"] == 4 and not (prepared / "work").exists()


def test_records_hold_the_file(prepared, raw):
    store = records(prepared)
    clip, video = store.clip("id00017#talk#00001"), read_video(raw / "id00017/talk/00001.mp4", 32)
    np.testing.assert_array_equal(clip.frames, video.frames)
    np.testing.assert_allclose(clip.audio, video.audio, atol=1e-4)
    np.testing.assert_allclose(clip.landmarks[..., :2], face_points(12)[..., :2] / 2, atol=1e-4)
    assert (
        clip.identity == "id00017" and clip.labels["detected"].all() and clip.landmark_source == "file:test"
    )
    first, second = store.meta("c#000"), store.meta("c#001")
    assert (first["first_frame"], second["first_frame"]) == (0, 10)
    assert second["crop"] == {"tag": "whole", "box": [0, 0, 64, 64], "face_side": pytest.approx(37.5, abs=1)}
    np.testing.assert_array_equal(store.clip("c#001").frames, read_video(raw / "c.mp4", 32).frames[10:])


def test_verify_finds_nothing_and_then_what_was_broken(prepared, raw, tmp_path):
    assert [faults for _, faults in verify(prepared)] == [[]] * 6
    shutil.copytree(prepared, tmp_path / "out")
    shard = next((tmp_path / "out/records").glob("frames-*"))
    damaged = bytearray(shard.read_bytes())
    damaged[len(damaged) // 2] ^= 255
    shard.write_bytes(damaged)
    sources = tmp_path / "out/sources.jsonl"
    kept = [line for line in sources.read_text().splitlines() if "b.mp4" not in line]
    sources.write_text("\n".join([*kept, kept[-1]]) + "\n")
    text = str([faults for _, faults in verify(tmp_path / "out")])
    assert "differs from its checksum" in text and "talk/00001.mp4 is listed twice" in text
    assert "clip b comes from no source" in text
    with pytest.raises(StoreError, match="data prepare"):
        next(verify(tmp_path))


def test_shards_and_more_workers_give_the_same_bytes(prepared, raw, tmp_path):
    listing = read("folder", raw)
    for part in range(2):
        assert not prepare(listing, SETTINGS, tmp_path / "out", "folder", workers=1, shard=(part, 2)).packed
    assert not (tmp_path / "out/records").exists()
    summary = prepare(listing, SETTINGS, tmp_path / "out", "folder", workers=2)
    assert summary.packed and summary.surveyed == 0  # nothing was left to do but the packing
    assert everything(tmp_path / "out") == everything(prepared)
    again = prepare(listing, SETTINGS, tmp_path / "out", "folder", workers=1, progress=pytest.fail)
    assert (again.sources, again.accepted, again.clips) == (6, 3, 4)  # all is there: no file is read


def test_killed_and_begun_again_gives_the_same_bytes(prepared, raw, tmp_path):
    code = f"""
        import os, signal, sys
        from pathlib import Path
        from talkbench.data.prepare.run import prepare
        from talkbench.data.prepare.settings import Settings
        from talkbench.data.prepare.trees import read
        if __name__ == "__main__":
            def stop(done, total, name):
                if done == int(sys.argv[1]):
                    os.kill(os.getpid(), signal.SIGKILL)
            settings = Settings(size=32, min_frames=8, codec="png")
            prepare(read("folder", Path({str(raw)!r})), settings, Path({str(tmp_path / "out")!r}), "folder", progress=stop)
    """
    script = tmp_path / "killed.py"
    script.write_text(textwrap.dedent(code))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    for stop in (1, 4):
        done = subprocess.run([sys.executable, script, str(stop)], env=environment)
        assert done.returncode == -signal.SIGKILL
    # what a kill in the midst of writing leaves
    half = next((tmp_path / "out/work").glob("*/*.done"))
    (half.parent / f".{half.stem}.frames.1.tmp").write_bytes(b"half")
    half.unlink()
    prepare(read("folder", raw), SETTINGS, tmp_path / "out", "folder", workers=1)
    assert everything(tmp_path / "out") == everything(prepared)


def test_killed_while_it_cleans_up(prepared, raw, tmp_path, monkeypatch):
    """Finished work is put out of the way in one step: a half of it would look like work that is done, without its clips."""
    listing, out = read("folder", raw), tmp_path / "out"
    removed = shutil.rmtree

    def killed(folder, **_):
        if Path(folder).name.startswith((".work", "work")) and Path(folder).exists():
            next(Path(folder).rglob("*.clips")).unlink()
            raise KeyboardInterrupt
        removed(folder, ignore_errors=True)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "rmtree", killed)
        prepare(listing, SETTINGS, out, "folder", workers=1)
    (out / ".sources.jsonl.half").write_text("half")
    assert prepare(listing, SETTINGS, out, "folder", workers=1, progress=pytest.fail).clips == 4
    assert everything(out) == everything(prepared)


def test_a_file_that_kills_the_decoder_costs_itself_alone(tmp_path):
    for number, name in enumerate(("killer", "once")):
        write_face(tmp_path / "raw" / f"{name}.mp4", number, 8)
    (tmp_path / "work").mkdir()
    units = read("folder", tmp_path / "raw").units
    rows = {unit.name: row for unit, row in pool.run(units, SETTINGS, tmp_path / "work", 1, dies)}
    once = rows["once.mp4"]
    assert once["verdict"] == "accepted" and Workplace(tmp_path / "work").tries(once["key"])["deaths"] == 1
    assert rows["killer.mp4"]["reason"] == "crashed_worker" and rows["killer.mp4"]["tries"] == 3


def test_two_files_that_would_be_one_clip(tmp_path):
    for name in ("a/b.mp4", "a#b.mp4"):
        write_face(tmp_path / "raw" / name)
    with pytest.raises(TreeError, match="rename one"):
        prepare(read("folder", tmp_path / "raw"), SETTINGS, tmp_path / "out", "folder")


def test_report_is_one_page_with_pictures(prepared, raw):
    before = everything(prepared)
    page = write_report(prepared, raw).read_text()
    assert (
        page.count("data:image/jpeg;base64,") == 4 + 2
    )  # four clips, and the refused files that can be opened
    for text in ("no_face", "f.mp4", "duration (s)", "clips of split (none)", "id00017#talk#00001"):
        assert text in page
    assert "yaw" not in page  # flat landmarks say nothing of pose
    (prepared / "report.html").unlink()
    assert everything(prepared) == before


def test_training_reads_the_records(prepared, capsys):
    store = open_store(f"prepared={prepared}", 32, "train")
    assert len(store) == 4 and capsys.readouterr().out == ""  # a folder has no splits
    assert not held_out(f"folder={prepared}", "val")
    with pytest.raises(SourceError, match="--size 64"):
        open_store(f"folder={prepared}", 64, "train")
    with pytest.raises(SourceError, match="was prepared as folder"):
        open_store(f"hdtf={prepared}", 32, "train")
