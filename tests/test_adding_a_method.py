"""The example of docs/adding-a-method.md, taken from the page as it stands."""

import re
from pathlib import Path

import numpy as np
import pytest
import toy_method

from talkbench import methods, resources
from talkbench.cli.main import main
from talkbench.data import media

PAGE = Path(__file__).parents[1] / "docs/adding-a-method.md"


@pytest.fixture
def example(tmp_path, monkeypatch):
    """The page's files, written where they can be imported."""
    files = dict(re.findall(r"^`(\S+\.py)`:\n\n```python\n(.*?)^```", PAGE.read_text(), re.M | re.S))
    assert len(files) == 2 and sum(len(text.splitlines()) for text in files.values()) <= 100
    for name, text in files.items():
        path = tmp_path / ("configs" if name.startswith("configs") else "code") / Path(name).name
        path.parent.mkdir()
        path.write_text(text)
    (tmp_path / "code/method.py").rename(tmp_path / "code/loudmouth_method.py")
    monkeypatch.syspath_prepend(tmp_path / "code")
    monkeypatch.setitem(methods.METHODS, "loudmouth", "loudmouth_method:METHOD")
    shipped = resources.folder
    monkeypatch.setattr(
        resources, "folder", lambda name: tmp_path / "configs" if name == "configs" else shipped(name)
    )


def test_the_page_s_method_trains_and_animates(example, tmp_path, capsys):
    store = toy_method.make_store(tmp_path / "store")
    run = ["train", "--method", "loudmouth", f"--data=folder={store.folder}", "--no-validation"]
    assert main([*run, f"--out={tmp_path / 'run'}", "--config.data.size=8", "--config.train.steps=3"]) == 0
    weights = tmp_path / "run/loudmouth.npz"
    assert weights.is_file()

    rng = np.random.default_rng(0)
    media.write_image(tmp_path / "still.png", rng.integers(0, 256, (8, 8, 3), np.uint8))
    media.write_audio(tmp_path / "speech.wav", rng.uniform(-0.5, 0.5, 6400).astype(np.float32))
    out = tmp_path / "out.mp4"
    made = [
        "animate",
        "--method",
        "loudmouth",
        f"--checkpoint={weights}",
        f"--source={tmp_path / 'still.png'}",
    ]
    assert main([*made, f"--audio={tmp_path / 'speech.wav'}", f"--out={out}"]) == 0
    assert out.stat().st_size > 0
