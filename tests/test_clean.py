"""Tracked files hold nothing of the machine that they were written on, and no address of a package index."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

INDEX = re.compile(
    r'^ *(-i|--index-url|--extra-index-url|-f|--find-links) |"resolved": "https?:|registry = "https?:|'
    r"https?://[^ ]*/simple|file://[^ ]*/simple"
)
MACHINE = re.compile(r"(^|[^A-Za-z0-9_.])/(work|farm|root|home/[a-z]\w*|Users/\w+)/")


@pytest.fixture(scope="module")
def lines() -> list[tuple[str, str]]:
    """(FILE:LINE, text) of every tracked text file."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    found = []
    for name in filter(None, listed.stdout.decode().split("\0")):
        path = ROOT / name
        content = path.read_bytes() if path.is_file() else b""
        if b"\0" in content[:8000]:
            continue
        text = content.decode("utf-8", errors="replace")
        found += [(f"{name}:{n}", line) for n, line in enumerate(text.splitlines(), 1)]
    return found


def test_no_index_address(lines):
    assert not [place for place, line in lines if INDEX.search(line)]


def test_no_path_of_one_machine(lines):
    assert not [place for place, line in lines if MACHINE.search(line)]


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (INDEX, "--index-" + "url https" + "://pypi.example/x"),
        (INDEX, "see https" + "://pypi.example/root/simple"),
        (MACHINE, "open('/wor" + "k/x')"),
        (MACHINE, "/hom" + "e/ada/x"),
    ],
)
def test_the_patterns_find_something(pattern, line):
    assert pattern.search(line)
