"""What a run writes and prints."""

import json

import cv2
import numpy as np
import pytest

from talkbench.training.log import Log

VALUES = {"generator": np.float32(1.5), "l1": np.float32(1e-7 / 3)}


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_plain_lines_when_the_output_is_no_terminal(tmp_path, capsys):
    log = Log(tmp_path, "toy/repaint", 0, 100)
    log.scalars(10, VALUES)
    log.scalars(20, {**VALUES, "generator": np.float32(np.nan), "gan": np.inf})
    log.close()
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2 and printed[0].startswith("toy/repaint: step 10/100  loss 1.5000")
    assert "steps/s" in printed[0] and "min left" in printed[0] and "\x1b" not in "".join(printed)
    first, second = lines(tmp_path)
    assert first == {"step": 10, "generator": 1.5, "l1": 3.33333e-08}
    assert second["generator"] is None and second["gan"] is None  # JSON knows no NaN
    assert list((tmp_path / "tensorboard").glob("events*"))[0].stat().st_size > 100


def test_a_bar_on_a_terminal(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    log = Log(tmp_path, "toy/repaint", 0, 100)
    log.scalars(10, VALUES)
    log.close()
    printed = capsys.readouterr().out
    assert "toy/repaint" in printed and "10/100" in printed and "loss 1.500" in printed
    assert "min left" not in printed and lines(tmp_path)[0]["step"] == 10


def test_a_resumed_log_has_every_line_once(tmp_path):
    log = Log(tmp_path, "toy", 0, 10)
    for step in (2, 4, 6):
        log.scalars(step, {"generator": step})
    log.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "gener')  # killed while it wrote
    log = Log(tmp_path, "toy", 4, 10)
    for step in (6, 8):
        log.scalars(step, {"generator": -step})
    log.close()
    seen = [(2, 2.0), (4, 4.0), (6, -6.0), (8, -8.0)]
    assert [(line["step"], line["generator"]) for line in lines(tmp_path)] == seen
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("dtype", [np.float32, "bfloat16"])
def test_the_sample_grid(tmp_path, dtype):
    """Rows are examples, columns what a stage shows of each; RGB; values outside [0, 1] are cut."""
    import ml_dtypes  # noqa: F401 - names bfloat16

    images = np.zeros((2, 3, 4, 5, 3), np.float32)
    images[0, 1] = (1.0, 0.5, 0.25)
    images[1, 2] = (2.0, -1.0, 0.0)
    log = Log(tmp_path, "toy", 0, 10)
    log.images(7, images.astype(dtype))
    log.close()
    grid = cv2.imread(str(tmp_path / "samples" / "0000007.png"))[..., ::-1]
    assert grid.shape == (8, 15, 3)
    expected = np.zeros((8, 15, 3), np.uint8)
    expected[:4, 5:10] = (255, 128, 64)
    expected[4:, 10:] = (255, 0, 0)
    np.testing.assert_array_equal(grid, expected)
    assert [p.name for p in (tmp_path / "samples").iterdir()] == ["0000007.png"]


def test_only_the_first_process_writes(tmp_path, capsys):
    log = Log(tmp_path / "run", "toy", 0, 10, active=False)
    log.scalars(1, VALUES)
    log.images(1, np.zeros((1, 1, 2, 2, 3)))
    log.close()
    assert not (tmp_path / "run").exists() and capsys.readouterr().out == ""
