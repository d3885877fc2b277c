"""Build, check, accept and show leaderboard tables.

build: the tables and the page (a folder of HTML, page/index.html) from result files, written beside them; of several
benchmarks one page.
check: evaluates the shipped weights (or takes --results) and trains each method for three steps, and holds both against the
committed table and loss traces; exit 1 if something got worse.
accept: commit the fresh table, with a reason; with --traces the loss traces instead.
show: print a committed table; with --published, the papers' own figures instead, which are never ranked with ours.
"""

import argparse
import json
import sys
from pathlib import Path

ACTIONS = ("build", "check", "accept", "show")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `talkbench leaderboard`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("action", choices=ACTIONS)
    parser.add_argument("--benchmark", help="one benchmark (default: every one that has results, or a table)")
    parser.add_argument(
        "--results",
        type=Path,
        metavar="DIR",
        help="result files (default: results/BENCHMARK); needs --benchmark",
    )
    parser.add_argument(
        "--tables", type=Path, metavar="DIR", help="committed tables (default: the leaderboards/ folder)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="build: where to write (default: the results folder)"
    )
    parser.add_argument(
        "--add", type=Path, action="append", default=[], metavar="FILE", help="row of `score --row`"
    )
    parser.add_argument(
        "--methods", metavar="A,B", help="check: these rows only; accept --traces: these methods"
    )
    parser.add_argument(
        "--traces", action="store_true", help="accept: train each method for three steps, commit their losses"
    )
    parser.add_argument("--reason", default="", help="accept: what changed, and why it is right")
    parser.add_argument(
        "--published", action="store_true", help="show: the papers' own figures, with their sources"
    )
    parser.add_argument("--json", action="store_true", help="check, show: print JSON")


def run(args: argparse.Namespace) -> int:
    """Exit code 0, or 1 where the check fails."""
    if args.published and args.action != "show":
        raise ValueError("--published belongs to `talkbench leaderboard show`")
    if args.results and not args.benchmark:
        raise ValueError("--results needs --benchmark: the folder holds one benchmark's results")
    tables = args.tables or _committed_folder()
    return {"build": _build, "check": _check, "accept": _accept, "show": _show}[args.action](args, tables)


def _committed_folder() -> Path:
    from talkbench.resources import folder

    return folder("leaderboards")


def _benchmarks(args, tables: Path, *, committed: bool) -> list[str]:
    """The benchmarks meant: the one named, else those with a committed table, or with results."""
    if args.benchmark:
        return [args.benchmark]
    from talkbench.evaluation.protocol import names
    from talkbench.evaluation.results import default_folder

    found = [n for n in names() if ((tables / f"{n}.json") if committed else default_folder(n)).exists()]
    if not found:
        where = f"committed table in {tables}" if committed else "results/BENCHMARK folder here"
        raise ValueError(
            f"there is no {where}; run `talkbench eval --all`, then `talkbench leaderboard accept`"
        )
    return found


def _fresh(args, name: str, tables: Path):
    """(protocol, fresh table, result rows, results folder) of a benchmark."""
    from talkbench.evaluation.protocol import load
    from talkbench.evaluation.results import default_folder, read_rows
    from talkbench.leaderboard.tables import build, merged, read_external_row, sealed

    protocol, results = load(name), args.results or default_folder(name)
    rows = read_rows(results)
    table = build(protocol, rows, published=tables / "published.toml")
    if args.add:
        table = sealed(merged(table, [read_external_row(path, table) for path in args.add]))
    return protocol, table, rows, results


def _build(args, tables: Path) -> int:
    from talkbench.leaderboard.page.document import Board

    names = _benchmarks(args, tables, committed=False)
    boards = [Board(*_fresh(args, name, tables)) for name in names]
    together = args.out or boards[0].results.parent if len(boards) > 1 else None
    for board in boards:
        _write(board, args.out or board.results, page=together is None)
    if together:
        _write_page(boards, together)
    return 0


def write_tables(protocol, results: Path, out: Path, *, as_json: bool = False) -> None:
    """Tables and page of the result files in `results`, written to `out`, and the table on the screen."""
    from talkbench.evaluation.results import read_rows
    from talkbench.leaderboard.page.document import Board
    from talkbench.leaderboard.tables import build

    rows = read_rows(results)
    table = build(protocol, rows, published=_committed_folder() / "published.toml")
    if not as_json:
        print_board(table)
    _write(Board(protocol, table, rows, results), out, quiet=as_json)
    if as_json:
        print(json.dumps(table, indent=1, ensure_ascii=False))


def _write(board, out: Path, *, quiet: bool = False, page: bool = True) -> None:
    from talkbench.leaderboard.tables import warnings, write

    written = write(board.table, out)
    if not quiet:
        for note in warnings(board.table):
            print(f"note: {note}")
        print("wrote:", *written, sep="\n  ")
    if page:
        _write_page([board], out, quiet=quiet)


def _write_page(boards: list, out: Path, *, quiet: bool = False) -> None:
    from talkbench.leaderboard.page.document import write

    index = write(boards, out / "page")
    if not quiet:
        print(f"  {index}")


