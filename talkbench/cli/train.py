"""Train a method (or a builtin judge); rerun the same command to go on where it stopped."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--method", metavar="NAME", help="the method to train, such as facevid2vid")
    what.add_argument("--judge", metavar="NAME", help="the builtin judge to train, such as landmarks")
    parser.add_argument("--preset", default="tiny", help="tiny (default), small or paper")
    parser.add_argument(
        "--data",
        default="synthetic",
        metavar="SET",
        help="synthetic (default), NAME=DIR of a set that `data prepare` wrote, or folder=DIR: a folder of videos",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="run folder (default: runs/NAME-PRESET-SET)")
    parser.add_argument(
        "--no-validation", action="store_true", help="do not measure the trained method at the end"
    )
    parser.epilog = "Any config value: --config.KEY=VALUE, such as --config.optimizer.learning_rate=1e-4"


def run(args: argparse.Namespace) -> int:
    from talkbench import config as configs

    overrides = configs.overrides(args.rest)
    name = args.method or args.judge
    config = configs.load(name, args.preset, overrides)

    from talkbench.data import sources

    kind, folder = sources.parse(args.data)
    out = args.out or Path("runs") / f"{name}-{args.preset}-{folder.name if folder else kind}"

    import jax

    from talkbench.training import mesh

    mesh.initialize_cluster()  # before the methods' modules, which may call JAX when they are imported
    from talkbench.training import run

    try:
        path = run.train(name, "method" if args.method else "judge", config, args.data, out)
    except run.Interrupted as stop:
        print(f"{stop}: {out}")
        return run.INTERRUPTED
    if jax.process_index():
        return 0
    print(f"weights: {path}")
    if args.method and not args.no_validation:
        from talkbench.evaluation.validation import validate

        for line in validate(name, path, args.data):
            print(line)
    if args.judge:
        from talkbench.evaluators import builtin

        for key, value in builtin.describe(path).items():
            print(f"{key}: {value}")
    return 0
