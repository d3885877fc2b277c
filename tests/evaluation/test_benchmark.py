"""The embedded benchmark on two clips, with its own judges."""

from dataclasses import replace

from talkbench.evaluation import benchmark, protocol, runner
from talkbench.evaluation.baselines import baselines
from talkbench.evaluation.results import aggregate, read_rows
from talkbench.evaluators import builtin
from talkbench.leaderboard import tables

EIGHT = {"psnr", "ssim", "fid", "lmd", "d_ll", "d_v", "akd", "lse_c"}


def test_every_row_has_every_metric_of_the_benchmark(tmp_path):
    whole = protocol.load("synthetic")
    fid = {"frames_per_clip": 39, "allow_small": True}
    short = replace(whole, clips=2, frames=40, options={**whole.options, "fid": fid})
    clips, judges = benchmark.source(short), benchmark.judges(short.judges)
    assert {kind: judge.name for kind, judge in judges.items()} == dict(whole.judges)
    report = runner.run(short, clips, baselines(clips, short.metrics), judges, tmp_path)
    assert report.failed == []
    rows = {row.method: row for row in read_rows(tmp_path)}
    assert {name: row.kind for name, row in rows.items()} == dict.fromkeys(
        ("oracle", "static", "wrong_audio"), "baseline"
    )
    value = {}
    for name, row in rows.items():
        found, unavailable = aggregate(row, short)
        assert unavailable == {}
        value[name] = {key: summary.value for key, summary in found.items()}
        seen = row.provenance["judges"]
        assert seen["sync"] == {"name": "synth-sync", "hash": builtin.sync_judge().hash}
        assert seen["features"] == {"name": "synth-features", "hash": builtin.feature_judge().hash}
    assert set(value["oracle"]) == set(value["static"]) == set(whole.metrics) >= EIGHT
    assert set(value["wrong_audio"]) == {"lse_c", "lse_d", "av_offset"}
    assert value["oracle"]["fid"] < 1e-3 < value["static"]["fid"]
    assert value["static"]["csim"] < value["oracle"]["csim"]
    assert value["oracle"]["lse_c"] > value["wrong_audio"]["lse_c"]
    assert value["oracle"]["lse_c"] > value["static"]["lse_c"]
    table = tables.build(short, list(rows.values()))
    assert table["metrics"]["fid"]["judge"] == "synth-features"
    assert table["metrics"]["csim"]["judge"] == "synth-identity"
