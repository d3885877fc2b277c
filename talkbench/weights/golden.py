"""Golden files: reference outputs of published networks, and how far ours are from them.

A golden file (format 2) is an `.npz` whose array `manifest` is a JSON text: networks (keys and shapes of the
published checkpoint, and rules that make its weights), cases (a call, its inputs and outputs), tolerances.
Everything is read from there, so a file with another seed, batch or image size needs no change of code.

    golden = read("facevid2vid.npz")
    rows = verify(golden, CASES)

Cases are computed by functions `f(case, weights) -> {output key: array}` that a method provides:
`weights[name]` is the network's state dict in the published layout, made when it is asked for; arrays go in
and come out in the published layout (channels first).
"""

import gc
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from talkbench.weights import formula

_LARGE = 10_000_000  # values of a network


class GoldenError(ValueError):
    """A file that isn't a golden file, or one that nobody here can compute."""


@dataclass(frozen=True)
class Network:
    """A published network of a golden file."""

    name: str
    mode: str
    shapes: dict[str, list[int]]
    rules: list[dict]
    seed: int
    arrays: Mapping[str, np.ndarray]

    @property
    def size(self) -> int:
        """Number of values in the state dict."""
        return sum(int(np.prod(shape)) for shape in self.shapes.values())

    def state_dict(self) -> dict[str, np.ndarray]:
        """Formula weights after the network's rules, {published key: array}."""
        weights = formula.state_dict(self.seed, self.shapes)
        for rule in self.rules:
            value = rule.get("value")
            value = np.asarray(self.arrays[value] if isinstance(value, str) else value, np.float64)
            for key, weight in weights.items():
                if weight.dtype != np.float32 or weight.ndim < rule.get("min_ndim", 0):
                    continue
                if re.fullmatch(rule["match"], key):
                    weights[key] = _apply_rule(rule["op"], weight.astype(np.float64), value).astype(
                        np.float32
                    )
        return weights


def _apply_rule(op: str, weight: np.ndarray, value: np.ndarray) -> np.ndarray:
    match op:
        case "mul":
            return weight * value
        case "add":
            return weight + value
        case "abs":
            return np.abs(weight)
        case "set":
            return np.broadcast_to(value, weight.shape)
    raise GoldenError(f"unknown weight rule {op!r} in the manifest: this reader knows mul, add, abs and set")


@dataclass(frozen=True)
class Output:
    """A reference output: `values` is the whole array, or every `stride`-th element of it, flattened."""

    shape: tuple[int, ...]
    stride: int
    values: np.ndarray
    tolerance: float
    measure: str
    where: np.ndarray | None

    def compare(self, array: Any) -> float:
        """Error of `array` (published layout) in this output's measure; ValueError for a wrong shape."""
        array = np.asarray(array)
        if self.measure == "sets":
            return float(_index_sets(array) != _index_sets(self.values))
        if array.shape != self.shape:
            raise ValueError(f"shape {array.shape}, expected {self.shape}")
        if self.stride > 1:
            array = array.reshape(-1)[:: self.stride]
        if self.measure == "unequal":
            return float((array.reshape(-1) != self.values.reshape(-1)).mean())
        ours, theirs = array.astype(np.float64), self.values.astype(np.float64)
        difference = np.abs(ours - theirs)
        if self.where is not None:
            difference = difference[self.where]
        if self.measure == "l2":
            error = np.linalg.norm(difference) / max(np.linalg.norm(theirs), 1e-300)
        else:
            error = difference.max(initial=0.0)
            if self.measure == "max":
                error = error / max(np.abs(theirs).max(initial=0.0), 1e-300)
        return float(error) if np.isfinite(error) else float("inf")


def _index_sets(rows: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(row) for row in np.asarray(rows).tolist()}


@dataclass(frozen=True)
class Case:
    """One call of the published code.

    Attributes:
        networks: names of the networks it needs, possibly none.
        mode: "eval" or "train" (batch statistics, dropout off).
        options: arguments of the call that are no arrays, such as `align_corners`.
        outputs: {key: Output}.
    """

    name: str
    networks: tuple[str, ...]
    mode: str
    options: dict
    outputs: dict[str, Output]
    specs: dict[str, dict]
    golden: "Golden"

    def inputs(self) -> dict[str, np.ndarray]:
        """{argument: array}, built anew."""
        return {name: self.golden.build(spec) for name, spec in self.specs.items()}


