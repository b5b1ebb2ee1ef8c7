"""The page to try a model, in a real browser with a microphone that plays a file."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import soundfile
from playwright.sync_api import Browser, Page, expect, sync_playwright
from websockets.sync.client import connect

import ser_core
from search.service.limits import Limits
from ser_core.features.audio import read_audio
from ser_core.predict import speech_probabilities
from tests.search.service.running import FINISHED, RATE_HZ, save_rating_model, serving, speech

PATIENCE_MS = 180_000
"""For a page on a machine that is busy with other things."""
Open = Callable[..., "Opened"]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving() as found:
        yield found


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("audio") / "voice.wav"
    soundfile.write(path, speech(3.0, rate_hz=48_000), 48_000)
    return path


@pytest.fixture(scope="module")
def browser(recording: Path) -> Iterator[Browser]:
    """Debian's chromium without a window, whose microphone plays the recording again and again."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on the path: apt-get install chromium")
    microphone = [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={recording}",
    ]
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", *microphone], timeout=PATIENCE_MS
        )
        yield opened
        opened.close()


class Opened:
    """The page; `problems` collects errors and requests to anywhere else."""

    def __init__(self, browser: Browser, address: str, *, width: int = 1440, scheme: Any = "light", script: str = ""):
        self.problems: list[str] = []
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, permissions=["microphone"]
        )
        self.context.set_default_timeout(PATIENCE_MS)
        self.page: Page = self.context.new_page()
        if script:
            self.page.add_init_script(script)
        self.page.on("console", lambda message: self._note(message.type in ("error", "warning"), message.text))
        self.page.on("pageerror", lambda error: self._note(True, str(error)))
        self.page.on("request", lambda request: self._note(not request.url.startswith(own), request.url[:200]))
        own = (address, "data:", "blob:")
        self.page.goto(address)
        self.page.wait_for_selector("html[data-ready]")

    def _note(self, bad: bool, text: str) -> None:
        if bad:
            self.problems.append(text)

    def done(self) -> None:
        """Wait until a recording is heard and drawn as a whole."""
        expect(self.page.get_by_role("slider", name="Moment")).to_be_enabled(timeout=PATIENCE_MS)

    def wait_for(self, condition: str) -> None:
        """Until it holds; the page's policy forbids what Playwright has for that."""
        for _ in range(PATIENCE_MS // 50):
            if self.page.evaluate(condition):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(condition)

    def colours(self, canvas: str) -> int:
        """How many different colours a canvas holds."""
        script = """(id) => { const c = document.getElementById(id); const seen = new Set();
            const data = new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer);
            data.forEach((value) => seen.add(value)); return seen.size; }"""
        return int(self.page.evaluate(script, canvas))


@pytest.fixture
def open_page(browser: Browser, address: str) -> Iterator[Open]:
    opened: list[Opened] = []

    def open_(**settings: Any) -> Opened:
        opened.append(Opened(browser, address, **settings))
        return opened[-1]

    yield open_
    for each in opened:
        each.context.close()


def test_a_recording_is_followed_while_it_is_made_and_heard_as_a_whole(open_page: Open) -> None:
    """By keyboard alone, on a phone."""
    opened = open_page(width=390, scheme="dark")
    page = opened.page
    button = page.get_by_role("button", name="Record", exact=True)
    button.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Stop")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#emotion")).to_have_text(re.compile("neutral|angry|sad"), timeout=PATIENCE_MS)
    assert page.locator("#said-of").inner_text() == "So far"
    opened.wait_for("parseFloat(document.getElementById('clock').textContent) > 1.5")
    page.keyboard.press("Enter")
    opened.done()
    assert page.locator("#problem").inner_text() == ""
    assert page.locator("#said-of").inner_text().startswith("Of the whole")
    assert re.fullmatch(r"(neutral|angry|sad), \d+ %\.", page.locator("#status").inner_text())
    assert re.match("Waveform of [1-9]", str(page.get_by_role("img", name="Waveform").get_attribute("aria-label")))
    assert opened.colours("waveform") > 1
    assert opened.colours("spectrogram") > 50
    assert opened.colours("ribbon") > 2
    slider = page.get_by_role("slider", name="Moment")
    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert re.match(r"At 0\.0[1-3] s: (neutral|angry|sad) \d+ %, ", page.locator("#at").inner_text())
    assert slider.get_attribute("aria-valuetext") == page.locator("#at").inner_text()
    rows = page.locator("#table-rows tr")
    seconds = float(slider.get_attribute("max") or 0)
    assert rows.count() == pytest.approx(seconds / 0.25, abs=1.01)
    assert opened.problems == []


