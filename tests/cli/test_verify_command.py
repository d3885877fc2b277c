import argparse
import json
from pathlib import Path

import numpy as np
import pytest

from talkbench.cli import verify
from talkbench.weights.golden import GoldenError, read

SMALL = Path(__file__).parents[1] / "golden" / "facevid2vid_small.npz"


def run(*arguments):
    parser = argparse.ArgumentParser()
    verify.add_arguments(parser)
    return verify.run(parser.parse_args([*map(str, arguments)]))


def altered(path, change):
    with np.load(SMALL) as file:
        arrays = {name: file[name] for name in file.files}
    manifest = json.loads(str(arrays["manifest"]))
    change(manifest, arrays)
    arrays["manifest"] = np.array(json.dumps(manifest))
    np.savez(path, **arrays)
    return path


def test_table_and_exit_code(capsys):
    assert run("--golden", SMALL, "--case", "normalize_kp", "--case", "interpolate") == 0
    out = capsys.readouterr().out
    assert "normalize_kp" in out and "7 of 7 outputs within tolerance, 2 cases" in out


def test_a_wrong_output_fails(tmp_path, capsys):
    def spoil(manifest, arrays):
        arrays["normalize_kp/relative"] = arrays["normalize_kp/relative"] + 1e-3

    path = altered(tmp_path / "g.npz", spoil)
    assert run("--golden", path, "--case", "normalize_kp", "--json") == 1
    rows = json.loads(capsys.readouterr().out)[str(path)]
    assert {row["output"]: row["ok"] for row in rows} == {
        "absolute": True,
        "relative": False,
        "relative_scaled": True,
        "hull_volumes": True,
    }
    assert run("--golden", path, "--case", "normalize_kp") == 1
    assert "FAILED normalize_kp relative: error" in capsys.readouterr().out


def test_a_file_nobody_knows_is_refused(tmp_path):
    def rename(manifest, arrays):
        manifest["cases"] = {}

    with pytest.raises(GoldenError, match="nothing here computes its cases"):
        run("--golden", altered(tmp_path / "g.npz", rename))


def test_the_right_module_is_found():
    from talkbench.methods.facevid2vid.golden import CASES

    assert verify.case_functions(read(SMALL)) is CASES