@dataclass(frozen=True)
class Golden:
    """A golden file as it was read."""

    path: Path
    seed: int
    manifest: dict
    arrays: Mapping[str, np.ndarray]
    networks: dict[str, Network]
    cases: dict[str, Case]

    def build(self, spec: Mapping) -> np.ndarray:
        """The array that an input row of the manifest describes."""
        value = self._source(spec)
        dtype = np.dtype(spec.get("dtype", value.dtype))
        if dtype.kind == "f":  # a floating type comes before the arithmetic, an integer type after it
            value = value.astype(dtype)
        if "mul" in spec:
            value = value * value.dtype.type(spec["mul"])
        if "add" in spec:
            value = value + value.dtype.type(spec["add"])
        if "transpose" in spec:
            value = value.transpose(spec["transpose"])
        return np.ascontiguousarray(value.astype(dtype)).reshape(value.shape)

    def _source(self, spec: Mapping) -> np.ndarray:
        match spec["kind"]:
            case "array":
                return formula.array(
                    self.seed, spec["name"], spec["shape"], spec.get("low"), spec.get("high")
                )
            case "image":
                low, high = spec.get("low", 0.0), spec.get("high", 1.0)
                return formula.image(self.seed, spec["name"], spec["shape"], low, high)
            case "uint8":
                image = formula.image(self.seed, spec["name"], spec["shape"], 0.0, 255.0)
                return np.floor(image + np.float32(0.5)).astype(np.uint8)
            case "const":
                value = np.asarray(spec["value"])
                return np.broadcast_to(value, spec["shape"]) if "shape" in spec else value
            case "stored":
                return self.arrays[spec["array"]]
            case "output":
                output = self.cases[spec["case"]].outputs[spec["key"]]
                if output.stride != 1:
                    raise GoldenError(
                        f"{self.path}: {spec['case']}/{spec['key']} is only sampled, so it cannot be an input"
                    )
                return output.values
            case "sum":
                first, *others = (self.build(part) for part in spec["of"])
                for other in others:
                    first = first + other
                return first
            case "concat":
                return np.concatenate([self.build(part) for part in spec["of"]], spec["axis"])
        raise GoldenError(f"{self.path}: unknown kind of input {spec['kind']!r}")


def read(path: str | Path) -> Golden:
    """Read a golden file. GoldenError with the reason if it isn't one, or not of format 2."""
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise GoldenError(f"{path}: no such golden file") from None
    except (OSError, ValueError, EOFError, AttributeError) as error:
        # numpy advises to unpickle whatever it does not know
        why = "" if "pickle" in str(error) else f" ({error})"
        raise GoldenError(f"{path}: not a golden file, it cannot be read as .npz{why}") from None
    except Exception as error:  # zipfile and zlib raise their own types on damaged archives
        raise GoldenError(f"{path}: damaged archive ({error}); copy the file again") from None
    if "manifest" not in arrays:
        raise GoldenError(
            f"{path}: no golden file, it holds no manifest (arrays: {', '.join(list(arrays)[:5])})"
        )
    manifest = json.loads(str(arrays.pop("manifest")))
    if manifest.get("format") != 2:
        raise GoldenError(f"{path}: golden format {manifest.get('format')}, this reader knows format 2")
    seed = manifest["seed"]
    networks = {
        name: Network(name, row["mode"], row["state_dict"], row["weights"], seed, arrays)
        for name, row in manifest["networks"].items()
    }
    golden = Golden(path, seed, manifest, arrays, networks, {})
    for name, row in manifest["cases"].items():
        names = row["network"] or []
        golden.cases[name] = Case(
            name,
            tuple([names] if isinstance(names, str) else names),
            row["mode"],
            row.get("options") or {},
            {key: _output(path, name, key, out, arrays) for key, out in row["outputs"].items()},
            row["inputs"],
            golden,
        )
    return golden


