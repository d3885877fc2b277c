"""`talkbench COMMAND`: finds the command, runs it, turns known errors into one line and an exit code."""

import argparse
import importlib
import os
import sys

from talkbench import __version__

# Each command is a module of this package with `add_arguments(parser)` and `run(args) -> int`, imported on use only:
# `talkbench --help` must not wait for jax.
COMMANDS = {
    "eval": "evaluate methods and write the leaderboard tables",
    "train": "train a method, or a builtin judge",
    "animate": "make a video from a still and a driver",
    "score": "score anyone's videos against a reference",
    "data": "show and prepare data sets",
    "leaderboard": "build, check and accept leaderboard tables",
    "bench": "measure size, speed and memory of methods and judges",
    "weights": "list, fetch, import and verify network weights",
    "basis": "fit a landmark basis to a data set",
    "verify": "hold our networks against golden outputs of the published ones",
}


def parser() -> argparse.ArgumentParser:
    """The top-level parser; it knows the commands' names and nothing of their options."""
    lines = "\n".join(f"  {name:<12} {text}" for name, text in COMMANDS.items())
    top = argparse.ArgumentParser(
        prog="talkbench",
        description="Talking-face methods in JAX, and one evaluator for all of them.",
        epilog=f"commands:\n{lines}\n\n`talkbench COMMAND --help` tells a command's options.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"talkbench {__version__}")
    top.add_argument("command", metavar="COMMAND", help="see below")
    return top


def main(argv: list[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0 done, 1 a check failed, 2 bad usage or input, 75 interrupted but saved."""
    argv = sys.argv[1:] if argv is None else argv
    top = parser()
    known = top.parse_args(argv[:1] or ["--help"])
    if known.command not in COMMANDS:
        import difflib

        close = difflib.get_close_matches(known.command, COMMANDS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "see `talkbench --help`"
        return _fail(f"no command {known.command!r}; {hint}")
    module = importlib.import_module(f"talkbench.cli.{known.command}")
    command = argparse.ArgumentParser(prog=f"talkbench {known.command}", description=module.__doc__)
    module.add_arguments(command)
    args, args.rest = command.parse_known_args(argv[1:])
    if args.rest and not all(a.startswith("--config.") for a in args.rest):
        command.error(f"unknown argument {args.rest[0]!r}; see `talkbench {known.command} --help`")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        return module.run(args)
    except KeyboardInterrupt:
        return _fail("interrupted", code=130)
    except BrokenPipeError:
        return 0
    except (ValueError, OSError, RuntimeError) as error:
        if os.environ.get("TALKBENCH_TRACEBACK"):
            raise
        return _fail(_line(error))


def _line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        remedy = {28: "; free some space or write elsewhere", 13: "; choose a folder you may write to"}.get(
            error.errno, ""
        )
        return f"{where}{error.strerror}{remedy}"
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]


def _fail(message: str, code: int = 2) -> int:
    print(f"talkbench: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
