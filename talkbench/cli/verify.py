"""Hold our networks against golden outputs of the published ones.

Every case of a golden file is computed with our networks (formula weights, loaded as a published checkpoint is loaded)
and each output compared with what the published network gave. Exit 1 if one is above its tolerance.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from talkbench.weights.golden import Golden, Row

# Modules with a table CASES = {case name: function(case, weights) -> {output key: array}}; looked at in this
# order.
MODULES = (
    "talkbench.methods.facevid2vid.golden",
    "talkbench.methods.pcavs.golden",
    "talkbench.methods.hdtf.golden",
    "talkbench.methods.atvgnet.golden",
    "talkbench.methods.makeittalk.golden",
    "talkbench.evaluators.golden",
    "talkbench.metrics.golden",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `talkbench verify`."""
    parser.add_argument(
        "--golden", nargs="+", required=True, metavar="FILE", type=Path, help="golden files (.npz)"
    )
    parser.add_argument("--case", action="append", metavar="NAME", help="only this case; may be repeated")
    parser.add_argument("--json", action="store_true", help="print every output's error as JSON")


def case_functions(golden: "Golden") -> dict[str, Callable]:
    """The table of the module that knows most of a file's cases (a tie: the first of `MODULES`).

    GoldenError if none knows at least half of them: some case names, such as `vgg19`, are in several files.
    """
    from talkbench.weights.golden import GoldenError

    best, most = {}, 0
    for name in MODULES:
        try:
            table = import_module(name).CASES
        except ModuleNotFoundError as error:
            if error.name is None or not name.startswith(error.name):
                raise
            continue
        known = len(table.keys() & golden.cases.keys())
        if known > most:
            best, most = table, known
    if 2 * most < len(golden.cases) or not most:
        raise GoldenError(
            f"{golden.path}: nothing here computes its cases ({', '.join(list(golden.cases)[:4])}, ...); "
            "is it a golden file of a newer version?"
        )
    return best


def verify_golden(
    path: Path, cases: Sequence[str] | None = None, progress: Callable[[str, list["Row"]], None] | None = None
) -> list["Row"]:
    """Verify one golden file: a row for each output of the chosen cases (all by default)."""
    from talkbench.weights.golden import read, verify

    golden = read(path)
    return verify(golden, case_functions(golden), cases, progress)


def run(args: argparse.Namespace) -> int:
    """Verify the files of `args.golden`; returns 0 if everything is within its tolerance, else 1."""
    rows: dict[str, list[Row]] = {}
    for path in args.golden:
        if not args.json:
            print(f"{path.name}")
            print(f"  {'case':<34} {'worst output':<46} {'error':>9} {'allowed':>9} {'time':>7}")
        rows[str(path)] = verify_golden(path, args.case, None if args.json else _print_case)
    failed = [row for made in rows.values() for row in made if not row.ok]
    if args.json:
        json.dump({path: [_plain(row) for row in made] for path, made in rows.items()}, sys.stdout, indent=1)
        print()
    else:
        for row in failed:
            reason = row.message or f"error {row.error:.2e} above {row.tolerance:.0e}"
            print(f"FAILED {row.case} {row.output}: {reason}")
        skipped = [row for made in rows.values() for row in made if row.skipped]
        for row in skipped:
            print(f"SKIPPED {row.case} {row.output}: {row.message}")
        total = sum(map(len, rows.values())) - len(skipped)
        cases = sum(len({row.case for row in made}) for made in rows.values())
        aside = f"; {len(skipped)} skipped" if skipped else ""
        print(f"{total - len(failed)} of {total} outputs within tolerance, {cases} cases{aside}")
    return 1 if failed else 0


def _print_case(case: str, rows: "list[Row]") -> None:
    worst = max(rows, key=lambda row: row.error / max(row.tolerance, 1e-300))
    mark = "ok" if all(row.ok for row in rows) else "FAILED"
    mark = "skipped" if all(row.skipped for row in rows) else mark
    figures = f"{worst.error:9.1e} {worst.tolerance:9.0e} {worst.seconds:6.1f}s"
    print(f"  {case:<34} {worst.output:<46} {figures} {mark}", flush=True)


def _plain(row: "Row") -> dict:
    plain = row._asdict()
    if plain["error"] == float("inf"):  # JSON has no infinity
        plain["error"] = None
    return plain
