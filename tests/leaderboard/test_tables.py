import copy
import json

import numpy as np
import pytest

from talkbench.evaluation.protocol import Protocol
from talkbench.evaluation.provenance import digest
from talkbench.evaluation.results import Row
from talkbench.leaderboard import check, tables

TOY = Protocol(
    name="toy",
    version=3,
    title="Toy <heads> | 16 px",
    dataset="toy",
    split="test",
    size=16,
    metrics=("psnr", "lmd", "lip_gap_r", "csim", "lse_c"),
    judges={"landmarks": "toy-landmarks", "sync": "toy-sync"},
    tolerances={"psnr": 0.5, "lmd": 0.1},
)


@pytest.fixture
def protocol():
    return TOY


def make_row(name, kind, values, driven_by=(), failed=(), clips=8):
    rng = np.random.default_rng(0)
    record = {"method": {"name": name}, "protocol": {"hash": digest(TOY.scoring())}}
    row = Row(name, kind, "reconstruction", list(driven_by), record, "h", [], None)
    row.due = [f"c{i}" for i in range(clips)]
    for i, clip_id in enumerate(row.due):
        if clip_id in failed:
            row.failed[clip_id] = "broken"
            continue
        wobble = rng.normal(0, 0.01)
        row.clips[clip_id] = {
            "identity": f"p{i // 2}",
            "due": 39,
            "metrics": {key: {"value": v + wobble, "scored": 39} for key, v in values.items()},
            "unavailable": {"csim": "no identity judge"},
        }
    return row


@pytest.fixture
def rows():
    return [
        make_row("static", "baseline", {"psnr": 20.0, "lmd": 3.0, "lip_gap_r": 0.0}),
        make_row("oracle", "baseline", {"psnr": 100.0, "lmd": 0.0, "lip_gap_r": 1.0, "lse_c": 5.0}),
        make_row(
            "<b>weak</b>", "method", {"psnr": 19.0, "lmd": 2.5, "lip_gap_r": 0.2, "lse_c": 1.0}, ("audio",)
        ),
        make_row("strong", "method", {"psnr": 28.0, "lmd": 1.0, "lip_gap_r": 0.9, "lse_c": 6.0}, ("video",)),
    ]


@pytest.fixture
def table(protocol, rows):
    return tables.build(protocol, rows)


def test_the_schema_that_others_read(table, protocol):
    assert table["benchmark"] == "toy" and table["version"] == 3
    assert table["metrics"]["lmd"] == {
        "name": "LMD",
        "unit": "px of 256",
        "better": "lower",
        "judge": "toy-landmarks",
        "version": protocol.metric_version("lmd"),
    }
    assert table["metrics"]["psnr"]["judge"] is None
    assert [row["method"] for row in table["rows"]] == ["strong", "<b>weak</b>", "oracle", "static"]
    strong = table["rows"][0]
    assert {"method", "kind", "task", "driven_by", "metrics", "provenance"} <= set(strong)
    assert set(strong["metrics"]["psnr"]) == {"value", "low", "high", "clips", "coverage"}
    assert (
        strong["metrics"]["psnr"]["low"]
        < strong["metrics"]["psnr"]["value"]
        < strong["metrics"]["psnr"]["high"]
    )
    assert "csim" not in strong["metrics"] and strong["unavailable"] == {"csim": "no identity judge"}
    assert json.loads(json.dumps(table)) == table


def test_files(table, tmp_path):
    paths = tables.write(table, tmp_path)
    assert [path.name for path in paths] == ["toy.json", "toy.md", "toy.csv"]
    assert tables.read(paths[0]) == table and tables.is_sealed(table)
    text = paths[1].read_text()
    assert "PSNR (dB) ↑" in text and "LMD (px of 256) ↓" in text and "toy-landmarks" in text
    assert "| strong | video | **28.0" in text and "*static*" in text
    assert "CSIM: not available: no identity judge" in text
    lines = paths[2].read_text().splitlines()
    assert (
        lines[0].startswith("method,kind,task,driven_by,metric,value,low,high")
        and len(lines) == 1 + 4 + 4 + 4 + 3
    )
    with pytest.raises(tables.TableError, match="does not exist"):
        tables.read(tmp_path / "other.json")


