"""`talkbench bench` as it is typed; what it measures is stood in for."""

import json

import pytest

from talkbench.bench import plan
from talkbench.cli.main import main

TIMES = {"seconds": 0.5, "fastest": 0.4, "slowest": 0.6}


@pytest.fixture
def asked(monkeypatch):
    """The requests that were made."""
    made = []

    def measure(request):
        made.append(request)
        if request["what"] == "judge":
            return {**request, "size": 64, "frames": 75, "first_seconds": 1.0, "peak_bytes": 2**30, **TIMES}
        return {**request, "error": "not here"}

    monkeypatch.setattr(plan.carried_out, "__defaults__", (measure, None))
    return made


def test_table_json_and_file(asked, tmp_path, capsys):
    out = tmp_path / "bench.json"
    assert (
        main(["bench", "--what", "judges", "--judges", "synth-sync,fan", "--out", str(out), "--repeats", "3"])
        == 0
    )
    shown = capsys.readouterr().out
    assert (
        "synth-sync" in shown and "150" in shown and "note: machine: not here" in shown and str(out) in shown
    )
    rows = json.loads(out.read_text())["figures"]
    assert [row["what"] for row in rows] == ["machine", "judge", "judge"] and "folder" not in rows[1]
    assert all(request["repeats"] == 3 for request in asked)
    assert main(["bench", "--what", "judges", "--judges", "fan", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["figures"][1]["judge"] == "fan"


def test_what_is_asked_for(asked):
    words = ["bench", "--methods", "hdtf,pcavs", "--what", "cost,train", "--batch", "2,4", "--bf16"]
    assert main([*words, "--config.seed=3"]) == 1  # nothing could be measured
    of = [r for r in asked if r["what"] == "train"]
    assert {(r["method"], r["preset"], r["dtype"], r["batch"]) for r in of} == {
        (m, "tiny", dtype, size) for m in ("hdtf", "pcavs") for dtype in (None, "bfloat16") for size in (2, 4)
    }
    assert {r["preset"] for r in asked if r["what"] == "cost"} == {"tiny", "paper"}
    assert all(r["overrides"] == {"seed": "3"} for r in asked)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--methods", "facevid"], "did you mean 'facevid2vid'"),
        (["--methods", ""], "--methods"),
        (["--presets", "tinny"], "did you mean 'tiny'"),
        (["--what", "speed"], "there are: cost, train"),
        (["--judges", "syncnet"], "--judges syncnet"),
        (["--batch", "8,none"], "--batch 8,none"),
        (["--batch", "0"], "--batch 0"),
        (["--repeats", "0"], "--repeats 0"),
        (["--seconds", "nan"], "--seconds nan"),
        (["--data", "folder=nowhere"], "nowhere"),
        (["--out", "nowhere/bench.json"], "no folder nowhere"),
        (["--config.colour=red"], "no such key"),
    ],
)
def test_bad_input(asked, tmp_path, monkeypatch, capsys, words, says):
    monkeypatch.chdir(tmp_path)
    assert main(["bench", *words]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("talkbench: ") and says in lines[0], lines
    assert not asked
