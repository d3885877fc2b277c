import json

import numpy as np
import pytest

from talkbench.weights import formula
from talkbench.weights.golden import GoldenError, Output, Skipped, read, verify


def write(path, networks=None, cases=None, arrays=None, **manifest):
    manifest = {"format": 2, "seed": 3, "networks": networks or {}, "cases": cases or {}, **manifest}
    np.savez(path, manifest=json.dumps(manifest), **(arrays or {}))
    return path


def case(inputs, outputs, network=None):
    return {
        "network": network,
        "mode": "eval",
        "call": "",
        "published": False,
        "inputs": inputs,
        "outputs": outputs,
    }


def row(shape, tolerance=1e-4, **more):
    return {"shape": shape, "dtype": "float32", "stored": "full", "tolerance": tolerance, **more}


def test_formula_values():
    # computed once by the reference implementation of the format
    values = {
        "weight": (
            [0.5763957500457764, 0.29384589195251465, -0.01357039250433445, -0.07623612880706787],
            formula.tensor(0, "a.weight", (2, 2)).ravel(),
        ),
        "variance": ([1.0316033363342285, 1.1438935995101929], formula.tensor(1, "bn.running_var", (2,))),
        "input": ([0.009525015018880367, 0.7007133364677429], formula.array(0, "x", (2,), 0, 1)),
        "image": (
            [0.23071064054965973, 0.2692407965660095],
            formula.image(0, "x", (2, 8, 6), -1, 1)[0, 0, :2],
        ),
    }
    for name, (reference, ours) in values.items():
        np.testing.assert_array_equal(ours, np.float32(reference), err_msg=name)
    assert formula.tensor(0, "bn.num_batches_tracked", ()).dtype == np.int64
    picture = formula.image(0, "x", (2, 8, 6), -1, 1)
    assert picture.min() == -1 and picture.max() == 1 and picture.shape == (2, 8, 6)


def test_spectral_vectors_are_singular_vectors():
    shapes = {"c.bias": (3,), "c.weight_orig": (3, 4, 2, 2), "c.weight_u": (3,), "c.weight_v": (16,)}
    made = formula.state_dict(0, shapes)
    assert list(made) == list(shapes)
    matrix = made["c.weight_orig"].reshape(3, -1)
    assert made["c.weight_u"] @ matrix @ made["c.weight_v"] == pytest.approx(
        np.linalg.norm(matrix, 2), rel=1e-3
    )


def test_weight_rules(tmp_path):
    rules = [
        {"match": r".*weight", "op": "mul", "value": 2.0, "min_ndim": 2},
        {"match": r"b\.bias", "op": "set", "value": "table"},
        {"match": r"a\.bias", "op": "abs"},
        {"match": r"a\.bias", "op": "add", "value": 1.0},
    ]
    shapes = {"a.weight": [2, 2], "a.bias": [3], "b.weight": [3], "b.bias": [2]}
    networks = {"net": {"mode": "eval", "state_dict": shapes, "weights": rules}}
    golden = read(write(tmp_path / "g.npz", networks, arrays={"table": np.float32([5, 6])}))
    made, plain = golden.networks["net"].state_dict(), formula.state_dict(3, shapes)
    np.testing.assert_array_equal(made["a.weight"], 2 * plain["a.weight"])
    np.testing.assert_array_equal(made["b.weight"], plain["b.weight"])
    np.testing.assert_array_equal(made["b.bias"], [5, 6])
    np.testing.assert_allclose(made["a.bias"], 1 + np.abs(plain["a.bias"]), rtol=1e-6)


def test_inputs(tmp_path):
    array = {"kind": "array", "name": "x", "shape": [2, 3]}
    inputs = {
        "plain": array,
        "scaled": {**array, "dtype": "float64", "mul": 2.0, "add": 1.0, "transpose": [1, 0]},
        "whole": {**array, "mul": 10.0, "dtype": "int32"},
        "sum": {
            "kind": "sum",
            "of": [array, {"kind": "const", "value": 1.0, "shape": [1, 3], "dtype": "float32"}],
        },
        "concat": {"kind": "concat", "of": [array, array], "axis": 1},
        "picture": {"kind": "uint8", "name": "p", "shape": [4, 4]},
        "earlier": {"kind": "output", "case": "first", "key": "y"},
        "stored": {"kind": "stored", "array": "table"},
    }
    cases = {"first": case({}, {"y": row([2])}), "second": case(inputs, {})}
    arrays = {"first/y": np.float32([1, 2]), "table": np.int64([4])}
    made = read(write(tmp_path / "g.npz", cases=cases, arrays=arrays)).cases["second"].inputs()
    x = formula.array(3, "x", (2, 3))
    np.testing.assert_array_equal(made["plain"], x)
    np.testing.assert_array_equal(made["scaled"], (x.astype(np.float64) * 2 + 1).T)
    np.testing.assert_array_equal(made["whole"], (x * np.float32(10)).astype(np.int32))
    np.testing.assert_array_equal(made["sum"], x + 1)
    assert made["concat"].shape == (2, 6) and made["picture"].dtype == np.uint8
    assert made["earlier"].tolist() == [1, 2] and made["stored"].tolist() == [4]


