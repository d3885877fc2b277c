"""Figures as people read them."""

from talkbench.bench import report

TIMES = {"seconds": 0.086, "fastest": 0.08, "slowest": 0.12, "processor_seconds": 0.1, "repeats": 9}
ABOUT = {"method": "facevid2vid", "preset": "paper"}
STAGE = {
    "stage": "image_translation", "parameters": 1234567, "discriminator_parameters": 0, "batch": 16,
    "multiply_adds_an_example": 5.5e9,
}  # fmt: skip
FIGURES = [
    {"what": "machine", "device": "cpu", "cores": 2, "load": 1.5, "side": 1024, "multiply_adds": 1024**3, **TIMES},
    {
        "what": "cost", **ABOUT, "size": 256, "multiply_adds_a_frame": 1.2e10,
        "stages": [STAGE, {**STAGE, "discriminator_parameters": 10**8, "missing": "no vgg19"}],
    },
    {
        "what": "train", **ABOUT, "dtype": "bfloat16", "stage": "image_translation", "batch": 128,
        "compile_seconds": 123.4, "bytes_moved": 1.5e9, "multiply_adds": 8e9, "peak_bytes": 3e9, **TIMES,
    },
    {"what": "train", **ABOUT, "number": 1, "error": "vgg19 is not there"},
    {
        "what": "generate", **ABOUT, "frames": 75, "first_seconds": 9.0, "compile_seconds": 8.0, "bytes_moved": 1e9,
        "multiply_adds": 8e9, "peak_bytes": 3e9, "note": "computes in float32", **TIMES,
    },
    {"what": "judge", "judge": "synth-landmarks", "size": 64, "frames": 75, "first_seconds": 1.0, "peak_bytes": 3e9, **TIMES},
    {"what": "data", **ABOUT, "size": 256, "decode": {"frames": 75, **TIMES}, "stages": [{**STAGE, "workers": 0, **TIMES}]},
]  # fmt: skip


def test_tables_fit_a_terminal():
    found = report.tables(FIGURES)
    assert len(found) == 6
    for title, lines in found:
        assert len({len(line) for line in lines}) == 1
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        assert sum(widths) + 2 * (len(widths) - 1) <= 80, title
    text = str(found)
    assert "1.23M" in text and "1.23M (100M)" in text and "x1.50" in text and "872" in text and "11.6" in text
    train = next(lines for title, lines in found if title.startswith("training"))
    assert train[2][-1] == "-"  # the machine was measured in another type
    generate = next(lines for title, lines in found if title.startswith("generation"))
    assert generate[1][-1] == f"{100 * 8e9 / 1024**3:.0f}"


def test_notes_tell_what_is_missing():
    found = "\n".join(report.notes(FIGURES))
    assert "train facevid2vid paper, stage 1: vgg19 is not there" in found
    assert "generate facevid2vid paper: computes in float32" in found and "no vgg19" in found


def test_numbers():
    assert [report.scaled(x) for x in (None, 0, 999, 1500, 2.5e6, 1e9)] == [
        "-",
        "0",
        "999",
        "1.50k",
        "2.50M",
        "1G",
    ]
    assert [report.memory(x) for x in (0, 2048, 1.5 * 2**30)] == ["0B", "2KiB", "1.50GiB"]
    assert [report.seconds(x) for x in (None, 0.0123, 1.5, 5000)] == ["-", "12.3ms", "1.5s", "5000s"]
