"""The papers' own figures: each with a source, apart from ours, and refused in one line where the file is wrong."""

import json

import pytest

from talkbench.cli.main import main
from talkbench.evaluation import protocol
from talkbench.leaderboard import published

ROW = {"method": '"m|<b>"', "protocol": '"set"', "metric": '"SSIM"', "value": "0.5", "source": '"Table 1"'}


def text(**changes) -> str:
    row = {key: value for key, value in (ROW | changes).items() if value is not None}
    return "[[row]]\n" + "".join(f"{key} = {value}\n" for key, value in row.items())


def test_the_shipped_file():
    rows, missing = published.published_rows(), published.absent()
    assert len(rows) > 20 and all(len(row["source"]) > 10 for row in rows)
    shown = {row["beside"] for row in rows} - {""}
    assert shown <= set(protocol.names())
    figures = {(row["method"], row["protocol"], row["metric"]) for row in rows}
    assert len(figures) == len(rows)
    assert not {row["method"] for row in rows} & missing.keys()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[[row]\n", "is not TOML"),
        (text(source=None), "row 1 lacks source"),
        (text() + text(source='""'), "row 2 lacks source"),
        (text(value=None, metric=None), "row 1 lacks metric, value"),
        (text(value='"half"'), "value = 'half' is no float"),
        (text(value="nan"), "value = nan is no figure"),
        (text(value="true"), "value = True is no float"),
        (text(quoted='"yes"'), "quoted = 'yes' is no bool"),
        (text(colour='"red"'), "unknown key 'colour'"),
        ("[rows]\n", "unknown table 'rows'"),
        ("row = 3\n", "write each row as [[row]]"),
        ("[absent]\nx = 3\n", "[absent] is a table"),
    ],
)
def test_a_malformed_file_is_one_line(tmp_path, capsys, content, says):
    path = tmp_path / "published.toml"
    path.write_text(content)
    assert main(["leaderboard", "show", "--published", "--tables", str(tmp_path)]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and says in lines[0] and str(path) in lines[0]


def test_no_file_is_one_line(tmp_path, capsys):
    assert main(["leaderboard", "show", "--published", "--tables", str(tmp_path)]) == 2
    assert "published.toml" in capsys.readouterr().err
    assert main(["leaderboard", "build", "--published"]) == 2
    assert "leaderboard show" in capsys.readouterr().err


def test_show(tmp_path, capsys):
    assert main(["leaderboard", "show", "--published"]) == 0
    shown = capsys.readouterr().out
    assert "ATVGnet" in shown and "1.29" in shown and "HDTF: " in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert main(["leaderboard", "show", "--published", "--benchmark", "voxceleb2", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {row["method"] for row in rows} == {"ATVGnet", "PC-AVS"}
    assert main(["leaderboard", "show", "--published", "--benchmark", "synthetic"]) == 0
    assert "no published figures" in capsys.readouterr().out


def test_names_are_escaped(tmp_path):
    path = tmp_path / "published.toml"
    path.write_text(text(note='"a|b"', quoted="true"))
    rows = published.published_rows(path)
    assert "m\\|<b> | set | SSIM | 0.5 | Table 1 (quoted). a\\|b |" in published.markdown(rows)
    page = published.html_block(rows, {"<i>": "none"})
    assert "m|&lt;b&gt;" in page and "<i>" not in page and "Table 1 (quoted)" in page
    assert published.markdown([]) == published.html_block([]) == ""
