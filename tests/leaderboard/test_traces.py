"""Loss traces, with the trainer's toy: what is the same passes, what was changed is named."""

import copy
import dataclasses
import types

import pytest
import toy_method

from talkbench.cli.main import main
from talkbench.leaderboard import traces
from talkbench.leaderboard.check import passes
from talkbench.leaderboard.tables import TableError


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return toy_method.make_store(tmp_path_factory.mktemp("data") / "toyset")


@pytest.fixture(scope="module")
def stored(store):
    with pytest.MonkeyPatch.context() as patch:
        toy_method.install(patch.setattr)
        return traces.accept({"toy": traces.record("toy", store)}, None, "first")


@pytest.fixture
def named(store, stored, monkeypatch):
    """`named(change)`: (method, term) of everything that differs once `change(stage)` stands in for each stage."""
    toy_method.install(monkeypatch.setattr)

    def run(change):
        stages = lambda config: [change(stage) for stage in toy_method.Toy.stages(config)]  # noqa: E731
        monkeypatch.setattr(toy_method, "METHOD", types.SimpleNamespace(stages=stages))
        changes = traces.compare({"toy": traces.record("toy", store)}, stored)
        assert passes(changes) == (not changes)
        return {(change.method, change.metric) for change in changes}

    return run


def test_three_steps_of_every_stage_and_term(stored, named):
    assert list(stored["traces"]["toy"]) == ["first", "second"]
    terms = stored["traces"]["toy"]["first"]
    assert {"l1", "gan", "teacher", "brightness", "real", "fake", "generator"} <= terms.keys()
    assert all(len(values) == 3 for values in terms.values()) and len(set(terms["generator"])) == 3
    assert named(lambda stage: stage) == set()


def test_a_changed_weight_moves_the_total_first(named):
    heavier = named(lambda stage: dataclasses.replace(stage, weights={**stage.weights, "l1": 12.0}))
    assert {("toy", "first/generator"), ("toy", "second/generator")} <= heavier
    assert ("toy", "first/l1") not in heavier


def test_a_changed_term_is_named(named):
    def without_teacher(stage):
        def loss(*arguments):
            terms, rest = stage.generator_loss(*arguments)
            return {**terms, "teacher": 0.5 * terms["teacher"]}, rest

        return dataclasses.replace(stage, generator_loss=loss)

    assert ("toy", "first/teacher") in named(without_teacher)


def test_other_terms_methods_and_hands_show(stored):
    fresh = copy.deepcopy(stored["traces"])
    fresh["toy"]["first"]["extra"] = fresh["toy"]["first"].pop("l1")
    fresh["second_toy"] = {}
    found = {(c.what, c.method, c.metric) for c in traces.compare(fresh, stored)}
    assert found == {
        ("missing", "toy", "first/l1"), ("new", "toy", "first/extra"), ("new", "second_toy", ""),
    }  # fmt: skip
    edited = copy.deepcopy(stored)
    edited["traces"]["toy"]["first"]["l1"][0] += 1
    assert [c.what for c in traces.compare(edited["traces"], edited)] == ["edited"]
    assert not traces.compare({}, stored)


def test_accepting_keeps_what_was_not_traced(stored):
    both = traces.accept({"other": {"only": {"l1": [1.0]}}}, stored, "a second method")
    assert list(both["traces"]) == ["toy", "other"]
    assert [entry["reason"] for entry in both["accepted"]] == ["first", "a second method"]
    with pytest.raises(TableError, match="--reason"):
        traces.accept({}, stored, " ")


def test_a_damaged_file_is_named(tmp_path, capsys):
    (tmp_path / traces.FILE).write_text('{"traces": 3}')
    with pytest.raises(TableError, match="traces.json.*accept --traces"):
        traces.read(tmp_path / traces.FILE)
    assert main(["leaderboard", "accept", "--traces", "--tables", str(tmp_path), "--reason", "x"]) != 0
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
