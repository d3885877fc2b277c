"""Cut a golden file down to some of its cases: `python tests/golden/extract.py SOURCE OUT CASE [CASE ...]`.

Networks keep their keys and shapes (converters are tested with them), also where no case that is kept needs
them. An input that is another case's output is stored, so that cases can be left out one by one.
"""

import argparse
import json
from pathlib import Path

import numpy as np


def _names(spec: dict) -> set[str]:
    """Stored arrays that an input needs."""
    if spec["kind"] == "stored":
        return {spec["array"]}
    return set().union(*(_names(part) for part in spec.get("of", [])))


def _detached(spec: dict) -> dict:
    if spec["kind"] == "output":
        rest = {key: value for key, value in spec.items() if key not in ("case", "key")}
        return {**rest, "kind": "stored", "array": f"{spec['case']}/{spec['key']}"}
    if "of" in spec:
        return {**spec, "of": [_detached(part) for part in spec["of"]]}
    return spec


def extract(source: Path, out: Path, cases: list[str]) -> None:
    with np.load(source, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    manifest = json.loads(str(arrays.pop("manifest")))
    kept = {}
    for name in cases:
        case = manifest["cases"][name]
        kept[name] = {**case, "inputs": {key: _detached(spec) for key, spec in case["inputs"].items()}}
    wanted = {f"{name}/{key}" for name, case in kept.items() for key in case["outputs"]}
    wanted |= {out["where"] for case in kept.values() for out in case["outputs"].values() if "where" in out}
    wanted |= set().union(*(_names(spec) for case in kept.values() for spec in case["inputs"].values()))
    for network in manifest["networks"].values():
        wanted |= {rule["value"] for rule in network["weights"] if isinstance(rule.get("value"), str)}
    manifest["cases"] = kept
    np.savez_compressed(out, manifest=json.dumps(manifest), **{name: arrays[name] for name in sorted(wanted)})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("cases", nargs="+")
    arguments = parser.parse_args()
    extract(arguments.source, arguments.out, arguments.cases)
