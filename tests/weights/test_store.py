import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from talkbench.weights import registry, store
from talkbench.weights.registry import Published
from talkbench.weights.store import WeightsMissing, WeightsRefused

DATA = bytes(range(256)) * 5000
SHA = hashlib.sha256(DATA).hexdigest()


class Server:
    """Serves DATA with ranges; `cut` closes each connection after so many bytes."""

    def __init__(self):
        outer = self
        self.cut, self.ranges, self.status, self.requests, self.data = None, True, None, [], DATA

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                asked = self.headers.get("Range")
                outer.requests.append(asked)
                if outer.status:
                    self.send_error(outer.status)
                    return
                start = int(asked[len("bytes=") : -1]) if asked and outer.ranges else 0
                if start >= len(outer.data):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(outer.data)}")
                    self.end_headers()
                    return
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(outer.data) - start))
                self.end_headers()
                self.wfile.write(outer.data[start:][: outer.cut])

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/w.pth"


@pytest.fixture
def server(monkeypatch):
    server = Server()
    row = Published("w", "w.pth", "someone", "none", url=server.url, size=len(DATA), sha256=SHA)
    rows = (
        row,
        Published("prefix", "prefix.pth", "someone", "none", url=server.url, sha256=SHA[:8]),
        Published("unknown", "unknown.pth", "someone", "none", url=server.url),
        Published("manual", "manual.pth", "someone", "none", page="https://example.org", sha256=SHA),
    )
    monkeypatch.setattr(registry, "ROWS", rows)
    monkeypatch.setattr(store.time, "sleep", lambda _: None)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield server
    server.server.shutdown()
    server.server.server_close()


def test_fetch_checks_and_records(server, tmp_path):
    with pytest.raises(WeightsMissing, match="not available: run talkbench weights fetch w"):
        store.path_of("w", tmp_path)
    seen = []
    path = store.fetch("w", tmp_path, progress=lambda *numbers: seen.append(numbers))
    assert path.read_bytes() == DATA and seen[-1] == (len(DATA), len(DATA))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checksums.json", "w.pth"]
    assert store.records(tmp_path)["w.pth"]["sha256"] == SHA
    assert store.path_of("w", tmp_path) == path and store.verify("w", tmp_path) == "checksum"
    store.fetch("w", tmp_path)
    assert len(server.requests) == 1


def test_fetch_resumes(server, tmp_path):
    server.cut = 300_000
    with pytest.raises(WeightsRefused, match="same command goes on"):
        store.fetch("w", tmp_path, attempts=2)
    assert (tmp_path / "w.pth.part").stat().st_size == 600_000
    server.cut = None
    assert store.fetch("w", tmp_path).read_bytes() == DATA
    assert server.requests == [None, "bytes=300000-", "bytes=600000-"]


def test_fetch_without_ranges_starts_anew(server, tmp_path):
    (tmp_path / "w.pth.part").write_bytes(b"x" * 1000)
    server.ranges = False
    assert store.fetch("w", tmp_path).read_bytes() == DATA


def test_part_that_is_whole_already(server, tmp_path):
    (tmp_path / "prefix.pth.part").write_bytes(DATA)
    assert store.fetch("prefix", tmp_path).read_bytes() == DATA
    assert server.requests == [f"bytes={len(DATA)}-"]


def test_wrong_content_is_refused_and_forgotten(server, tmp_path):
    server.data = DATA[:-1] + b"!"
    with pytest.raises(WeightsRefused, match="sha256 is"):
        store.fetch("w", tmp_path)
    assert not list(tmp_path.iterdir())
    server.data = DATA[:-1]
    with pytest.raises(WeightsRefused, match="failed"):
        store.fetch("w", tmp_path, attempts=1)


def test_http_error(server, tmp_path):
    server.status = 404
    with pytest.raises(WeightsRefused, match="404.*import --name w FILE"):
        store.fetch("w", tmp_path)
    assert len(server.requests) == 1
    server.status = 503
    with pytest.raises(WeightsRefused, match="503"):
        store.fetch("w", tmp_path)
    assert len(server.requests) == 4


def test_prefix_is_pinned_at_first_sight(server, tmp_path):
    store.fetch("prefix", tmp_path)
    assert store.verify("prefix", tmp_path) == "checksum"
    (tmp_path / "prefix.pth").write_bytes(b"other")
    with pytest.raises(WeightsRefused, match="sha256"):
        store.verify("prefix", tmp_path)