def test_a_broken_benchmark_says_so(protocol, rows):
    notes = tables.warnings(tables.build(protocol, rows))
    assert any("<b>weak</b> does not beat the still frame in PSNR" in note for note in notes)
    assert not any("oracle" in note for note in notes)  # LSE-C above the real clip's is possible
    rows.append(make_row("cheat", "method", {"psnr": 101.0, "lmd": 1.0}))
    assert any(
        "cheat is above the oracle in PSNR" in n for n in tables.warnings(tables.build(protocol, rows))
    )


def test_a_row_of_other_pictures_is_not_ranked(protocol, rows):
    crop = make_row("strong-crop", "method", {"psnr": 40.0, "lmd": 0.1}, ("video",))
    crop.provenance["method"]["compared_with"] = "its own cut of the clip"
    table = tables.build(protocol, [*rows, crop])
    assert [row["method"] for row in table["rows"]][:3] == ["strong", "<b>weak</b>", "strong-crop"]
    assert tables.best(table, "psnr", "reconstruction") < 30
    assert any("strong-crop is compared with its own cut" in note for note in tables.warnings(table))


def test_few_scored_frames_are_flagged(protocol, rows):
    rows.append(make_row("half", "method", {"psnr": 25.0}, failed={"c0", "c1", "c2", "c3"}))
    table = tables.build(protocol, rows)
    half = next(row for row in table["rows"] if row["method"] == "half")
    assert half["metrics"]["psnr"]["coverage"] == 0.5 and half["metrics"]["psnr"]["clips"] == 4
    assert any("half: under 95%" in note for note in tables.warnings(table))
    assert "(50% scored)" in tables.markdown(table)


def test_rows_of_another_version_are_left_out(protocol, rows):
    rows[3].provenance["protocol"] = {"hash": "older"}
    with pytest.warns(UserWarning, match="results of strong are of another version of toy"):
        table = tables.build(protocol, rows)
    assert "strong" not in [row["method"] for row in table["rows"]]


def test_published_figures_stand_apart(protocol, rows, tmp_path):
    path = tmp_path / "published.toml"
    entry = (
        '[[row]]\nmethod = "paper"\nprotocol = "toys"\nmetric = "PSNR"\nvalue = 99.1\nsource = "Table 2"\n'
    )
    path.write_text(f'{entry}beside = "toy"\n{entry}beside = "other"\n')
    plain, table = tables.build(protocol, rows), tables.build(protocol, rows, published=path)
    assert table["rows"] == plain["rows"] and tables.is_sealed(table)
    assert [row["beside"] for row in table["published"]] == ["toy"]
    ours, theirs = tables.markdown(table).split("## Published figures")
    assert ours.strip() == tables.markdown(plain).strip() and "99.1" not in ours
    assert "| paper | toys | PSNR | 99.1 | Table 2 |" in theirs
    assert check.passes(check.compare(table, plain, protocol))
    path.write_text(entry)
    assert "published" not in tables.build(protocol, rows, published=path)


# ----------------------------------------------------------------------------------------------- check


def changed(table, method, key, **values):
    fresh = copy.deepcopy(table)
    row = next(row for row in fresh["rows"] if row["method"] == method)
    row["metrics"][key].update(values)
    return fresh


def whats(changes):
    return [(change.what, change.method, change.metric) for change in changes]


def test_nothing_changed(table, protocol):
    assert check.compare(table, table, protocol) == []
    assert check.report([], "toy") == "toy: as committed"


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("psnr", 27.6, None),
        ("psnr", 27.4, "worse"),
        ("psnr", 28.6, "better"),
        ("lmd", 1.2, "worse"),
        ("lmd", 0.8, "better"),
        ("lip_gap_r", 0.87, "worse"),  # no tolerance of its own: 2 %
        ("lip_gap_r", 0.895, None),
    ],
)
def test_a_method_got_worse_or_better(table, protocol, key, value, expected):
    table = changed(table, "strong", key, value={"psnr": 28.0, "lmd": 1.0, "lip_gap_r": 0.9}[key])
    table = tables.sealed(table)
    changes = check.compare(changed(table, "strong", key, value=value), table, protocol)
    assert whats(changes) == ([(expected, "strong", key)] if expected else [])
    assert check.passes(changes) == (expected != "worse")
    if expected:
        assert "accept --benchmark toy" in check.report(changes, "toy")