def output(values, measure="max", stride=1, shape=None, where=None):
    values = np.asarray(values, np.float32)
    return Output(shape or values.shape, stride, values, 1e-4, measure, where)


def test_measures():
    assert output([1, -4]).compare([1, -3]) == 0.25
    assert output([1, -4], "absolute").compare([1, -3]) == 1
    assert output([3, 4], "l2").compare([3, 5]) == 0.2
    assert output([1, 2, 3, 4], "unequal").compare([1, 2, 0, 0]) == 0.5
    assert output([[0, 1, 2], [2, 3, 4]], "sets").compare([[4, 2, 3], [1, 0, 2]]) == 0
    assert output([[0, 1, 2]], "sets").compare([[0, 1, 3]]) == 1
    assert output([1, 3], stride=2, shape=(2, 2)).compare([[1, 9], [3, 9]]) == 0
    assert output([1, 2], where=np.array([True, False])).compare([1, 7]) == 0
    assert output([1, 2]).compare([np.nan, 2]) == np.inf
    with pytest.raises(ValueError, match=r"shape \(3,\), expected \(2,\)"):
        output([1, 2]).compare([1, 2, 3])


def test_verify_reports_every_output(tmp_path):
    x = {"kind": "const", "value": [1.0, 2.0]}
    cases = {
        "good": case({"x": x}, {"y": row([2]), "z": row([2])}),
        "bad": case({"x": x}, {"y": row([2])}),
        "lacking": case({"x": x}, {"y": row([2])}),
        "unknown": case({}, {"y": row([2])}),
        "breaking": case({}, {"y": row([2])}),
    }
    arrays = {f"{name}/{key}": np.float32([2, 4]) for name in cases for key in cases[name]["outputs"]}
    golden = read(write(tmp_path / "g.npz", cases=cases, arrays=arrays))

    def double(case, weights):
        return {"y": 2 * case.inputs()["x"], "z": 2.00001 * case.inputs()["x"]}

    def broken(case, weights):
        raise ValueError("of no use")

    functions = {
        "good": double,
        "bad": lambda case, weights: {"y": case.inputs()["x"]},
        "lacking": lambda case, weights: {},
        "breaking": broken,
    }
    seen = []
    rows = verify(golden, functions, progress=lambda name, rows: seen.append((name, len(rows))))
    assert seen == [("good", 2), ("bad", 1), ("lacking", 1), ("unknown", 1), ("breaking", 1)]
    good, close, bad, lacking, unknown, breaking = rows
    assert good.ok and close.ok and close.error == pytest.approx(5e-6, rel=0.1)
    assert not bad.ok and bad.error == 0.5
    assert not lacking.ok and "not among" in lacking.message
    assert not unknown.ok and "no function" in unknown.message
    assert not breaking.ok and "of no use" in breaking.message
    assert [row.case for row in verify(golden, functions, ["bad"])] == ["bad"]
    with pytest.raises(GoldenError, match="no case nothing"):
        verify(golden, functions, ["nothing"])


def test_outputs_that_cannot_be_computed_here_are_skipped(tmp_path):
    cases = {"only": case({}, {"y": row([2]), "z": row([2])})}
    arrays = {"only/y": np.float32([1, 2]), "only/z": np.float32([1, 2])}
    golden = read(write(tmp_path / "g.npz", cases=cases, arrays=arrays))
    y, z = verify(golden, {"only": lambda case, weights: {"y": Skipped("no tracker"), "z": [1, 3]}})
    assert y.skipped and y.ok and y.message == "no tracker"
    assert not z.skipped and not z.ok


def test_weights_are_made_when_asked_for(tmp_path):
    networks = {"net": {"mode": "eval", "state_dict": {"a.bias": [2]}, "weights": []}}
    cases = {"only": case({}, {"y": row([2])}, "net")}
    arrays = {"only/y": formula.tensor(3, "a.bias", (2,))}
    golden = read(write(tmp_path / "g.npz", networks, cases, arrays))
    (row_,) = verify(golden, {"only": lambda case, weights: {"y": weights.pop("net")["a.bias"]}})
    assert row_.ok and row_.error == 0


def test_files_that_are_no_golden_files(tmp_path):
    text, tables = tmp_path / "text.npz", tmp_path / "tables.npz"
    text.write_text("hello")
    np.savez(tables, table=np.zeros(2))
    old = write(tmp_path / "old.npz", format=1)
    wrong = write(tmp_path / "wrong.npz", cases={"a": case({}, {"y": row([3])})}, arrays={"a/y": np.zeros(2)})
    for path, message in (
        (tmp_path / "missing.npz", "no such"),
        (text, "not a golden file"),
        (tables, "no manifest"),
        (old, "format 1"),
        (wrong, "does not fit"),
    ):
        with pytest.raises(GoldenError, match=message):
            read(path)