def _check(args, tables: Path) -> int:
    from dataclasses import asdict

    from talkbench.leaderboard import traces
    from talkbench.leaderboard.check import compare, passes, report
    from talkbench.leaderboard.tables import read

    code, answers = 0, {}
    methods, benchmarks = _methods(args), _benchmarks(args, tables, committed=True)
    if not args.results:
        _recompute(benchmarks, methods, tables, quiet=args.json)
    for name in benchmarks:
        protocol, table, *_ = _fresh(args, name, tables)
        changes = compare(table, read(tables / f"{name}.json"), protocol, methods=methods)
        code = max(code, 0 if passes(changes) else 1)
        answers[name] = {"passes": passes(changes), "changes": [asdict(change) for change in changes]}
        if not args.json:
            print(report(changes, name))
    if not args.results and (tables / traces.FILE).exists():
        stored = traces.read(tables / traces.FILE)
        chosen = [name for name in stored["traces"] if methods is None or name in methods]
        changes = traces.compare(_traced(chosen, quiet=args.json), stored)
        code = max(code, 0 if passes(changes) else 1)
        answers["training"] = {"passes": passes(changes), "changes": [asdict(change) for change in changes]}
        if not args.json:
            print(report(changes, "training", "--traces"))
    if args.json:
        print(json.dumps(answers, indent=1))
    return code


def _methods(args) -> list[str] | None:
    return None if args.methods is None else [name.strip() for name in args.methods.split(",")]


def _traced(names: list[str], quiet: bool) -> dict:
    """{method: loss trace} of these methods."""
    from talkbench.leaderboard import traces

    if not quiet:
        print(f"first training steps: {', '.join(names)}", file=sys.stderr, flush=True)
    return traces.record_apart(names)


def _recompute(names: list[str], rows: list[str] | None, tables: Path, quiet: bool) -> None:
    """Evaluate the shipped weights on benchmarks; clips whose results are those of this very code are not done again.

    Args:
        names: of the benchmarks. rows: those that are looked at; methods without one are not evaluated. None: all.
        tables: the committed ones, which name the baselines.
    """
    from talkbench import methods
    from talkbench.cli.progress import bar
    from talkbench.evaluation import benchmark, protocol
    from talkbench.evaluation.results import default_folder
    from talkbench.leaderboard.tables import read
    from talkbench.training.process import set_up

    made = {name: {row.name for row in methods.load(name).rows} | {name} for name in methods.names()}
    if rows is not None:
        known = set().union(*made.values())
        known |= {row["method"] for name in names for row in read(tables / f"{name}.json")["rows"]}
        if unknown := sorted(set(rows) - known):
            raise ValueError(
                f"--methods {','.join(unknown)}: no such row; there are {', '.join(sorted(known))}"
            )
    set_up()
    at_hand = benchmark.ready([n for n, own in made.items() if rows is None or own & set(rows)])
    for name in names:
        chosen = protocol.load(name)
        with bar(chosen.title, quiet) as progress:
            benchmark.evaluate(chosen, at_hand, default_folder(name), progress=progress)


def _accept(args, tables: Path) -> int:
    if args.traces:
        return _accept_traces(args, tables)
    from talkbench.leaderboard.check import accept, compare, report
    from talkbench.leaderboard.tables import read, write

    for name in _benchmarks(args, tables, committed=False):
        protocol, table, *_ = _fresh(args, name, tables)
        path = tables / f"{name}.json"
        committed = read(path) if path.exists() else None
        accepted = accept(table, committed, args.reason)
        if committed:
            print(
                report(compare(table, committed, protocol), name).split("\n  talkbench leaderboard accept")[0]
            )
        print(f"{name}: wrote {', '.join(str(p) for p in write(accepted, tables))}")
    return 0


def _accept_traces(args, tables: Path) -> int:
    from talkbench import methods
    from talkbench.atomic import write_json
    from talkbench.leaderboard import traces
    from talkbench.leaderboard.check import report

    path = tables / traces.FILE
    committed = traces.read(path) if path.exists() else None
    fresh = _traced(_methods(args) or methods.names(), quiet=False)
    accepted = traces.accept(fresh, committed, args.reason)
    if committed:
        print(
            report(traces.compare(fresh, committed), "training").split("\n  talkbench leaderboard accept")[0]
        )
    write_json(path, accepted)
    print(f"training: wrote {path}")
    return 0


def _show(args, tables: Path) -> int:
    from talkbench.leaderboard.tables import read, warnings

    if args.published:
        return _show_published(args, tables / "published.toml")
    shown = [read(tables / f"{name}.json") for name in _benchmarks(args, tables, committed=True)]
    if args.json:
        print(json.dumps(shown, indent=1, ensure_ascii=False))
        return 0
    for table in shown:
        print_board(table)
        for note in warnings(table):
            print(f"note: {note}")
    return 0


def _show_published(args, path: Path) -> int:
    from talkbench.leaderboard import published

    rows, missing = published.published_rows(path, args.benchmark), published.absent(path)
    if args.json:
        print(json.dumps({"rows": rows, "absent": missing}, indent=1, ensure_ascii=False))
    elif rows:
        print(published.plain(rows, None if args.benchmark else missing))
    else:
        print(f"no published figures are shown beside {args.benchmark}; leave out --benchmark for all")
    return 0


def print_board(table: dict) -> None:
    """A leaderboard on the screen: a row a metric, a column a method, since terminals are higher than wide."""
    from talkbench.cli.table import print_table
    from talkbench.leaderboard.tables import heading, number, used

    lines = [["", *(row["method"] for row in table["rows"])]]
    if len({row["task"] for row in table["rows"]}) > 1:
        lines.append(["task", *(row["task"] for row in table["rows"])])
    lines.append(["driven by", *(", ".join(row["driven_by"]) or "-" for row in table["rows"])])
    for key in used(table):
        cells = (row["metrics"].get(key) for row in table["rows"])
        lines.append(
            [
                heading(table["metrics"][key]),
                *("-" if cell is None else number(cell["value"]) for cell in cells),
            ]
        )
    print_table(table["title"], lines)