def test_a_baseline_must_not_move_at_all(table, protocol):
    changes = check.compare(changed(table, "static", "psnr", value=21.0), table, protocol)
    assert whats(changes) == [("moved", "static", "psnr")] and not check.passes(changes)


def test_lost_rows_metrics_and_frames_fail(table, protocol):
    fresh = copy.deepcopy(table)
    fresh["rows"] = [row for row in fresh["rows"] if row["method"] != "strong"]
    del fresh["rows"][0]["metrics"]["lmd"]
    changes = check.compare(fresh, table, protocol)
    assert whats(changes) == [("missing", "strong", ""), ("missing", "<b>weak</b>", "lmd")]
    assert not check.passes(changes)
    assert check.compare(fresh, table, protocol, methods=["static"]) == []
    with pytest.raises(tables.TableError, match="no row nobody"):
        check.compare(fresh, table, protocol, methods=["nobody"])
    thin = check.compare(changed(table, "strong", "psnr", coverage=0.8), table, protocol)
    assert whats(thin) == [("worse", "strong", "psnr")] and "80.0%" in thin[0].note


def test_other_definitions_are_not_compared(table, protocol):
    fresh = copy.deepcopy(table)
    fresh["metrics"]["lmd"]["judge"] = "other"
    changes = check.compare(fresh, table, protocol)
    assert {change.what for change in changes} == {"not comparable"} and not check.passes(changes)
    fresh = {**table, "version": 4}
    assert whats(check.compare(fresh, table, protocol)) == [("not comparable", "", "")]


def test_an_edited_table_is_seen(table, protocol):
    edited = changed(table, "strong", "psnr", value=28.3)  # within the tolerance, but nobody computed it
    changes = check.compare(table, edited, protocol)
    assert [change.what for change in changes] == ["edited"] and not check.passes(changes)


def test_accept(table, protocol, rows):
    with pytest.raises(tables.TableError, match="reason"):
        check.accept(table, None, "  ")
    first = check.accept(table, None, "first results")
    assert [entry["reason"] for entry in first["accepted"]] == ["first results"] and tables.is_sealed(first)
    rows[3] = make_row("strong", "method", {"psnr": 29.0, "lmd": 1.0, "lip_gap_r": 0.9}, ("video",))
    fresh = tables.build(protocol, rows[2:])
    second = check.accept(fresh, first, "strong trained longer")
    assert len(second["accepted"]) == 2
    assert {row["method"] for row in second["rows"]} == {"strong", "<b>weak</b>", "static", "oracle"}
    assert second["rows"][0]["metrics"]["psnr"]["value"] == pytest.approx(29, abs=0.1)
    assert check.compare(second, second, protocol) == []
    fresh = copy.deepcopy(fresh)
    fresh["metrics"]["lmd"]["version"] = "2"
    third = check.accept(fresh, second, "new LMD")  # old rows have the old LMD: they go
    assert {row["method"] for row in third["rows"]} == {"strong", "<b>weak</b>"}


def test_external_rows(table, tmp_path):
    cell = {"value": 30.0, "low": 29.0, "high": 31.0, "clips": 8, "coverage": 1.0}
    about = {"psnr": {**table["metrics"]["psnr"]}, "l1": {"version": "1", "judge": None}}
    about["psnr"]["version"] += " codec=h264"
    row = {
        "method": "theirs",
        "kind": "external",
        "task": "reconstruction",
        "driven_by": ["audio"],
        "metrics": {"psnr": cell, "l1": cell},
        "unavailable": {},
        "provenance": {"codec": "h264"},
    }
    path = tmp_path / "row.json"
    path.write_text(json.dumps({"row": row, "metrics": about}))
    found = tables.read_external_row(path, table)
    assert list(found["metrics"]) == ["psnr"]
    text = tables.markdown(tables.merged(table, [found]))
    assert "theirs (external, h264 video) | audio | **30.00**" in text
    about["psnr"]["version"] = "0 something else"
    path.write_text(json.dumps({"row": row, "metrics": about}))
    with pytest.raises(tables.TableError, match="something else"):
        tables.read_external_row(path, table)
