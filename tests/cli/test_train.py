"""`talkbench train` with bad input: one line that names what is wrong, and nothing written."""

import pytest

from talkbench.cli.main import main


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--method", "facevidvid"], "did you mean 'facevid2vid'"),
        (["--judge", "landmark"], "did you mean 'landmarks'"),
        (["--preset", "tinny"], "did you mean 'tiny'"),
        (["--config.optimizer.learningrate=1"], "learning_rate"),
        (["--config.train.steps=many"], "train.steps"),
        (["--config.train.steps=0"], "steps"),
        (["--data", "folder=nowhere"], "nowhere"),
        (["--data", "folder=empty"], "empty"),
        (["--data", "synthetik"], "did you mean 'synthetic'"),
        (["--config.teacher.perceptual=vgg91"], "vgg91"),
        (["--out", "file/run"], "pass another --out"),
    ],
)
def test_bad_input(tmp_path, monkeypatch, capsys, words, says):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TALKBENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    named = [] if words[0] in ("--method", "--judge") else ["--method", "facevid2vid"]
    assert main(["train", *named, *words]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("talkbench: ") and says in lines[0], lines
    assert not (tmp_path / "runs").exists()
