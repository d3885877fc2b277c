"""The page, from results that the runner itself leaves; in headless Chromium where there is one."""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest
from toy_benchmark import FRAMES, Features, Landmarks, Source, Sync

from talkbench.data.media import read_video
from talkbench.evaluation import baselines
from talkbench.evaluation.candidate import DRIVERS, Candidate
from talkbench.evaluation.protocol import Protocol
from talkbench.evaluation.results import read_rows
from talkbench.evaluation.runner import run
from talkbench.leaderboard import tables
from talkbench.leaderboard.page import document, footage, significance
from talkbench.leaderboard.page.document import Board

EVIL = "<script>alert('\"1\"')</script>"
PROTOCOL = Protocol(
    name="toy",
    version=1,
    title="Toy <heads> & co",
    dataset="toy",
    split="test",
    size=16,
    metrics=("psnr_luma", "lmd", "fid", "lse_c", "csim"),
    judges={"landmarks": "toy-landmarks", "features": "toy-features", "sync": "toy-sync"},
    options={"fid": {"allow_small": True}},
    gallery=("p0_c1", "p1_c0"),
)


def noisy(name, driven_by, amount):
    def generate(first, driving):
        shape = (driving.num_frames, *first.shape)
        noise = np.random.default_rng(1).integers(-amount, amount + 1, shape)
        return np.clip(np.repeat(first[None], driving.num_frames, 0) + noise, 0, 255).astype(np.uint8)

    return Candidate(name, driven_by, generate)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    source = Source()
    judges = {"landmarks": Landmarks(), "features": Features(), "sync": Sync(), "identity": None}
    methods = [
        replace(noisy("seer", ("video",), 0), generate=lambda first, driving: driving.frames),
        noisy(EVIL, ("audio",), 3),
        noisy("louder & worse", ("audio",), 40),
        noisy("same as the first", ("audio",), 3),
    ]
    everything = [*methods, *baselines.baselines(source, PROTOCOL.metrics)]
    assert run(PROTOCOL, source, everything, judges, folder).failed == []
    return folder


@pytest.fixture(scope="module")
def board(results):
    rows = read_rows(results)
    return Board(PROTOCOL, tables.build(PROTOCOL, rows), rows, results)


