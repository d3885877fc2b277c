"""Evaluate methods on a benchmark: result files, tables, and one HTML page."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--all", action="store_true", help="every method with shipped weights, and every baseline"
    )
    parser.add_argument(
        "--method", action="append", default=[], metavar="NAME", help="a method (may be given again)"
    )
    parser.add_argument("--benchmark", metavar="NAME", help="a file in evals/ (default synthetic)")
    parser.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="weights of the one --method (default: shipped)"
    )
    parser.add_argument(
        "--data",
        metavar="SET",
        help="clips for --benchmark; without it, pictures of your clips: folder=DIR or NAME=DIR",
    )
    parser.add_argument(
        "--clips", type=Path, metavar="FILE", help="clip ids, one a line, in place of the benchmark's rule"
    )
    parser.add_argument("--weights-dir", type=Path, metavar="DIR", help="weights of the published judges")
    parser.add_argument(
        "--results", type=Path, metavar="DIR", help="result files (default: results/BENCHMARK)"
    )
    parser.add_argument("--json", action="store_true", help="print the table as JSON")


def run(args: argparse.Namespace) -> int:
    from talkbench import methods

    if not (args.all or args.method):
        raise ValueError("nothing to evaluate: pass --all, or --method NAME")
    own_clips = args.data and not args.benchmark
    if (args.checkpoint or own_clips) and len(args.method) != 1:
        raise ValueError("--checkpoint, and --data without --benchmark, go with exactly one --method")
    for name in args.method:
        methods.load(name)

    from talkbench.cli.leaderboard import write_tables
    from talkbench.cli.progress import bar
    from talkbench.evaluation import benchmark, protocol
    from talkbench.evaluation.results import default_folder
    from talkbench.training.process import set_up

    set_up()
    if own_clips:
        chosen = benchmark.on_other_clips(args.data, args.checkpoint, args.method[0])
    else:
        chosen = protocol.load(args.benchmark or "synthetic")
    if args.clips:
        chosen = replace(chosen, selection=str(args.clips))
    results = args.results or default_folder(chosen.name)
    names = benchmark.ready(methods.names()) if args.all else args.method
    checkpoints = {args.method[0]: args.checkpoint} if args.checkpoint else {}
    with bar(chosen.title, quiet=args.json) as progress:
        report = benchmark.evaluate(
            chosen,
            names,
            results,
            checkpoints=checkpoints,
            data=args.data,
            weights=args.weights_dir,
            progress=progress,
        )
    for method, clip, reason in report.failed:
        print(f"failed: {method} on {clip}: {reason}", file=sys.stderr)
    write_tables(chosen, results, results, as_json=args.json)
    return 1 if report.failed else 0