def _output(path: Path, case: str, key: str, row: Mapping, arrays: Mapping[str, np.ndarray]) -> Output:
    values = arrays[f"{case}/{key}"]
    shape, stride = tuple(row["shape"]), row.get("stride", 1)
    if values.size != -(-int(np.prod(shape)) // stride) or (stride == 1 and values.shape != shape):
        raise GoldenError(
            f"{path}: {case}/{key} is stored as {values.shape}, which does not fit {shape} at stride {stride}"
        )
    where = arrays[row["where"]] if "where" in row else None
    return Output(shape, stride, values, float(row["tolerance"]), row.get("compare", "max"), where)


class Weights(Mapping):
    """State dicts of a case's networks, each made when it is first asked for and forgotten on `pop`."""

    def __init__(self, golden: Golden, names: Sequence[str]):
        self._golden, self._names, self._made = golden, tuple(names), {}

    def __getitem__(self, name: str) -> dict[str, np.ndarray]:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._made:
            self._made[name] = self._golden.networks[name].state_dict()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def pop(self, name: str) -> dict[str, np.ndarray]:
        """The state dict, not kept any longer."""
        made = self[name]
        del self._made[name]
        return made


class Skipped(str):
    """Given in place of an array: why an output the file calls optional cannot be computed here."""


class Row(NamedTuple):
    """What became of one output. `message` is empty unless it could not be computed; skipped ones count as ok."""

    case: str
    output: str
    error: float
    tolerance: float
    ok: bool
    seconds: float = 0.0
    message: str = ""

    @property
    def skipped(self) -> bool:
        """Not computed, for a reason that is nobody's fault."""
        return self.ok and bool(self.message)


CaseFunction = Callable[[Case, Weights], Mapping[str, Any]]


def verify(
    golden: Golden,
    functions: Mapping[str, CaseFunction],
    cases: Sequence[str] | None = None,
    progress: Callable[[str, list[Row]], None] | None = None,
) -> list[Row]:
    """Compute cases and compare every output with the file's.

    Args:
        functions: {case name: function(case, weights) -> {output key: array in the published layout}}.
        cases: names to compute; None for all of the file.
        progress: called with each case's name and rows when it is done.

    Returns:
        A row for each output. An output that isn't computed, or a case that raises, is a failed row with an
        infinite error and its reason as `message`. Runs in full float32 precision; memory is freed between
        cases.
    """
    wanted = list(golden.cases) if cases is None else list(cases)
    unknown = [name for name in wanted if name not in golden.cases]
    if unknown:
        raise GoldenError(f"{golden.path}: no case {', '.join(unknown)}; it has {', '.join(golden.cases)}")
    rows = []
    for name in wanted:
        case = golden.cases[name]
        start = time.perf_counter()
        made, message = {}, ""
        if name not in functions:
            message = "no function computes this case"
        else:
            try:
                with jax.default_matmul_precision("highest"):
                    made = functions[name](case, Weights(golden, case.networks))
                    made = {key: _array(made[key]) for key in case.outputs if key in made}
            except (ValueError, KeyError, TypeError, NotImplementedError, RuntimeError) as error:
                message = f"{type(error).__name__}: {error}".splitlines()[0]
        seconds = time.perf_counter() - start
        new = [_row(name, key, output, made, seconds, message) for key, output in case.outputs.items()]
        rows += new
        del made
        if sum(golden.networks[network].size for network in case.networks) > _LARGE:
            jax.clear_caches()  # compiled programs of large networks hold memory and are not needed again
        gc.collect()
        if progress:
            progress(name, new)
    return rows


def _array(value: Any) -> np.ndarray | Skipped:
    return value if isinstance(value, Skipped) else np.asarray(value)


def _row(case: str, key: str, output: Output, made: Mapping, seconds: float, message: str) -> Row:
    error = float("inf")
    if isinstance(made.get(key), Skipped):
        return Row(case, key, 0.0, output.tolerance, True, seconds, str(made[key]))
    if key in made:
        try:
            error = output.compare(made[key])
        except ValueError as wrong:
            message = str(wrong)
    elif not message:
        message = "not among the computed outputs"
    return Row(case, key, error, output.tolerance, error <= output.tolerance, seconds, message)
