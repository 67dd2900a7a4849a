"""The page of `--report`: what is in it, and how it looks and behaves in a browser where one is installed."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from estimator.compare import Comparison, without_estimate
from estimator.report.answers import Answer, Beside
from estimator.report.charts import chart_specs
from estimator.report.html import NEEDED, page_html
from estimator.report.page import Measurement, Page, Row
from estimator.subjects.zoo import MODELS

MOST_BYTES = 3_000_000
ROWS = (
    Row(
        Comparison("tiny", "Small", 6.5, 7.0, -7.14, "EXCELLENT", "host", 6.4, 1.0, 5.7),
        runs_ms=(6.9, 7.0, 7.4),
        without_model_pct=-8.0,
        without_family_pct=-9.5,
    ),
    Row(
        Comparison("huge", "Large", 280.0, 250.0, 12.0, "GOOD", "device", 30.0, 279.0, 6.5),
        runs_ms=(249.0, 251.0),
        measurement=Measurement((248.0, 250.0, 252.0), (249.0, 251.0), "same (+0.2 %, margin 3.0 %)"),
    ),
    Row(Comparison("little</script>", "Small", 9.0, None, None, "UNMEASURED", "host", 9.0, 2.0, 8.0)),
    Row(without_estimate("broken", "Large", "failed")),
)
PAGE = Page("A board, 50W-fp32-b1", "Measured: twice.", (("Models", "4"),), ROWS, (("clocks", "not <locked>"),))
needs_extra = pytest.mark.skipif(
    any(importlib.util.find_spec(module) is None for module in NEEDED), reason=f"needs {', '.join(NEEDED.values())}"
)


class Reading(HTMLParser):
    """The tags of a page with their attributes, and its text without scripts and styles."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.words, self._inside = [], [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside not in ("script", "style"):
            self.words.append(data.strip())


@pytest.fixture(scope="module")
def html():
    return page_html(PAGE)


@needs_extra
def test_the_page_holds_all_it_needs_and_is_small(html):
    assert len(html.encode()) < MOST_BYTES
    page = Reading(html)
    links = [v for _, attrs in page.tags for k, v in attrs.items() if k in ("src", "href", "action", "srcset")]
    assert links == ["data:,"]
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


@needs_extra
def test_every_row_figure_verdict_and_source_is_in_the_page(html):
    words = Reading(html).words
    for word in ("tiny", "huge", "little</script>", "broken", "6.5", "+12.0", "FAILED", "UNMEASURED", "not <locked>"):
        assert word in words
    assert "same (+0.2 %, margin 3.0 %)" in words
    assert "Measured: twice." in words
    assert html.count("</script>") == html.count("<script>") == 2  # no name ends one


@needs_extra
def test_what_other_estimators_say_stands_in_columns_of_their_own(html):
    beside = Beside("lab:guess", {"tiny": Answer(3.5), "huge": Answer(None, "ValueError: <no> such kernel")})
    words, without = Reading(page_html(replace(PAGE, others=(beside,)))).words, Reading(html).words
    titles = [f"lab:guess: {title}" for title in ("estimate (ms)", "error (%)", "rating", "nearer", "why not")]
    assert [word for word in words if word.startswith("lab:guess")] == titles
    for word in ("3.5", "-50.0", "ours", "ValueError: <no> such kernel"):
        assert word in words
        assert word not in without


def test_charts_show_what_there_is_to_show():
    assert set(chart_specs(PAGE)) == {"parity", "errors", "shares", "rounds"}
    unmeasured = Page("", "", (), ROWS[2:3], ())
    assert set(chart_specs(unmeasured)) == {"shares"}
    assert set(chart_specs(Page("", "", (), ROWS[3:], ()))) == set()


@needs_extra
def test_a_heading_stands_only_over_a_chart():
    headings = {
        "Estimate and measurement": ROWS[:1],
        "Error by model": ROWS[:1],
        "Host and device": ROWS[2:3],
        "Rounds": ROWS[1:2],
    }
    for title, rows in headings.items():
        assert title in Reading(page_html(Page("", "", (), rows, ()))).words
        assert title not in Reading(page_html(Page("", "", (), ROWS[3:], ()))).words


