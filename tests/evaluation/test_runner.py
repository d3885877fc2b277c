import json
from dataclasses import replace

import numpy as np
import pytest
from toy_benchmark import FRAMES, Source

from talkbench.evaluation import baselines
from talkbench.evaluation.candidate import Candidate, allowed
from talkbench.evaluation.results import aggregate, read_rows
from talkbench.evaluation.runner import run


def rows(results):
    return {row.method: row for row in read_rows(results)}


def test_a_whole_run(tmp_path, protocol, source, judges, noisy):
    seen = []
    everything = [noisy, *baselines.baselines(source, protocol.metrics)]
    report = run(protocol, source, everything, judges, tmp_path, progress=lambda *state: seen.append(state))
    assert report.failed == [] and report.computed == 24 and report.skipped == 0
    assert seen[0] == (0, 6, "p0_c0") and seen[-1] == (6, 6, "")
    table = {name: aggregate(row, protocol) for name, row in rows(tmp_path).items()}
    value = {name: {key: s.value for key, s in summary.items()} for name, (summary, _) in table.items()}
    assert value["oracle"]["psnr"] == 100 and value["oracle"]["l1"] == 0
    assert value["oracle"]["psnr"] > value["noisy"]["psnr"] > value["static"]["psnr"]
    assert value["static"]["lip_gap_r"] == 0 and value["oracle"]["lip_gap_r"] == pytest.approx(1)
    assert value["oracle"]["fid"] == pytest.approx(0, abs=1e-6) and value["noisy"]["fid"] > 0.01
    assert set(value["wrong_audio"]) == {"lse_c"}
    assert value["oracle"]["lse_c"] > value["wrong_audio"]["lse_c"]
    summaries, unavailable = table["noisy"]
    assert unavailable == {"csim": "no identity judge"}
    assert set(summaries) | set(unavailable) == set(protocol.metrics)
    psnr = summaries["psnr"]
    assert psnr.low <= psnr.value <= psnr.high and psnr.clips == 6 and psnr.coverage == 1
    record = json.loads((tmp_path / "noisy/reconstruction/clips/p0_c0.json").read_text())
    assert record["due"] == FRAMES - 1 and record["identity"] == "p0"
    for folder in ("noisy/reconstruction/gallery", "gallery"):
        assert sorted(p.name for p in (tmp_path / folder).iterdir()) == [
            f"p0_c1.{s}" for s in ("mp4", "npz", "png")
        ]
    assert not list(tmp_path.rglob(".*")), "temporary files are left"


def test_the_real_clip_is_judged_once(tmp_path, protocol, source, judges, noisy):
    run(protocol, source, [noisy, baselines.static(), baselines.oracle()], judges, tmp_path)
    assert judges["landmarks"].calls == 6 * (1 + 3)


def test_it_goes_on_where_it_stopped(tmp_path, protocol, source, judges, noisy):
    class Stop(BaseException):
        pass

    def progress(done, total, clip_id):
        if done == 2:
            raise Stop

    with pytest.raises(Stop):
        run(protocol, source, [noisy], judges, tmp_path, progress=progress)
    assert noisy.generate.calls == ["p0_c0", "p0_c1"]
    half, _ = aggregate(rows(tmp_path)["noisy"], protocol)
    assert half["psnr"].clips == 2 and half["psnr"].coverage == pytest.approx(1 / 3)
    report = run(protocol, source, [noisy], judges, tmp_path)
    assert (report.skipped, report.computed) == (2, 4)
    assert noisy.generate.calls == source.clip_ids
    whole, _ = aggregate(rows(tmp_path)["noisy"], protocol)
    assert whole["psnr"].coverage == 1
    source.drawn.clear()
    assert run(protocol, source, [noisy], judges, tmp_path).skipped == 6
    assert source.drawn == []


@pytest.mark.parametrize("change", ["checkpoint", "judge", "data", "protocol", "code"])
def test_what_moves_a_number_is_computed_anew(tmp_path, protocol, source, judges, noisy, change, monkeypatch):
    run(protocol, source, [noisy], judges, tmp_path)
    if change == "checkpoint":
        noisy = replace(noisy, provenance={"checkpoint_hash": "b"})
    elif change == "judge":
        judges["landmarks"].hash = "2"
    elif change == "data":
        source.manifest["version"] = 2
    elif change == "protocol":
        protocol = replace(protocol, version=2)
    else:
        monkeypatch.setattr("talkbench.evaluation.provenance.code_hash", lambda: "other")
    report = run(protocol, source, [noisy], judges, tmp_path)
    assert (report.skipped, report.computed) == (0, 6)


def test_results_of_other_weights_are_not_mixed_in(tmp_path, protocol, source, judges, noisy):
    run(protocol, source, [noisy], judges, tmp_path)

    def stop(done, total, clip_id):
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(
            protocol,
            source,
            [replace(noisy, provenance={"checkpoint_hash": "b"})],
            judges,
            tmp_path,
            progress=stop,
        )
    row = rows(tmp_path)["noisy"]
    assert list(row.clips) == ["p0_c0"] and len(row.stale) == 5
    assert row.provenance["method"]["checkpoint_hash"] == "b"


def test_a_bad_clip_is_reported_and_the_rest_goes_on(tmp_path, protocol, judges, noisy):
    source = Source(broken={"p1_c0"})
    report = run(protocol, source, [noisy, baselines.static()], judges, tmp_path)
    assert report.computed == 10
    assert [(name, clip) for name, clip, _ in report.failed] == [("noisy", "p1_c0"), ("static", "p1_c0")]
    assert "disk on fire" in report.failed[0][2]
    summary, _ = aggregate(rows(tmp_path)["noisy"], protocol)
    assert summary["psnr"].clips == 5 and summary["psnr"].coverage == pytest.approx(5 / 6)
    source.broken.clear()
    again = run(protocol, source, [noisy, baselines.static()], judges, tmp_path)
    assert (again.computed, again.skipped, again.failed) == (2, 10, [])


