"""Measure size, speed and memory of methods, judges and data on this machine.

Each measurement runs in a process of its own, without kept programs: compile time and peak memory are its own. Presets of
the published size are counted by shapes alone unless --full-size runs them too.
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--methods", metavar="A,B", help="these only (default: all)")
    parser.add_argument("--presets", default="tiny,paper", metavar="A,B", help="default: tiny,paper")
    parser.add_argument(
        "--what", metavar="A,B", help="of cost, train, generate, judges, data (default: all of them)"
    )
    parser.add_argument("--judges", metavar="A,B", help="these only (default: all)")
    parser.add_argument(
        "--full-size", action="store_true", help="run the paper presets too; for accelerators"
    )
    parser.add_argument("--bf16", action="store_true", help="measure in bfloat16 as well as float32")
    parser.add_argument(
        "--batch", metavar="N,M", help="training batches to sweep over (default: the config's)"
    )
    parser.add_argument(
        "--data", metavar="SET", help="clips to learn from, as `train` takes them (default: four drawn ones)"
    )
    parser.add_argument("--repeats", type=int, default=10, metavar="N", help="timed calls (default 10)")
    parser.add_argument(
        "--seconds", type=float, default=20.0, metavar="S", help="stop repeating after this long (default 20)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.epilog = "Any config value of the methods measured: --config.KEY=VALUE"


def run(args: argparse.Namespace) -> int:
    """Exit code 0, or 1 where nothing could be measured."""
    import json
    import tempfile

    from talkbench.bench import plan, report
    from talkbench.cli.progress import bar
    from talkbench.cli.table import print_table

    asked = _requests(args)
    if args.out and not args.out.absolute().parent.is_dir():
        raise ValueError(f"--out {args.out}: no folder {args.out.parent}; make it first")
    figures = []
    with tempfile.TemporaryDirectory() as folder, bar("bench", args.json) as tell:
        for row in plan.carried_out([{**one, "folder": folder} for one in asked], tell=tell):
            figures.append(
                {key: value for key, value in row.items() if key != "folder" and value is not None}
            )
            if args.out:  # what is measured stays, should the rest be interrupted
                _write(args.out, figures)
    if args.json:
        print(json.dumps({"figures": figures}, indent=1))
    else:
        for title, lines in report.tables(figures):
            print_table(title, lines, rules=False)
            print()
        for note in report.notes(figures):
            print(f"note: {note}")
        if args.out:
            print(f"wrote {args.out}")
    return 1 if all("error" in row for row in figures) else 0


def _write(path: Path, figures: list[dict]) -> None:
    from talkbench.atomic import write_json

    write_json(path, {"figures": figures})


def _requests(args: argparse.Namespace) -> list[dict]:
    """What the options ask for; ValueError for anything that isn't there."""
    from talkbench import config as configs
    from talkbench import methods
    from talkbench.bench import plan

    overrides = configs.overrides(args.rest)
    names = _chosen("--methods", args.methods, methods.names())
    what = _chosen("--what", args.what, plan.WHAT)
    judges = _chosen("--judges", args.judges, plan.BUILTIN + plan.PARTS)
    known = {name: configs.presets(name) for name in names}
    presets = _chosen(
        "--presets", args.presets, sorted({preset for there in known.values() for preset in there})
    )
    had = {name: [preset for preset in presets if preset in there] for name, there in known.items()}
    for name, there in had.items():
        for preset in there:
            configs.load(name, preset, overrides)  # refuses a wrong key now
    if args.repeats < 1 or not args.seconds > 0:
        raise ValueError(f"--repeats {args.repeats} --seconds {args.seconds:g}: both must be more than 0")
    if args.data:
        from talkbench.data import sources

        sources.parse(args.data)
    return plan.requests(
        names, had, what,
        full_size=args.full_size,
        dtypes=(None, "bfloat16") if args.bf16 else (None,),
        batches=_batches(args.batch),
        judges=tuple(judges),
        shared={
            "overrides": overrides, "data": args.data, "repeats": args.repeats, "seconds": args.seconds,
        },
    )  # fmt: skip


def _chosen(flag: str, text: str | None, there) -> list[str]:
    if text is None:
        return list(there)
    from talkbench.config import nearest

    found = [word.strip() for word in text.split(",") if word.strip()]
    for word in found or [""]:
        if word not in there:
            raise ValueError(f"{flag} {text}: no {word!r}; {nearest(word, there)}")
    return list(dict.fromkeys(found))


def _batches(text: str | None) -> tuple[int | None, ...]:
    if text is None:
        return (None,)
    try:
        sizes = tuple(int(word) for word in text.split(","))
    except ValueError:
        sizes = (0,)
    if min(sizes) < 1:
        raise ValueError(f"--batch {text}: write sizes of at least 1, such as 8,16,32")
    return sizes