@pytest.fixture(scope="module")
def page(board, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out & #1") / "page"
    document.write([board], folder)
    return folder


class Tags(HTMLParser):
    """Tags with their attributes, and the text of everything but scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.script = [], "", None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.script = [] if tag == "script" else None

    def handle_data(self, data):
        if self.script is None:
            self.text += data
        else:
            self.data = data

    def handle_endtag(self, tag):
        self.script = None

    def of(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def parsed(page):
    return Tags((page / "index.html").read_text())


def test_names_are_text(parsed, page):
    assert EVIL in parsed.text and "Toy <heads> & co" in parsed.text and "louder & worse" in parsed.text
    assert [("src" in script) or script["type"] == "application/json" for script in parsed.of("script")] == [
        True
    ] * 2
    assert not any(name.startswith("on") for _, attrs in parsed.tags for name in attrs)
    assert EVIL in [row["name"] for row in json.loads(parsed.data)["rows"]]


def test_nothing_is_loaded_from_elsewhere(parsed, page):
    asked = [
        attrs[n]
        for _, attrs in parsed.tags
        for n in ("src", "href", "poster", "data-landmarks")
        if attrs.get(n)
    ]
    files = {unquote(link) for link in asked if not link.startswith("#")}
    assert not {name for name in files if ":" in name or name.startswith(("/", ".."))}
    assert files | {"index.html"} == {p.relative_to(page).as_posix() for p in page.rglob("*") if p.is_file()}
    ids = {attrs["id"] for _, attrs in parsed.tags if "id" in attrs}
    assert {link[1:] for link in asked if link.startswith("#")} <= ids
    for name in ("page.css", "page.js"):
        assert "//" not in (page / name).read_text().replace("http://www.w3.org/2000/svg", "").replace(
            "// ", ""
        )


def test_every_row_column_and_clip_is_there(parsed, board):
    table = board.table
    assert len(table["rows"]) == 7
    rows = [attrs for attrs in parsed.of("tr") if "data-track" in attrs]
    assert [row["data-kind"] for row in rows] == [row["kind"] for row in table["rows"]]
    heads = [attrs for attrs in parsed.of("th") if "data-better" in attrs]
    assert len(heads) == 2 + 4 and all(h["aria-sort"] == "none" for h in heads)  # no row has CSIM
    assert len([s for s in parsed.of("svg") if s["class"] == "interval"]) == len(
        [cell for row in table["rows"] for cell in row["metrics"].values() if cell["low"] is not None]
    )
    assert len(parsed.of("video")) == 2 * (1 + 4 + 2)  # real, methods, static and wrong_audio
    assert "no identity judge" in parsed.text and "where the row comes from" in {
        b.get("title") for b in parsed.of("a")
    }


def test_marks_tell_who_is_told_apart(board):
    table = board.table
    known = significance.scores(board.results, table)
    members = [row for row in table["rows"] if significance.track(row) == "audio"]
    found = significance.marks(table, "reconstruction", members, known)
    leader, worse = found["louder & worse", "psnr_luma"]
    assert leader in (EVIL, "same as the first") and worse.better == "a" and worse.high < 0
    other = {EVIL, "same as the first"} - {leader}
    assert found[other.pop(), "psnr_luma"][1].better == ""
    assert not any(key == "fid" or name in ("static", "oracle", "seer") for name, key in found)
    everyone = significance.marks(table, "reconstruction", table["rows"], known)
    assert everyone[EVIL, "psnr_luma"][0] == "seer" and everyone[EVIL, "psnr_luma"][1].better == "a"


def test_videos_have_the_frames_and_the_sound(page):
    videos = sorted((page / "gallery/toy/reconstruction/p0_c1").glob("*.mp4"))
    assert len(videos) == 7
    for path in videos:
        video = read_video(path)
        assert video.frames.shape == (FRAMES - 1, 256, 256, 3) and np.abs(video.audio).max() > 0.1


def test_packed_landmarks_keep_their_places():
    points = np.full((2, 68, 2), np.nan, np.float32)
    points[0] = np.linspace(-1, 17, 136).reshape(68, 2)
    back = np.frombuffer(base64.b64decode(footage._packed(points, 16)), "<i2").reshape(2, 68, 2)
    assert (
        np.abs(back[0] / footage.SCALE * 16 - points[0]).max() < 0.01 and (back[1] == footage.NOWHERE).all()
    )


def test_footage_of_before_goes_and_a_row_without_it_stays(board, tmp_path):
    document.write([board], tmp_path)
    kept = replace(PROTOCOL, gallery=("p0_c1",))
    document.write([replace(board, protocol=kept)], tmp_path)
    assert not list((tmp_path / "gallery/toy/reconstruction/p1_c0").iterdir())
    assert document.write([replace(board, results=tmp_path / "none")], tmp_path / "other").exists()


# --------------------------------------------------------------------------------------------- Chromium

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

FLAGS = (
    *(
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--mute-audio",
        "--remote-debugging-pipe",
        "--no-first-run",
    ),
    *(
        "--disable-extensions",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ),
)
AS_3_AND_4 = """
import os, sys
from fcntl import F_DUPFD, fcntl
for wanted, high in [(3, fcntl(int(sys.argv[1]), F_DUPFD, 10)), (4, fcntl(int(sys.argv[2]), F_DUPFD, 10))]:
    os.dup2(high, wanted)
    os.close(high)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Chromium:
    """Headless Chromium, spoken to through pipes: JSON messages, each ended by a zero byte."""

    def __init__(self, profile):
        (theirs_in, self._out), (self._in, theirs_out) = os.pipe(), os.pipe()
        call = [BROWSER, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        start = [sys.executable, "-S", "-c", AS_3_AND_4, str(theirs_in), str(theirs_out), *call]
        self._process = subprocess.Popen(
            start, pass_fds=(theirs_in, theirs_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._rest, self._count, self.events, self._session = b"", 0, [], None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def _receive(self):
        while b"\0" not in self._rest:
            if not select.select([self._in], [], [], 300)[0]:
                raise TimeoutError("Chromium says nothing")
            got = os.read(self._in, 1 << 20)
            if not got:
                raise EOFError("Chromium is gone")
            self._rest += got
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)

    def send(self, method, **params):
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._count:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def run(self, code):
        """The value of an expression (promises are awaited), as if a person had caused it."""
        answer = self.send(
            "Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True, userGesture=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def open(self, url, width=1280):
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        self.send("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def until(self, code, seconds=300):
        end = time.monotonic() + seconds
        while not self.run(code):
            assert time.monotonic() < end, f"never true: {code}"
            time.sleep(0.1)

    def key(self, key, code, text=""):
        for kind in ("keyDown", "keyUp"):
            self.send(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code,
                **({"text": text} if text and kind == "keyDown" else {}),
            )  # fmt: skip

    def complaints(self):
        """Console errors, exceptions and warnings of the browser."""
        told = [e["params"] for e in self.events if e["method"] == "Log.entryAdded"]
        said = [e["params"] for e in self.events if e["method"] == "Runtime.consoleAPICalled"]
        thrown = [e["params"] for e in self.events if e["method"] == "Runtime.exceptionThrown"]
        return (
            [t for t in told if t["entry"]["level"] == "error"]
            + [s for s in said if s["type"] == "error"]
            + thrown
        )

    def requests(self):
        return [
            e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"
        ]

    def close(self):
        self._process.terminate()
        self._process.wait(30)
        os.close(self._in)
        os.close(self._out)


@pytest.fixture(scope="module")
def browser(page, tmp_path_factory):
    if BROWSER is None:
        pytest.skip("there is no Chromium on this machine")
    chromium = Chromium(tmp_path_factory.mktemp("profile"))
    try:
        chromium.open((page / "index.html").as_uri())
        yield chromium
    finally:
        chromium.close()


NAMES = "[...document.querySelectorAll('.board tbody tr:not([hidden]) th a')].map(a => a.textContent)"


def test_in_chromium_rows_are_sorted_by_the_keyboard(browser):
    ranked = browser.run(NAMES)
    head = "document.querySelectorAll('.board thead th')[2]"
    browser.run(f"{head}.querySelector('button').focus()")
    orders = []
    for _ in range(3):
        browser.key("Enter", 13, "\r")
        values = browser.run(
            "[...document.querySelectorAll('.board tbody tr')].map(r => r.children[2].dataset.value ?? null)"
        )
        orders.append((browser.run(f"{head}.getAttribute('aria-sort')"), [float(v) for v in values if v]))
        if len(orders) < 3:
            assert values[-1] is None  # wrong_audio has no PSNR, in whatever direction
    assert [name for name, _ in orders] == ["descending", "ascending", "none"]
    assert orders[0][1] == sorted(orders[0][1], reverse=True) and orders[1][1] == sorted(orders[1][1])
    assert browser.run(NAMES) == ranked and EVIL in ranked
    assert "order of the ranking" in browser.run("document.getElementById('status').textContent")


def test_in_chromium_filters_show_a_track_with_its_own_best(browser):
    def choose(name, value):
        field = f"document.querySelector('.task > form').elements.{name}"
        browser.run(
            f"{field}.value = {json.dumps(value)}; {field}.dispatchEvent(new Event('input', {{bubbles: true}}))"
        )

    best = "[...document.querySelectorAll('.board tr:not([hidden]) td.best')].map(d => d.closest('tr').dataset.track)"
    assert set(browser.run(best)) == {"video"}
    choose("track", "audio")
    assert "seer" not in browser.run(NAMES) and EVIL in browser.run(NAMES) and "static" in browser.run(NAMES)
    assert set(browser.run(best)) == {"audio"}
    hidden = "[...document.querySelectorAll('.tiles figure[hidden]')].map(f => f.dataset.name)"
    assert set(browser.run(hidden)) == {"seer"}
    choose("text", "louder")
    assert browser.run(NAMES) == ["louder & worse"]
    choose("text", "")
    choose("track", "all")
    assert len(browser.run(NAMES)) == 7


def test_in_chromium_videos_play_together_with_landmarks(browser):
    clip = "document.querySelector('.clip')"
    browser.run(f"{clip}.querySelector('form').elements.own.click()")
    browser.run(f"{clip}.querySelector('form').elements.play.click()")
    browser.until(
        f"[...{clip}.querySelectorAll('video')].every(v => v.currentTime > 0 && v.videoWidth === 256)"
    )
    assert browser.run(f"[...{clip}.querySelectorAll('video')].map(v => v.muted)") == [False] + [True] * 6
    browser.until(f"{clip}.querySelector('.tiles .own')?.getAttribute('d').startsWith('M')")
    drawn = "[...document.querySelectorAll('.clip[open] .strips .own')].map(p => p.getAttribute('d').split('M').length)"
    assert browser.run(drawn) == [1 + 8 * 9] * 7  # eight frames of nine lines
    browser.run(f"{clip}.querySelector('form').elements.play.click()")
    assert browser.run(f"[...{clip}.querySelectorAll('video')].every(v => v.paused)")


def test_in_chromium_one_video_plays_with_its_sound(browser):
    button = "document.querySelectorAll('.clip .tiles figure[data-kind] figcaption button')[2]"
    assert browser.run(f"{button}.getAttribute('aria-label')") == f"Play {EVIL}"
    browser.run(f"{button}.focus()")
    browser.key("Enter", 13, "\r")
    video = f"{button}.closest('figure').querySelector('video')"
    browser.until(f"!{video}.paused && !{video}.muted && {button}.textContent === 'Pause'")
    browser.run(f"{button}.click()")
    browser.until(f"{video}.paused && {button}.textContent === 'Play'")


def test_in_chromium_scatter_plots_are_drawn(browser):
    assert browser.run("document.querySelectorAll('.plot circle').length") == 6
    assert "of 6 clips" in browser.run("document.querySelector('.scatter p').textContent")
    assert browser.run("document.querySelectorAll('.plot script').length") == 0


def test_in_chromium_a_phone_scrolls_tables_only(browser, page):
    browser.open((page / "index.html").as_uri(), width=375)
    assert browser.run("document.documentElement.scrollWidth") <= 375
    browser.run("document.querySelector('.board th a').click()")
    browser.until("document.querySelector('.folds > details').open")
    colour = "getComputedStyle(document.body).backgroundColor"
    light = browser.run(colour)
    browser.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert light == "rgb(255, 255, 255)" and browser.run(colour) != light


def test_in_chromium_nothing_went_wrong_or_out(browser, page):
    """Last, over all that the tests above did."""
    assert browser.complaints() == []
    asked = [url for url in browser.requests() if not url.startswith("data:")]  # the player's own pictures
    assert len(asked) > 10 and all(url.startswith(page.as_uri() + "/") for url in asked)


def test_every_driver_has_a_track():
    assert set(DRIVERS) | {"nothing"} == set(significance.TRACKS)
