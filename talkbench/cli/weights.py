"""List, fetch, import and verify published weights of judges and methods.

Nothing is downloaded unless you say fetch.
"""

import argparse
import hashlib
import importlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from talkbench.columns import aligned
from talkbench.weights import registry, store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `talkbench weights`."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--weights-dir", metavar="DIR", help=f"folder of weight files ({store.default_folder()})"
    )
    common.add_argument("--json", action="store_true", help="print JSON")
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|fetch|import|verify")

    actions.add_parser(
        "list", parents=[common], help="what there is, what is here, and where the rest comes from"
    )

    fetch = actions.add_parser("fetch", parents=[common], help="download, check and keep")
    fetch.add_argument("names", nargs="+", metavar="NAME", help="names of `weights list`")

    take = actions.add_parser("import", parents=[common], help="check a file that you have, and keep a copy")
    which = take.add_mutually_exclusive_group(required=True)
    which.add_argument("--name", help="its name in `weights list`")
    which.add_argument("--method", metavar="NAME", help="the method whose published checkpoints they are")
    take.add_argument("files", nargs="+", type=Path, metavar="FILE")
    take.add_argument("--preset", default="paper", help="--method: the config that they fit (default paper)")
    take.add_argument(
        "--out",
        type=Path,
        metavar="FILE.npz",
        help="--method: where to write (default: METHOD-published.npz in the folder)",
    )
    take.epilog = (
        "With --method, checkpoints that a method's authors published become one file for `eval` and `animate` "
        "(--checkpoint FILE.npz). Where they differ from the preset, say so: --config.KEY=VALUE."
    )
    for action in (fetch, take):
        action.add_argument(
            "--accept-unverified", action="store_true", help="take a file whose checksum nobody published"
        )

    verify = actions.add_parser(
        "verify", parents=[common], help="check checksums, and that every tensor converts"
    )
    verify.add_argument("names", nargs="*", metavar="NAME", help="default: all that are here")


def run(args) -> int:
    """Do what the parsed arguments say; 0, or 1 where something failed."""
    action = {"list": _list, "fetch": _fetch, "import": _import, "verify": _verify}[args.action]
    try:
        return action(args)
    except ValueError as error:
        if args.json:
            print(json.dumps({"error": str(error)}))
        print(f"talkbench weights: {error}", file=sys.stderr)
        return 1


def _list(args) -> int:
    rows = []
    for row in registry.ROWS:
        here = store.available(row.name, args.weights_dir)
        state = "here" if here else "fetch" if row.url else "by hand"
        known = "whole" if len(row.sha256) == 64 else "prefix" if row.sha256 else "none"
        rows.append(
            {
                "name": row.name,
                "state": state,
                "size": row.size,
                "checksum": known,
                "file": row.file,
                "used_by": row.used_by,
                "licence": row.licence,
                "publisher": row.publisher,
                "from": row.url or row.page,
                "note": row.note,
            }
        )
    if args.json:
        print(
            json.dumps({"folder": str(args.weights_dir or store.default_folder()), "weights": rows}, indent=1)
        )
        return 0
    table = [("NAME", "STATE", "MB", "CHECKSUM", "FILE", "USED BY")]
    for row in rows:
        size = f"{row['size'] / 1e6:.1f}" if row["size"] else "?"
        table.append((row["name"], row["state"], size, row["checksum"], row["file"], row["used_by"]))
    print(*aligned(table), sep="\n")
    print(f"\nfolder: {args.weights_dir or store.default_folder()}; licences and addresses: --json")
    print("published checkpoints of a method: talkbench weights import --method NAME FILE...")
    return 0


def _fetch(args) -> int:
    done = []
    for name in args.names:
        with _progress(name, args.json) as progress:
            path = store.fetch(
                name, args.weights_dir, accept_unverified=args.accept_unverified, progress=progress
            )
        done.append({"name": name, "file": str(path)})
        if not args.json:
            print(f"{name}: {path}")
    if args.json:
        print(json.dumps(done, indent=1))
    return 0


def _import(args) -> int:
    if args.method:
        return _import_method(args)
    if len(args.files) != 1 or args.rest or args.out:
        raise ValueError("--name takes one FILE and nothing else")
    name, file = args.name, args.files[0]
    row = registry.by_name(name)
    if row.check and len(row.sha256) < 64 and file.is_file():
        _converted(row, file)  # no checksum vouches for it
    path = store.import_file(name, file, args.weights_dir, accept_unverified=args.accept_unverified)
    state = store.verify(name, args.weights_dir)
    if args.json:
        print(json.dumps({"name": name, "file": str(path), "checksum": state}))
    else:
        print(f"{name}: {path} ({state})")
    return 0


