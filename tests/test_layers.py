"""Who may import whom, what each room may know, and how long a file may be; read from the sources, not by importing."""

import ast
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "talkbench"

# From the ground up: a room imports itself and what stands before it.
ROOMS = (
    "geometry nn data weights metrics evaluators methods training evaluation leaderboard bench cli".split()
)
# Modules beside the rooms, which any room may use, and which use none of them.
GROUND = {"atomic", "batches", "columns", "config", "resources", "stage"}
# Rooms that may use less than all that is below them.
ONLY = {"geometry": {"geometry"}, "nn": {"nn", "geometry"}, "metrics": {"metrics", "geometry"}}
OUTSIDE = {
    "geometry": {"numpy", "numba"},
    "nn": {"numpy", "jax", "flax"},
    "metrics": {"numpy", "scipy", "jax"},
}
JAX = {"jax", "jaxlib", "flax", "optax", "orbax"}
EXCEPTIONS = {
    (
        "talkbench/metrics/golden.py",
        "talkbench.data.mfcc",
    ): "a golden case holds the MFCC of one of the metrics",
}

METHODS = ("facevid2vid", "pcavs", "atvgnet", "makeittalk", "hdtf")
NAMES_ALLOWED = {
    "talkbench/weights/registry.py": "file names of published checkpoints",
    "talkbench/metrics/registry.py": "variants of metrics are named after the paper or script that defines them",
    "talkbench/metrics/image.py": "a variant named after its script",
    "talkbench/metrics/cpbd.py": "a variant named after its script",
    "talkbench/metrics/golden.py": "the same variants",
}
DATA_SETS = {"hdtf"}  # also the name of a method

LONGEST = 500
LONG = {
    "talkbench/data/media.py": "one decoder: probing, time stamps, colour, rotation and sound share its state",
    "talkbench/data/store.py": "writer, reader and check of one file format, kept side by side",
    "talkbench/data/synthetic/atlas.py": "one painter a part of the face, in the order of the texture",
    "talkbench/data/synthetic/render.py": "one compiled rasteriser with its shading",
    "talkbench/methods/facevid2vid/golden.py": "a table: one short function a golden case",
    "tests/data/test_media.py": "a case for each fault that a file can have",
}

FILES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


@cache
def imports(path: Path) -> set[str]:
    """Dotted names of all modules that a file imports, at its top or inside functions."""
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno}: relative import"
            inside = node.module == "talkbench"
            found |= {f"talkbench.{alias.name}" if inside else node.module for alias in node.names}
    return {name for name in found if (name_of(path), name) not in EXCEPTIONS}


def own(path: Path) -> set[str]:
    """First parts, inside talkbench, of what a file imports of it."""
    return {name.split(".")[1] for name in imports(path) if name.startswith("talkbench.")}


def foreign(path: Path) -> set[str]:
    """Third-party packages that a file imports."""
    return {name.split(".")[0] for name in imports(path)} - sys.stdlib_module_names - {"talkbench"}


def test_every_module_stands_in_a_room():
    assert {room_of(path) for path in FILES} == set(ROOMS) | GROUND | {"__init__"}


@pytest.mark.parametrize("room", ROOMS)
def test_imports_go_down(room):
    below = ROOMS[: ROOMS.index(room) + 1]
    allowed = ONLY.get(room, {*below, *GROUND, "__version__"})
    wrong = {name_of(p): sorted(own(p) - allowed) for p in FILES if room_of(p) == room and own(p) - allowed}
    assert not wrong


def test_the_ground_uses_no_room():
    wrong = {name_of(p): own(p) & set(ROOMS) for p in FILES if room_of(p) in GROUND and own(p) & set(ROOMS)}
    assert not wrong


@pytest.mark.parametrize("room", OUTSIDE)
def test_pure_rooms_use_few_packages(room):
    wrong = {name_of(p): foreign(p) - OUTSIDE[room] for p in FILES if room_of(p) == room}
    assert not {name: found for name, found in wrong.items() if found}


def test_data_imports_no_jax():
    # loader workers import it; what grain itself imports is its own matter
    assert not {name_of(p): foreign(p) & JAX for p in FILES if room_of(p) == "data" and foreign(p) & JAX}


def test_third_party_packages_are_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {text.split(">")[0].split("[")[0].strip().lower() for text in project["dependencies"]}
    called = {
        "cv2": "opencv-python-headless",
        "skimage": "scikit-image",
        "absl": "absl-py",
        "lpips_j": "lpips-j",
    }
    called |= {
        "orbax": "orbax-checkpoint",
        "array_record": "array-record",
        "ml_collections": "ml-collections",
    }
    used = set().union(*map(foreign, [*FILES, *ROOT.glob("configs/*.py"), *ROOT.glob("evals/*.py")]))
    assert not {name for name in used if called.get(name, name).lower() not in declared}


def words(path: Path) -> set[str]:
    """Identifiers and strings of a file's code; no comments, no docstrings."""
    found = set()
    prose = {id(node.value) for node in nodes(path) if isinstance(node, ast.Expr)}
    for node in nodes(path):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            found.add(node.value)
        for field in ("id", "attr", "name", "arg", "module", "asname"):
            if isinstance(getattr(node, field, None), str):
                found.add(getattr(node, field))
    return found


def test_nothing_below_the_methods_names_one():
    wrong = {}
    for path in FILES:
        room = room_of(path)
        below = room in GROUND or room in ROOMS[: ROOMS.index("methods")]
        if not below or name_of(path) in NAMES_ALLOWED:
            continue
        names = set(METHODS) - (DATA_SETS if room == "data" else set())
        named = [word[:60] for word in words(path) if any(name in word.lower() for name in names)]
        if named:
            wrong[name_of(path)] = named
    assert not wrong


def test_files_are_short():
    every = [
        p for folder in ("talkbench", "tests", "configs", "evals") for p in (ROOT / folder).rglob("*.py")
    ]
    long = {name_of(path) for path in every if len(path.read_text(encoding="utf-8").splitlines()) > LONGEST}
    assert long - LONG.keys() == set(), "divide them, or list them here with the reason"
    assert LONG.keys() - long == set(), "these are short now: take them off the list"


def test_exceptions_are_still_needed():
    for path, module in EXCEPTIONS:
        assert module in {node.module for node in nodes(ROOT / path) if isinstance(node, ast.ImportFrom)}
    for path in NAMES_ALLOWED:
        assert any(name in word.lower() for word in words(ROOT / path) for name in METHODS), path


def test_no_drawer_for_everything():
    wrong = ("util", "utils", "helper", "helpers", "misc", "common")
    assert not [name_of(path) for path in FILES if path.stem in wrong or path.parent.name in wrong]