def test_a_file_gets_what_predict_says_of_it(open_page: Open, recording: Path) -> None:
    opened = open_page()
    opened.page.get_by_label("Drop a recording here, or choose one").set_input_files(recording)
    opened.done()
    predictor = ser_core.load(FINISHED / "final")
    expected = speech_probabilities(predictor, read_audio(recording, RATE_HZ))
    word = predictor.classes[int(expected.argmax())]
    assert opened.page.locator("#emotion").inner_text().startswith(word)
    shown = dict(zip(predictor.classes, opened.page.locator("#shares .share").all_inner_texts(), strict=True))
    assert shown == {name: f"{100 * share:.0f} %" for name, share in zip(predictor.classes, expected, strict=True)}
    assert word in str(opened.page.get_by_role("img", name="Probabilities over time").get_attribute("aria-label"))
    box = opened.page.locator("#ribbon").bounding_box()
    assert box is not None
    opened.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    assert re.match(r"At 1\.[45]\d s: ", opened.page.locator("#at").inner_text())
    opened.page.get_by_role("button", name="Play").click()
    opened.wait_for("Number(document.getElementById('moment').value) > 1.8")
    assert opened.problems == []


def test_ratings_are_shown_on_the_scale_of_the_data(browser: Browser, recording: Path, tmp_path: Path) -> None:
    model = save_rating_model(tmp_path / "model")
    expected = speech_probabilities(ser_core.load(model), read_audio(recording, RATE_HZ))
    with serving(model) as address:
        opened = Opened(browser, address, width=390)
        page = opened.page
        page.locator("#file").set_input_files(recording)
        opened.done()
        shown = list(map(float, page.locator("#shares .share").all_inner_texts()))
        assert shown == pytest.approx(expected.tolist(), abs=0.011)
        assert page.locator("#emotion").inner_text().split()[:2] == ["arousal", f"{shown[0]:.2f}"]
        spans = page.locator("#shares small").all_inner_texts()
        low, high = map(float, spans[1].split(" to "))
        assert 20 < low < shown[1] < high < 80
        width = float(page.locator("#shares i").nth(1).evaluate("(bar) => parseFloat(bar.style.width)"))
        assert width == pytest.approx(100 * (shown[1] - low) / (high - low), abs=1)
        ribbon = page.get_by_role("img", name="Ratings over time")
        assert re.match(r"Ratings over time: arousal from \d", str(ribbon.get_attribute("aria-label")))
        assert opened.colours("ribbon") > 2
        assert re.match(r"arousal [\d.]+, valence [\d.]+\.", page.locator("#status").inner_text())
        assert page.locator("#table-rows tr").count() == 12
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert "acted speech" not in page.inner_text("body")
        assert opened.problems == []
        opened.context.close()


def test_a_stream_that_is_refused_is_said_and_the_file_is_heard_all_the_same(browser: Browser, recording: Path) -> None:
    with serving(limits=Limits(streams=1)) as address, connect(f"{address.replace('http', 'ws')}/stream"):
        opened = Opened(browser, address)
        opened.page.locator("#file").set_input_files(recording)
        opened.done()
        expect(opened.page.locator("#problem")).to_contain_text("refused the stream or ended it (code 1006)")
        assert opened.page.locator("#said-of").inner_text() == "Of the whole 3.0 s"
        opened.context.close()


