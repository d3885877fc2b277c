"""The wheel, what is in it, and what it does outside the checkout; the lock file; how light `--help` is."""

import os
import re
import resource
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
SHARED_FOLDERS = ("configs", "evals", "leaderboards")


def run(*command, cwd=ROOT, **changes) -> str:
    """Run a program that must succeed; its output."""
    environment = {
        key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")
    }
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environment | changes, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT)
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The bin folder of an environment with the wheel and this environment's packages, but not its talkbench."""
    home = tmp_path_factory.mktemp("elsewhere") / "env"
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    # pip must not see this environment's own talkbench, so its packages are linked afterwards
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        wheel,
    )
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    packages = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "this_environment.pth").write_text("".join(f"{path}\n" for path in sorted(packages)))
    return home / "bin"


def tracked(folder: str) -> list[str]:
    """Files of the checkout that belong to a folder, without what running them leaves behind."""
    found = [
        path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def test_wheel_holds_what_it_needs_and_nothing_else(wheel):
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith("/")}
    about = {name for name in inside if name.split("/")[0].endswith(".dist-info")}
    shared = {f"talkbench/_share/{name}" for folder in SHARED_FOLDERS for name in tracked(folder)}
    assert inside - about == set(tracked("talkbench")) | shared
    needed = {
        "configs/facevid2vid.py",
        "evals/synthetic.py",
        "leaderboards/synthetic.json",
        "leaderboards/published.toml",
    }
    assert {f"talkbench/_share/{name}" for name in needed} <= inside
    assert "talkbench/geometry/synthetic_face.npz" in inside
    assert {name.split("/", 1)[1] for name in about} >= {
        "licenses/LICENSE",
        "licenses/NOTICE",
        "entry_points.txt",
    }
    assert not [name for name in inside if name.startswith(("tests/", "docs/")) or name.endswith(".pyc")]


def test_wheel_holds_the_shipped_weights(wheel):
    from talkbench.evaluators.builtin import JUDGES
    from talkbench.methods import METHODS
    from talkbench.weights.checkpoint import SHIPPED

    inside = set(zipfile.ZipFile(wheel).namelist())
    folder = SHIPPED.relative_to(ROOT).as_posix()
    names = [name for name in [*METHODS, *JUDGES] if (SHIPPED / f"{name}.npz").exists()]
    assert {f"{folder}/{name}.npz" for name in [*names, "facevid2vid", *JUDGES, "atvgnet_basis"]} <= inside


def test_wheel_works_outside_the_checkout(installed, tmp_path):
    talkbench = installed / "talkbench"
    version = re.search(
        r'"(.+)"', (ROOT / "talkbench" / "__init__.py").read_text().partition("__version__")[2]
    )[1]
    assert run(talkbench, "--version", cwd=tmp_path) == f"talkbench {version}\n"
    assert "leaderboard" in run(talkbench, "--help", cwd=tmp_path)
    assert "synthetic" in run(
        talkbench, "leaderboard", "show", "--benchmark", "synthetic", "--json", cwd=tmp_path
    )
    code = (
        "from talkbench import config, resources; from talkbench.evaluation import protocol;"
        "from talkbench.geometry.head import head;"
        "config.load('facevid2vid', 'tiny'); protocol.load('synthetic'); head();"
        "print(resources.PACKAGE, *config.names())"
    )
    package, *names = run(installed / "python", "-c", code, cwd=tmp_path).split()
    assert Path(package).is_relative_to(installed.parent)
    assert names == sorted(path.stem for path in (ROOT / "configs").glob("*.py"))


def test_help_is_light(installed, tmp_path):
    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run(installed / "talkbench", "--help", cwd=tmp_path)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 0.5


def test_help_imports_no_numerics():
    code = """
import contextlib, io, sys
from talkbench.cli.main import COMMANDS, main
for words in ([], *([name] for name in COMMANDS)):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main([*words, "--help"])
print(*sys.modules.keys() & {"jax", "flax", "numpy", "scipy", "cv2", "av", "grain", "rich", "ml_collections"})
"""
    assert run(sys.executable, "-c", code, PYTHONPATH=str(ROOT)).split() == []


def locked() -> dict[str, tuple[str, int]]:
    """{package: (version, number of hashes)} of the lock file."""
    text = (ROOT / "requirements.lock").read_text().replace("\\\n", " ")
    found = {}
    for line in filter(None, text.splitlines()):
        name, version = re.match(r"([a-z0-9.-]+)==([^ ;]+)", line).groups()
        found[name] = (version, len(re.findall(r"--hash=sha256:[0-9a-f]{64}(?= |$)", line)))
    return found


def test_lock_has_hashes_and_fits_the_project():
    lock = locked()
    assert all(hashes for _, hashes in lock.values())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = project["project"]["dependencies"] + project["project"]["optional-dependencies"]["dev"]
    wanted += project["build-system"]["requires"] + project["tool"]["uv"]["constraint-dependencies"]
    for requirement in map(Requirement, wanted):
        version, _ = lock[re.sub(r"[-_.]+", "-", requirement.name).lower()]
        assert requirement.specifier.contains(version), f"{requirement}: {version} is locked; run `make lock`"
