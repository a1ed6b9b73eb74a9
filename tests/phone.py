"""A phone at the charger's page: Debian's chromium, and what a person does with the page."""

import contextlib
import json
import os
import pathlib

import pytest
from playwright import sync_api as playwright

from tools import page as source

expect = playwright.expect
expect.set_options(timeout=15000)  # the machine may be busy

ROOT = pathlib.Path(__file__).resolve().parent.parent
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
SCREENSHOTS = ROOT / "build" / "screenshots"
AXE = ROOT / "build" / "axe-core" / "axe.min.js"
LOCALES = {"en": "en-GB", "nb": "nb-NO", "de": "de-DE"}
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 900}
SECTIONS = (
    "sessions", "keys", "times", "who", "current", "network", "faults", "others", "charger",
)  # fmt: skip
# What axe looks at: WCAG 2.2 up to AA, its own good practice, and contrast up to AAA (7:1), since
# the page is read in sunlight.
_AXE_OPTIONS = {
    "runOnly": {
        "type": "tag",
        "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    },
    "rules": {"color-contrast-enhanced": {"enabled": True}},
    "resultTypes": ["violations"],
}
# The page's two seconds between two looks at the status, shortened: tests wait for what it shows.
_QUICK = """const later = window.setTimeout
window.setTimeout = (what, ms, ...more) => later(what, ms === 2000 ? 400 : ms, ...more)"""
# Texts that are seen though they are keys: what is left when a language lacks one; and what is left
# when a value is missing
_LEAKS = """keys => {
  const seen = [...document.body.querySelectorAll(":not(script, style)")]
  return seen.filter(one => !one.children.length).map(one => one.textContent.trim()).filter(text =>
    keys.includes(text) || /undefined|NaN|\\[object|Invalid Date|\\{\\d\\}/.test(text))
}"""
# Texts of fields that are cut off, with how much is lacking
_CUT = """() => [...document.querySelectorAll("input[placeholder]")].filter(one => {
  const style = getComputedStyle(one), pen = document.createElement("canvas").getContext("2d")
  pen.font = style.font
  const room = one.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight)
  return one.offsetParent && pen.measureText(one.placeholder).width > room
}).map(one => one.placeholder)"""


def _lacking(what):
    """Skip the test for what is not there; in CI it is to be there, and the test fails."""
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(what)


@contextlib.contextmanager
def chromium():
    """A running browser; the test is skipped where there is none."""
    if not os.path.exists(CHROMIUM):
        _lacking("chromium is not installed")
    with playwright.sync_playwright() as tools:
        running = tools.chromium.launch(
            executable_path=CHROMIUM,
            args=ARGUMENTS,
        )
        yield running
        running.close()


class Phone:
    """The page of the charger at `address`, in a browser of its own; a context manager.

    With None for an address it waits for `go_to`.

    Leaving it fails on any error that the page itself has made, and on requests to anywhere else.
    `quick`: it asks for the status more often than it does for people. `how` goes to Playwright's
    new_context (color_scheme, viewport, java_script_enabled ...).
    """

    def __init__(self, browser, address, language="en", quick=True, **how):
        self.language = language
        self.words = source.texts(language, "page", "reasons", "more", "meanings", "troubles")
        self.address = address
        how = {"viewport": PHONE, "locale": LOCALES.get(language, language), **how}
        self.context = browser.new_context(**how)
        if quick:
            self.context.add_init_script(_QUICK)
        self.page = self.context.new_page()
        self.page.set_default_timeout(15000)
        self.complaints = []
        self.requests = []
        self.page.on("console", self._complain)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request))
        if address:
            self.go_to(address)

    def go_to(self, address):
        """Open an address; where that leads to is the charger's."""
        self.page.goto(address)
        self.address = self.page.url
        self.requests = [one for one in self.requests if one.url.startswith(self.address)]

    def _complain(self, message):
        # The browser reports refused requests (401, 409) and lost ones by itself.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.no_text_is_missing()
        self.context.close()
        if kind is None:
            assert not self.complaints, self.complaints
            ours = (self.address, "data:", "blob:")
            assert all(one.url.startswith(ours) for one in self.requests)

    # What the page shows

    def t(self, key, *values):
        """A text of the page in this phone's language."""
        return self.words[key].format(*values)

    def shows(self, state, timeout_s=20):
        """Wait until the headline is that of the charger's `state`."""
        expect(self.page.locator("#state")).to_have_text(
            self.t("s." + state), timeout=timeout_s * 1000
        )

    def button(self, key, *values, inside=None):
        text = self.t(key, *values)
        return (inside or self.page).get_by_role("button", name=text, exact=True)

    @property
    def dialog(self):
        return self.page.get_by_role("dialog")

    @property
    def free(self):
        return self.page.locator("#free button")

    def section(self, name):
        return self.page.locator("#" + name)

    def field(self, label, inside=None):
        return (inside or self.page).get_by_label(label, exact=True)

    def no_text_is_missing(self):
        if self.page.is_closed() or not self.page.locator("#state").count():
            return
        keys = sorted(self.words.keys() - set(self.words.values()))
        leaks = self.page.evaluate(_LEAKS, keys)
        assert not leaks, leaks

    def nothing_is_cut_off(self):
        """Nothing is wider than the screen, and no hint in a field longer than the field."""
        width = self.page.evaluate("innerWidth")
        assert self.page.evaluate("document.documentElement.scrollWidth") <= width
        assert self.page.evaluate(_CUT) == []

    def screenshot(self, name, **how):
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"page-{name}.png", **{"full_page": True, **how})

    def axe(self, where):
        """Fail with what axe-core finds on the page as it is, in light and in dark."""
        if not AXE.exists():
            _lacking("axe-core is not there: make setup RETRY=1 fetches it, with npm")
        for scheme in ("light", "dark"):
            self._axe(f"{where}, {scheme}", scheme)

    def _axe(self, where, scheme):
        self.page.emulate_media(color_scheme=scheme)
        if not self.page.evaluate("typeof axe !== 'undefined'"):
            self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("options => axe.run(document, options)", _AXE_OPTIONS)
        wrong = [
            f"{one['id']}: {node['html'][:160]}\n{node['failureSummary']}"
            for one in found["violations"]
            for node in one["nodes"]
        ]
        assert not wrong, where + "\n" + "\n".join(wrong)

    # What a person does

    def log_in(self, pin):
        """With the form on the page; the sections are there afterwards."""
        self.page.locator("#more input").fill(pin)
        self.button("login").click()
        expect(self.section("sessions")).to_be_visible()

    def open(self, name):
        """A section, once it has what it shows."""
        section = self.section(name)
        if section.get_attribute("open") is None:
            section.locator("summary").first.click()
        expect(section.locator(".in")).not_to_have_text(self.t("working"))
        return section

    def confirm(self, key, *values):
        """Press the button of the dialog that does it."""
        self.button(key, *values, inside=self.dialog).click()

    def done(self, key):
        """Wait until the dialog says so, and close it."""
        expect(self.dialog.get_by_role("heading")).to_have_text(self.t(key), timeout=25000)
        self.button("close", inside=self.dialog).click()

    def api(self, path, method="GET", **fields):
        """Status and content of a route, asked by the page with its own login."""
        script = """async ([path, method, body]) => {
            const answer = await fetch(path, {method, body,
                headers: body ? {"Content-Type": "application/json"} : {}})
            return [answer.status, await answer.json()]
        }"""
        return self.page.evaluate(
            script, [path, method, json.dumps(fields) if fields or method != "GET" else None]
        )

    def setting(self, name):
        """The value in force of a setting, by the API."""
        rows = self.api("/api/settings")[1]["settings"]
        return next(row.get("value") for row in rows if row["name"] == name)


def plug_in(bench, draws=False):
    """A car at the charger, its cable locked, and no cloud; `draws`: it charges.

    A car that draws goes on until the charger has waited the 6 s that it has to; one that does not
    lets a test be quick.
    """
    bench.post("network", wifi=True, cloud=False)
    if not bench.hardware()["plugged"]:
        bench.post("plug", cable_a=32)
    bench.post("car", state="C" if draws else "B", draw_a=16)
    wanted = ("closed" if draws else "open", "locked")
    bench.wait_for("it is plugged in", lambda hw: (hw["contactor"], hw["lock"]) == wanted)
    bench.wait_for_charger("it has a session", lambda status: status["session"])