def test_unknown_checksum_needs_a_flag(server, tmp_path):
    with pytest.raises(WeightsRefused, match="--accept-unverified"):
        store.fetch("unknown", tmp_path)
    store.fetch("unknown", tmp_path, accept_unverified=True)
    assert store.verify("unknown", tmp_path) == "checksum"
    (tmp_path / "checksums.json").unlink()
    assert store.verify("unknown", tmp_path) == "unverified"
    with pytest.raises(WeightsRefused, match="open https://example.org in a browser.*import --name manual"):
        store.fetch("manual", tmp_path)


def test_import(server, tmp_path):
    (tmp_path / "mine.bin").write_bytes(DATA)
    folder = tmp_path / "store"
    path = store.import_file("manual", tmp_path / "mine.bin", folder)
    assert path.read_bytes() == DATA and (tmp_path / "mine.bin").exists()
    assert store.import_file("manual", path, folder) == path
    (tmp_path / "bad.bin").write_bytes(DATA[1:])
    with pytest.raises(WeightsRefused, match="bad.bin: .* bytes, w has"):
        store.import_file("w", tmp_path / "bad.bin", folder)
    with pytest.raises(WeightsRefused, match="no such file"):
        store.import_file("w", tmp_path / "none", folder)
    assert sorted(p.name for p in folder.iterdir()) == ["checksums.json", "manual.pth"]


def test_default_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("TALKBENCH_WEIGHTS", str(tmp_path / "here"))
    assert store.default_folder() == tmp_path / "here"
    monkeypatch.delenv("TALKBENCH_WEIGHTS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert store.default_folder() == tmp_path / "talkbench" / "weights"


def test_registry_is_consistent():
    names = [row.name for row in registry.ROWS]
    assert len(set(names)) == len(names) and len({row.file for row in registry.ROWS}) == len(names)
    for row in registry.ROWS:
        assert row.url or row.page, row.name
        assert len(row.sha256) in (0, 64) or 8 <= len(row.sha256) < 64, row.name
        assert all(c in "0123456789abcdef" for c in row.sha256)
        assert row.licence and row.publisher and row.used_by
        if row.sha256 and "-" in row.file and len(row.sha256) == 64 and row.url.endswith(row.file):
            assert row.sha256.startswith(row.file.split(".")[0].rpartition("-")[2]), row.name
    with pytest.raises(ValueError, match="did you mean syncnet"):
        registry.by_name("synknet")


def test_command_line(server, tmp_path, capsys):
    import argparse

    from talkbench.cli import weights

    parser = argparse.ArgumentParser()
    weights.add_arguments(parser)

    def call(*words):
        args, args.rest = parser.parse_known_args([*words, "--weights-dir", str(tmp_path / "store")])
        code = weights.run(args)
        return code, capsys.readouterr()

    assert call("fetch", "w")[0] == 0
    code, out = call("list", "--json")
    states = {row["name"]: row["state"] for row in json.loads(out.out)["weights"]}
    assert states == {"w": "here", "prefix": "fetch", "unknown": "fetch", "manual": "by hand"}
    code, out = call("list")
    assert code == 0 and "w.pth" in out.out and "whole" in out.out
    (tmp_path / "mine.bin").write_bytes(DATA)
    assert call("import", "--name", "w", str(tmp_path / "mine.bin"))[0] == 0
    code, out = call("import", "--name", "w", str(tmp_path / "mine.bin"), "second.bin")
    assert code == 1 and "--name takes one FILE and nothing else" in out.err
    code, out = call("verify")
    assert code == 0 and "checksum ok" in out.out
    (tmp_path / "store" / "w.pth").write_bytes(DATA[1:] + b"1")
    code, out = call("verify", "w", "--json")
    assert code == 1 and json.loads(out.out)[0]["ok"] is False
    assert call("fetch", "nothing")[0] == 1


def test_what_no_checksum_vouches_for_must_at_least_convert(tmp_path, capsys):
    import argparse

    from talkbench.cli import weights

    parser = argparse.ArgumentParser()
    weights.add_arguments(parser)
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    (tmp_path / "junk.pkl").write_text("junk")
    for file, message in (("other.npz", "does not fit the network"), ("junk.pkl", "no known weight file")):
        words = [
            "import",
            "--name",
            "hopenet",
            "--accept-unverified",
            "--weights-dir",
            str(tmp_path / "store"),
        ]
        args, args.rest = parser.parse_known_args([*words, str(tmp_path / file)])
        assert weights.run(args) == 1
        said = capsys.readouterr().err
        assert file in said and message in said and "hopenet_robust_alpha1.pkl" in said
    assert not (tmp_path / "store").exists()


def test_help_is_light():
    import subprocess
    import sys

    code = "import sys, talkbench.cli.weights; print(any(m in sys.modules for m in ('jax', 'numpy', 'rich')))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
    )