def test_bands_are_those_of_the_ratings():
    bands = [layer for layer in chart_specs(PAGE)["parity"]["layer"] if layer["mark"]["type"] == "area"]
    assert len(bands) == 3
    for band, share in zip(bands, (0.5, 0.25, 0.1)):
        middle = band["data"]["values"][len(band["data"]["values"]) // 2]
        assert middle["high_ms"] == pytest.approx((1 + share) * middle["meas_ms"])
        assert middle["low_ms"] == pytest.approx((1 - share) * middle["meas_ms"])


def test_marks_say_what_they_stand_for():
    assert ROWS[0].label == "tiny: estimated 6.5 ms, measured 7 ms (runs 6.9 to 7.4), error -7.1 %, EXCELLENT"
    assert ROWS[2].label.endswith(": estimated 9 ms, not measured")
    assert ROWS[3].label == "broken: FAILED"
    ends_pct = (100 * (6.5 * times / 7 - 1) for times in (0.943, 1.057))
    assert ROWS[0].error_interval_pct() == pytest.approx(tuple(ends_pct))


@needs_extra
def test_a_session_writes_its_page_whichever_process_ran_its_tests(suite):
    run = suite.run("--report", "page.html", "-n", "2")
    assert run.ret == pytest.ExitCode.OK
    run.stdout.fnmatch_lines(["*Page written to *page.html"])
    html = (suite.path / "page.html").read_text(encoding="utf-8")
    assert "measured 6.76 ms (runs 6.71 to 7)" in html
    words = Reading(html).words
    est_ms = json.loads(suite.golden("resnet18").read_text(encoding="utf-8"))["est_ms"]
    assert {"resnet18", "mobilenet_v2", "vgg11", f"{est_ms:g}", "6.76", "not locked"} <= set(words)


@needs_extra
def test_a_live_session_shows_rounds_and_verdicts(live):
    live.has_recorded({"mobilenet_v3_small": [1.0, 1.0, 1.0]})
    run = live.takes({"mobilenet_v3_small": 5.0}, "--report", "page.html")
    html = (live.suite.path / "page.html").read_text(encoding="utf-8")
    (specs,) = re.findall(r"const CHARTS = (.*);", html)
    rounds = json.loads(specs)["rounds"]["layer"]
    assert len(rounds[0]["data"]["values"]) == 3
    words = Reading(html).words
    assert "Measured in this session." in words
    assert any("REGRESSION" in word for word in words), run.outlines


def test_without_the_extra_the_option_says_what_to_install(suite):
    suite.plug_in("import estimator.report.html\nestimator.report.html.NEEDED['nowhere_to_be_found'] = 'a-package'\n")
    run = suite.run("--report", "page.html")
    assert run.ret == pytest.ExitCode.USAGE_ERROR
    run.stderr.fnmatch_lines(["ERROR: --report needs *a-package: pip install *a-package"])


# In a browser: `tox run -e report` has one.

WIDTHS, SCHEMES = (1280, 390), ("light", "dark")
SWITCHES = """
--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync --hide-scrollbars
""".split()
CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
AXE = os.environ.get("AXE_JS", "")
needs_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER and importlib.util.find_spec("selenium")),
    reason="needs chromium, chromedriver and selenium: tox run -e report",
)


