"""Fit ATVGnet's landmark basis (reference shape, alignment template, PCA) to a data set with landmarks."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", default="synthetic", metavar="SET", help="synthetic (default) or folder=DIR"
    )
    parser.add_argument("--split", default="train", help="of the synthetic set (default train)")
    parser.add_argument("--size", type=int, default=64, help="side of the pictures in pixels (default 64)")
    parser.add_argument(
        "--normalisation",
        default="plain",
        choices=("plain", "clip"),
        help="what the codes are for (default plain)",
    )
    parser.add_argument("--codes", type=int, default=32, help="directions to keep (default 32)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of one frame a clip")
    parser.add_argument("-o", "--out", required=True, type=Path, metavar="FILE.npz")


def run(args: argparse.Namespace) -> int:
    from dataclasses import replace

    from talkbench.data import sources
    from talkbench.methods.atvgnet import basis

    if not 1 <= args.codes <= 136:
        raise ValueError(f"--codes {args.codes}: 1 to 136 directions of 68 points")
    store = sources.open_store(args.data, args.size, args.split)
    table = basis.fit((store.view(i) for i in store.clip_ids), args.normalisation, args.seed)
    table = replace(table, U=table.U[:, : args.codes])
    about = {"data": {"name": store.name, "fingerprint": store.fingerprint}, "seed": args.seed}
    basis.save(args.out, table, {**about, "normalisation": args.normalisation})
    print(f"{args.out}: {args.codes} directions of {len(store.clip_ids)} clips")
    print(f"use it with: talkbench train --method atvgnet --config.model.basis={args.out}")
    return 0