def test_a_file_that_only_the_browser_reads_is_heard_and_one_that_only_the_service_reads_too(
    open_page: Open, tmp_path: Path
) -> None:
    opened = open_page()
    webm = """async () => {
        const context = new AudioContext(), out = context.createMediaStreamDestination();
        const tone = new OscillatorNode(context, { frequency: 300 });
        tone.connect(out); tone.start();
        const recorder = new MediaRecorder(out.stream), parts = [];
        recorder.ondataavailable = ({ data }) => parts.push(data);
        const over = new Promise((done) => { recorder.onstop = done; });
        recorder.start(); await new Promise((next) => setTimeout(next, 1500)); recorder.stop(); await over;
        const data = new DataTransfer();
        data.items.add(new File(parts, "voice.webm", { type: "audio/webm" }));
        document.getElementById("drop").dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
    }"""
    opened.page.evaluate(webm)
    opened.done()
    assert opened.page.locator("#said-of").inner_text().startswith("Of the whole 1")
    assert opened.page.locator("#problem").is_hidden()
    soundfile.write(tmp_path / "voice.au", speech(1.0), RATE_HZ)
    opened.page.locator("#file").set_input_files(tmp_path / "voice.au")
    expect(opened.page.locator("#status")).to_contain_text("Your browser cannot decode this file")
    assert opened.page.locator("#said-of").inner_text() == "Of the whole 1.0 s"
    refusals = [text for text in opened.problems if "422" not in text]  # the browser's note of the first try
    assert refusals == []


def test_what_nobody_can_read_is_said(open_page: Open, tmp_path: Path) -> None:
    (tmp_path / "notes.wav").write_text("no sound at all")
    opened = open_page()
    opened.page.locator("#file").set_input_files(tmp_path / "notes.wav")
    alert = opened.page.get_by_role("alert").filter(has_text="not an audio file that libsndfile reads")
    expect(alert).to_be_visible(timeout=PATIENCE_MS)


@pytest.mark.parametrize(("error", "words"), [("NotAllowedError", "was not allowed"), ("NotFoundError", "No micro")])
def test_a_microphone_that_cannot_be_opened_is_said(open_page: Open, error: str, words: str) -> None:
    script = f"navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('none', '{error}'))"
    opened = open_page(script=script)
    opened.page.get_by_role("button", name="Record", exact=True).click()
    expect(opened.page.locator("#problem")).to_contain_text(words)
    expect(opened.page.get_by_role("button", name="Record", exact=True)).to_have_attribute("aria-pressed", "false")


def test_a_service_that_has_ended_is_said(browser: Browser, recording: Path) -> None:
    with serving() as address:
        opened = Opened(browser, address)
    opened.page.locator("#file").set_input_files(recording)
    expect(opened.page.locator("#problem")).to_contain_text("The service does not answer", timeout=PATIENCE_MS)
    opened.context.close()


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (390, "dark"),
        (1440, "light"),
        pytest.param(390, "light", marks=pytest.mark.slow),
        pytest.param(1440, "dark", marks=pytest.mark.slow),
    ],
)
def test_it_fits_and_says_how_sure_that_is(open_page: Open, recording: Path, width: int, scheme: str) -> None:
    opened = open_page(width=width, scheme=scheme)
    page = opened.page
    page.locator("#file").set_input_files(recording)
    opened.done()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    red = int(page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]"))
    assert (red < 60) == (scheme == "dark")
    text = page.inner_text("body")
    for words in (
        "Guessed from acted speech.", "must not be used to judge people", "Synthetic corpus.", "73.3 %",
        "95 % interval over speakers: 0.0 to 100.0 %", "On 30 clips of 2 speakers whom it never heard", "33.3 %",
    ):  # fmt: skip
        assert words in text.replace("\u00a0", " ")
    assert page.get_by_role("button").count() == 3
    for canvas in ("waveform", "spectrogram", "ribbon"):
        assert opened.colours(canvas) > 1
    assert opened.problems == []


def test_the_page_names_no_other_address(address: str) -> None:
    scripts = ("try", "answers", "service", "sound", "drawing", "recorder")
    for path in ("/", "/style.css", *(f"/{name}.js" for name in scripts)):
        answer = httpx.get(f"{address}{path}")
        assert answer.status_code == 200
        assert set(re.findall(r"https?://[^\s'\"]+", answer.text)) <= {"http://www.w3.org/2000/svg"}