@pytest.fixture(scope="module")
def written(html, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(html, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def zoo_page(request, tmp_path_factory):
    """The page of all models, written by a session of its own."""
    import subprocess
    import sys

    path = tmp_path_factory.mktemp("zoo") / "page.html"
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", f"--report={path}"]
    subprocess.run(command, cwd=request.config.rootpath, check=True, capture_output=True)
    return path


@pytest.fixture(scope="module")
def browser():
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for switch in SWITCHES:
        options.add_argument(switch)
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


def shown(browser, path, width=1280, scheme="light"):
    """Opens the page and waits until its charts are drawn."""
    from selenium.webdriver.support.ui import WebDriverWait

    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(path.as_uri())
    WebDriverWait(browser, 30).until(lambda b: b.execute_script("return document.body.dataset.drawn"))
    return browser


def requests_of(browser):
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return {params["request"]["url"] for params in sent if not params["request"]["url"].startswith("data:")}


@needs_extra
@needs_browser
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_no_error_is_logged_no_request_leaves_and_nothing_is_wider_than_the_page(browser, zoo_page, width, scheme):
    shown(browser, zoo_page, width, scheme)
    assert browser.get_log("browser") == []
    assert requests_of(browser) == {zoo_page.as_uri()}
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.execute_script("return document.querySelectorAll('.chart svg').length") == 3
    keep_screenshot(browser, width, scheme)


def keep_screenshot(browser, width, scheme):
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        height = browser.execute_script("return document.documentElement.scrollHeight")
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True})
        Path(folder, f"{scheme}-{width}.png").write_bytes(base64.b64decode(shot["data"]))


@needs_extra
@needs_browser
@pytest.mark.skipif(not AXE, reason="needs AXE_JS, the path of axe-core: tox run -e report")
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_no_fault(browser, zoo_page, written, width, scheme):
    for path in (zoo_page, written):
        shown(browser, path, width, scheme)
        browser.execute_script(Path(AXE).read_text(encoding="utf-8"))
        found = browser.execute_async_script("axe.run().then(r => arguments[arguments.length - 1](r.violations))")
        assert [(fault["id"], fault["impact"], fault["nodes"][0]["html"]) for fault in found] == []


@needs_extra
@needs_browser
def test_names_are_read_by_pointer_and_by_keyboard(browser, zoo_page):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    shown(browser, zoo_page)
    marks = browser.find_elements(By.CSS_SELECTOR, "#parity [aria-roledescription=point]")
    assert len(marks) == len(MODELS)
    ActionChains(browser).move_to_element(marks[-1]).perform()
    says(browser, "fcn_resnet50: estimated ")
    ActionChains(browser).send_keys(Keys.TAB).perform()
    says(browser, "resnet18: estimated ")
    assert "measured 6.76 ms (runs 6.71 to 7)" in browser.find_element(By.ID, "said").text
    ActionChains(browser).send_keys(Keys.ARROW_RIGHT).perform()
    says(browser, "resnet34: ")
    ActionChains(browser).send_keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT).perform()
    says(browser, "fcn_resnet50: ")
    ActionChains(browser).send_keys(Keys.TAB).perform()
    says(browser, "resnet18, as fitted: ")


def says(browser, words):
    """Waits until the words are shown."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    said = browser.find_element(By.ID, "said")
    WebDriverWait(browser, 10).until(lambda _: said.text.startswith(words), f"expected {words!r}, got {said.text!r}")


@needs_extra
@needs_browser
def test_the_table_is_sorted_and_filtered(browser, zoo_page):
    from selenium.webdriver.common.by import By

    shown(browser, zoo_page)
    assert first_models(browser) == ["resnet18", "resnet34", "resnet50"]
    estimate = browser.find_element(By.XPATH, "//thead//button[.='Estimate (ms)']")
    estimate.click()
    assert first_models(browser) == ["resnet18", "vgg11", "resnet34"]
    estimate.click()
    assert first_models(browser) == ["vit_h_14", "vit_l_16", "maxvit_t"]
    browser.find_element(By.ID, "filter").send_keys("vgg device")
    assert first_models(browser) == ["vgg19", "vgg16", "vgg11"]
    assert browser.find_element(By.ID, "shown").text == "3 of 22 models"


def first_models(browser):
    script = "return [...document.querySelectorAll('tbody tr:not([hidden]) th')].map(head => head.textContent)"
    return browser.execute_script(script)[:3]