def test_a_method_that_fails_does_not_stop_the_others(tmp_path, protocol, source, judges):
    def explode(first, driving):
        if driving.clip_id == "p0_c0":
            raise ZeroDivisionError("by design")
        return driving.frames[:5]

    report = run(protocol, source, [Candidate("bad", (), explode), baselines.oracle()], judges, tmp_path)
    assert report.computed == 6 and len(report.failed) == 6
    assert report.failed[0][2] == "ZeroDivisionError: by design"
    assert "was asked for" in report.failed[1][2]
    summaries, unavailable = aggregate(rows(tmp_path)["bad"], protocol)
    assert summaries == {} and "every clip failed" in unavailable["psnr"]


def test_a_torn_result_file_is_computed_anew(tmp_path, protocol, source, judges, noisy):
    run(protocol, source, [noisy], judges, tmp_path)
    path = tmp_path / "noisy/reconstruction/clips/p0_c0.json"
    path.write_text(path.read_text()[:50])
    with pytest.raises(ValueError, match="not a JSON file"):
        read_rows(tmp_path)
    assert run(protocol, source, [noisy], judges, tmp_path).computed == 1


def test_clips_and_frames_can_be_limited(tmp_path, protocol, source, judges, noisy):
    report = run(replace(protocol, clips=2, frames=31), source, [noisy], judges, tmp_path)
    assert report.computed == 2
    assert json.loads((tmp_path / "noisy/reconstruction/clips/p0_c1.json").read_text())["due"] == 30


def test_small_sets_have_no_fid(tmp_path, protocol, source, judges, noisy):
    strict = replace(protocol, options={"ms_ssim": {"scales": 1}})
    run(strict, source, [noisy], judges, tmp_path)
    summaries, unavailable = aggregate(rows(tmp_path)["noisy"], strict)
    assert "96 frames; FID needs 2048" in unavailable["fid"] and summaries["kid"].clips == 6


def test_a_missing_judge_is_said(tmp_path, protocol, source, noisy):
    run(protocol, source, [noisy], {}, tmp_path)
    summaries, unavailable = aggregate(rows(tmp_path)["noisy"], protocol)
    assert set(summaries) == {"l1", "psnr", "ssim", "ms_ssim"}
    assert unavailable["lmd"] == "no landmarks judge" and unavailable["fid"] == "no features judge"


def test_another_judge_is_refused(tmp_path, protocol, source, judges, noisy):
    judges["landmarks"].name = "other"
    with pytest.raises(ValueError, match="another benchmark"):
        run(protocol, source, [noisy], judges, tmp_path)


def test_a_method_sees_what_drives_it(source):
    clip = source.clip("p0_c0")
    count = len(clip.frames)
    numbers = lambda *shape: np.arange(count * np.prod(shape), dtype=np.float32).reshape(count, *shape)  # noqa: E731
    clip = replace(clip, expression=numbers(33), pose=numbers(6), landmarks=numbers(68, 3))
    heard = allowed(clip, ("audio",))
    assert (heard.frames == clip.frames[0]).all() and np.array_equal(heard.audio, clip.audio)
    assert (heard.labels["phoneme"] == 0).all()
    posed = allowed(clip, ("pose",))
    assert np.array_equal(posed.frames, clip.frames) and not posed.audio.any()
    assert (posed.labels["phoneme"] == 0).all()
    assert np.array_equal(allowed(clip, ("video",)).labels["phoneme"], clip.labels["phoneme"])
    told = allowed(clip, ("coefficients",))
    assert np.array_equal(told.pose, clip.pose) and np.array_equal(told.expression, clip.expression)
    assert (told.frames == clip.frames[0]).all() and (told.landmarks == clip.landmarks[0]).all()
    assert (heard.expression == clip.expression[0]).all() and (posed.expression == clip.expression[0]).all()
    with pytest.raises(ValueError, match="driven by"):
        Candidate("x", ("thought",), None)


def test_wrong_audio_is_other_speech_of_the_same_speaker(source):
    for clip_id, other in (("p2_c0", "p2_c1"), ("p2_c1", "p2_c0")):
        clip = source.clip(clip_id)
        sound = baselines.wrong_audio(source).audio(clip)
        assert sound.shape == clip.audio.shape and np.array_equal(sound, source.clip(other).audio)
    assert baselines.other_speech(source, "p1_c1", lambda clip_id: clip_id) == "p2_c0"
    source.clip_ids = ["p0_c0"]
    with pytest.raises(ValueError, match="only clip"):
        baselines.other_speech(source, "p0_c0", lambda clip_id: "one")


def test_a_part_is_compared_with_the_part(tmp_path, protocol, source, judges):
    def lower_half(clip):
        return replace(clip, frames=clip.frames[:, clip.frames.shape[1] // 2 :])

    def half(of):
        return lambda source_frame, clip: of(clip).frames

    simple = replace(protocol, metrics=("psnr", "l1"), judges={}, options={})
    everyone = [
        Candidate("part", ("video",), half(lower_half), reference=lower_half),
        Candidate("whole", ("video",), half(lambda clip: clip), reference=lower_half),
    ]
    report = run(simple, source, everyone, {}, tmp_path)
    assert {name for name, *_ in report.failed} == {"whole"}
    table, _ = aggregate(rows(tmp_path)["part"], simple)
    assert table["psnr"].value == 100 and table["l1"].value == 0