def _import_method(args) -> int:
    from talkbench import __version__, methods
    from talkbench import config as configs
    from talkbench.evaluation.provenance import file_hash
    from talkbench.weights import checkpoint

    method = methods.load(args.method)
    if method.published is None:
        raise ValueError(f"{method.name}: no published checkpoints of it are known")
    config = configs.load(method.name, args.preset, configs.overrides(args.rest))
    contents = {str(path): _content(path) for path in args.files}
    try:
        tree = method.published(config, contents)
    except ValueError as error:
        named = any(path in str(error) for path in contents)
        raise ValueError(str(error) if named else f"{', '.join(contents)}: {error}") from None
    out = args.out or Path(args.weights_dir or store.default_folder()) / f"{method.name}-published.npz"
    prints = {path.name: file_hash(path) for path in args.files}
    whole = hashlib.sha256("".join(sorted(prints.values())).encode()).hexdigest()
    meta = {
        "kind": "method", "name": method.name, "config": configs.to_plain(config), "config_hash": configs.digest(config),
        "data": {"name": "published", "fingerprint": whole}, "files": prints, "talkbench": __version__,
    }  # fmt: skip
    digest = checkpoint.save(out, tree, meta)
    if args.json:
        print(json.dumps({"method": method.name, "file": str(out), "digest": digest}))
        return 0
    print(f"{out}: {_count(tree) / 1e6:.1f} M numbers of {len(contents)} file(s), {digest}")
    print(f"talkbench eval --method {method.name} --checkpoint {out}")
    return 0


def _content(path: Path):
    """What a published file holds; of a text file the numbers."""
    import numpy as np

    from talkbench.weights import readers

    if path.suffix != ".txt":
        content = readers.read(path)
        if not isinstance(content, dict):
            raise ValueError(
                f"{path}: holds a {type(content).__name__}, not the arrays of networks by their names"
            )
        return content
    try:
        return np.loadtxt(path, dtype=np.float32)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: no readable text file of numbers ({error})") from None


def _verify(args) -> int:
    names = args.names or [row.name for row in registry.ROWS if store.available(row.name, args.weights_dir)]
    rows, failed = [], False
    for name in names:
        row = registry.by_name(name)
        try:
            state = store.verify(name, args.weights_dir)
            text = {"checksum": "checksum ok", "prefix": "prefix ok", "unverified": "no checksum known"}[
                state
            ]
            if row.check:
                variables = _converted(row, store.path_of(name, args.weights_dir))
                text += f", {_count(variables) / 1e6:.1f} M numbers converted"
            rows.append({"name": name, "ok": True, "detail": text})
        except ValueError as error:
            failed = True
            rows.append({"name": name, "ok": False, "detail": str(error)})
    if args.json:
        print(json.dumps(rows, indent=1))
    else:
        for result in rows:
            print(f"{'ok   ' if result['ok'] else 'FAIL '} {result['name']:16} {result['detail']}")
        if not rows:
            print(f"no weights in {args.weights_dir or store.default_folder()}")
    return int(failed)


def _converted(row: registry.Published, path: str | Path) -> dict:
    """What the row's own reader makes of a file; ValueError where it is not that network's."""
    module, _, function = row.check.partition(":")
    try:
        return getattr(importlib.import_module(module), function)(path)
    except ValueError as error:
        named = str(error) if str(path) in str(error) else f"{path}: {error}"
        raise ValueError(f"{named}; {row.name} is {row.file} of {row.publisher}") from None


def _count(tree) -> int:
    return sum(map(_count, tree.values())) if isinstance(tree, dict) else int(getattr(tree, "size", 0))


@contextmanager
def _progress(name: str, quiet: bool) -> Iterator[store.Progress | None]:
    """A progress bar on a terminal, a line for each tenth elsewhere."""
    if quiet:
        yield None
    elif sys.stdout.isatty():
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        columns = (
            "{task.description}",
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, transient=True) as bar:
            task = bar.add_task(name, total=None)
            yield lambda have, total: bar.update(task, completed=have, total=total or None)
    else:
        shown = -1

        def line(have: int, total: int) -> None:
            nonlocal shown
            tenth = have * 10 // total if total else have // 50_000_000
            if tenth > shown:
                shown = tenth
                print(
                    f"{name}: {have / 1e6:.1f} of {total / 1e6:.1f} MB"
                    if total
                    else f"{name}: {have / 1e6:.0f} MB"
                )

        yield line
