"""`talkbench leaderboard` from result files to the exit code."""

import argparse
import json

import pytest

from talkbench.cli import leaderboard
from talkbench.evaluation.protocol import load
from talkbench.evaluation.provenance import digest
from talkbench.evaluation.results import row_folder, write_json


def results(folder, psnr, benchmark="synthetic"):
    """A results folder with a method and a baseline of four clips."""
    for name, kind, level in (("mine", "method", psnr), ("static", "baseline", 18.0)):
        place = row_folder(folder, name, "reconstruction")
        about = {"method": name, "kind": kind, "task": "reconstruction", "driven_by": [], "only": None}
        about |= {
            "due": ["a", "b", "c", "d"],
            "provenance_hash": "h",
            "provenance": {"protocol": {"hash": digest(load(benchmark).scoring())}},
        }
        write_json(place / "row.json", about)
        for i, clip_id in enumerate(about["due"]):
            record = {
                "clip": clip_id,
                "identity": clip_id,
                "due": 99,
                "provenance_hash": "h",
                "unavailable": {},
            }
            record["metrics"] = {"psnr": {"value": level + i / 10, "scored": 99}}
            write_json(place / "clips" / f"{clip_id}.json", record)
    return folder


def call(*words):
    parser = argparse.ArgumentParser()
    leaderboard.add_arguments(parser)
    return leaderboard.run(parser.parse_args([str(word) for word in words]))


@pytest.fixture
def committed(tmp_path):
    options = (
        "--benchmark",
        "synthetic",
        "--results",
        results(tmp_path / "first", 25.0),
        "--tables",
        tmp_path / "t",
    )
    assert call("accept", *options, "--reason", "first") == 0
    return tmp_path / "t"


def test_from_results_to_check(tmp_path, committed, capsys):
    table = json.loads((committed / "synthetic.json").read_text())
    assert [row["method"] for row in table["rows"]] == ["mine", "static"]
    assert table["rows"][0]["metrics"]["psnr"]["value"] == pytest.approx(25.15)
    options = ("--benchmark", "synthetic", "--tables", committed, "--results")
    assert call("check", *options, tmp_path / "first") == 0
    assert "as committed" in capsys.readouterr().out
    assert call("check", *options, results(tmp_path / "worse", 24.0)) == 1
    assert "worse" in capsys.readouterr().out
    assert call("check", *options, results(tmp_path / "better", 26.0)) == 0
    assert "accept" in capsys.readouterr().out
    assert call("check", *options, tmp_path / "worse", "--json") == 1
    answer = json.loads(capsys.readouterr().out)["synthetic"]
    assert not answer["passes"] and answer["changes"][0]["metric"] == "psnr"
    assert call("accept", *options, tmp_path / "better", "--reason", "better now") == 0
    assert call("check", *options, tmp_path / "better") == 0


def test_an_edited_file_fails(tmp_path, committed, capsys):
    path = committed / "synthetic.json"
    path.write_text(path.read_text().replace("25.15", "25.16"))
    options = ("--benchmark", "synthetic", "--tables", committed, "--results", tmp_path / "first")
    assert call("check", *options) == 1
    assert "edited by hand" in capsys.readouterr().out


def test_build_and_show(tmp_path, committed, capsys):
    call("build", "--benchmark", "synthetic", "--results", tmp_path / "first", "--tables", committed)
    written = sorted(path.name for path in (tmp_path / "first").glob("synthetic.*"))
    assert written == ["synthetic.csv", "synthetic.json", "synthetic.md"]
    page = (tmp_path / "first" / "page" / "index.html").read_text()
    assert ">mine</a>" in page and ">static</a>" in page
    capsys.readouterr()
    call("show", "--tables", committed)
    shown = capsys.readouterr().out
    assert "PSNR (dB)" in shown and "mine" in shown and "static" in shown


def test_mistakes_have_one_line(tmp_path, committed):
    with pytest.raises(ValueError, match="needs a reason"):
        call("accept", "--benchmark", "synthetic", "--results", tmp_path / "first", "--tables", committed)
    with pytest.raises(ValueError, match="--results needs --benchmark"):
        call("check", "--results", tmp_path)
    with pytest.raises(ValueError, match="--methods nobody: no such row; there are .*hdtf-mesh"):
        call("check", "--benchmark", "synthetic", "--methods", "nobody", "--tables", committed)
    with pytest.raises(ValueError, match="holds no results"):
        call("check", "--benchmark", "synthetic", "--results", tmp_path / "none", "--tables", committed)
    with pytest.raises(ValueError, match="no benchmark 'x'"):
        call("check", "--benchmark", "x", "--results", tmp_path / "first", "--tables", committed)
