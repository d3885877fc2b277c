"""Which measurements are made, and that each has a process of its own."""

import json
import os
import shutil

from talkbench.bench import plan

PRESETS = {"a": ["tiny", "paper"], "b": ["tiny"]}


def test_names_are_those_of_the_judges():
    from talkbench.evaluation import throughput
    from talkbench.evaluators import builtin

    assert set(plan.BUILTIN) == set(builtin.BY_NAME) and plan.PARTS == tuple(throughput.ours())


def test_full_size_is_only_counted():
    asked = plan.requests(["a", "b"], PRESETS, ["cost", "train", "generate", "data"])
    full = [request["what"] for request in asked if request.get("preset") == "paper"]
    assert full == ["cost"]
    asked = plan.requests(["a"], PRESETS, ["cost", "train"], full_size=True)
    assert [(r["what"], r.get("preset")) for r in asked[1:]] == [
        ("cost", "tiny"), ("cost", "paper"), ("train", "tiny"), ("train", "paper"),
    ]  # fmt: skip


def test_sweeps():
    kinds = {"dtypes": (None, "bfloat16"), "batches": (4, 8), "judges": ("fan",), "shared": {"repeats": 3}}
    asked = plan.requests(["b"], PRESETS, list(plan.WHAT), **kinds)
    count = {what: sum(r["what"] == what for r in asked) for what in ("machine", "cost", "train", "generate")}
    assert count == {"machine": 2, "cost": 1, "train": 4, "generate": 2}
    assert all(request["repeats"] == 3 for request in asked)
    assert [r["judge"] for r in asked if r["what"] == "judge"] == ["fan"]


def test_every_stage_of_a_training_is_measured():
    def measure(request):
        if request["what"] != "train":
            return request
        figures = {"stages": 3, "stage": "xyz"[request["stage"]]}
        return {**request, **({"stages": 3, "error": "no"} if request["stage"] == 1 else figures)}

    told = []
    asked = [{"what": "cost"}, {"what": "train", "method": "a"}]
    rows = list(plan.carried_out(asked, measure, lambda *words: told.append(words)))
    assert [row.get("number") for row in rows] == [None, 0, 1, 2]
    assert told == [(0, 2, "cost"), (1, 2, "train a"), (2, 2, "")]


def test_a_process_of_its_own():
    found = plan.alone({"what": "machine", "side": 32, "repeats": 3})
    assert found["side"] == 32 and found["multiply_adds"] == 32**3 and found["platform"]
    assert found["cores"] == os.cpu_count() and json.dumps(found)


def test_a_process_that_dies_is_told_in_a_line(monkeypatch):
    monkeypatch.setattr(plan.sys, "executable", shutil.which("false"))
    found = plan.alone({"what": "cost", "method": "a"})
    assert found == {"what": "cost", "method": "a", "error": "the measuring process ended with exit code 1"}
