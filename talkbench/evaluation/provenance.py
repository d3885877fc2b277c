"""Where a number comes from: everything that can move it, and a hash over that."""

import hashlib
import importlib.metadata
import json
import platform
import subprocess
from functools import cache
from pathlib import Path

from talkbench import __version__
from talkbench.evaluation.protocol import Protocol
from talkbench.resources import PACKAGE

_PACKAGES = ("jax", "jaxlib", "flax", "numpy", "scipy", "opencv-python-headless", "av", "numba")
_ABOUT_THE_MOMENT = ("git",)  # recorded, but `code` says more exactly whether anything changed


def digest(value) -> str:
    """SHA-256 (hex) of plain values, independent of the order of dict keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def code_hash() -> str:
    """SHA-256 over the package's Python files: results of other code are computed anew."""
    state = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        state.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return state.hexdigest()


@cache
def git_revision() -> str | None:
    """Commit of the checkout, with "-dirty" where tracked files differ from it; None outside a checkout."""
    call = ["git", "-C", str(PACKAGE.parent), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(call, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


@cache
def packages() -> dict[str, str]:
    """Versions of what computes."""
    found = {"talkbench": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def device() -> str:
    """Kind of the first jax device, such as "cpu" or "gpu NVIDIA H200"."""
    import jax

    first = jax.devices()[0]
    return first.platform if first.platform == "cpu" else f"{first.platform} {first.device_kind}"


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def provenance(protocol: Protocol, source, judges: dict, candidate, clips: dict | None = None) -> dict:
    """What a candidate's scores depend on.

    Args:
        source: data source (`manifest`).
        judges: {kind: judge or None}.
        candidate: `baselines.Candidate`; its own `provenance` (config hash, checkpoint hash, ...) goes in
            whole.
        clips: which clips of the source, `Selection.as_dict`.
    """
    return {
        "protocol": {"name": protocol.name, "version": protocol.version, "hash": digest(protocol.scoring())},
        "metrics": {key: protocol.metric_version(key) for key in protocol.metrics},
        "method": {
            "name": candidate.name,
            "driven_by": list(candidate.driven_by),
            "config_hash": None,
            "checkpoint_hash": None,
            **candidate.provenance,
        },
        "judges": {kind: {"name": j.name, "hash": j.hash} for kind, j in judges.items() if j is not None},
        "dataset": {"name": source.name, "manifest_hash": digest(source.manifest), "clips": clips},
        "seed": protocol.seed,
        "code": code_hash(),
        "git": git_revision(),
        "packages": packages(),
        "device": device(),
    }


def provenance_hash(record: dict) -> str:
    """Hash by which the runner knows that a result is still good."""
    return digest({key: value for key, value in record.items() if key not in _ABOUT_THE_MOMENT})
