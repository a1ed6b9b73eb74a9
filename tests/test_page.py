"""The charger's page in a real browser, a real charger behind it: the driver, and the looks."""

import contextlib
import re
import threading
import time

import pytest

from tests.bench_process import RunningBench
from tests.phone import (
    ARGUMENTS,
    CHROMIUM,
    DESKTOP,
    PHONE,
    SECTIONS,
    Phone,
    expect,
    plug_in,
)
from tests.wire import Wire
from tools import page as source

pytestmark = pytest.mark.browser
LANGUAGES = source.LANGUAGES
# Over the air for a first visit, both directions, heads of requests and answers included
MOST_BYTES = 20000
MOST_REQUESTS = 3
# ... and for the answer to each later question for the status
MOST_STATUS_BYTES = 1023
MOST_TOUCHES = 3
# What the tab key is to reach, what it has reached, and what of that had no mark around it. Of the
# choices of which one holds, that one is reached, and the arrow keys lead to the others.
_WATCH_FOCUS = """() => {
  window.reached = []
  window.unmarked = []
  const all = document.querySelectorAll("button, input, select, summary, a[href]")
  window.wanted = [...all].filter(one => one.getClientRects().length && !one.disabled
    && !(one.type === "radio" && !one.checked))
  window.inOrder = (one, at, list) => !at
    || list[at - 1].compareDocumentPosition(one) & Node.DOCUMENT_POSITION_FOLLOWING
  const top = document.querySelector("header")
  top.tabIndex = -1
  top.focus()
  document.addEventListener("focusin", event => {
    const one = event.target
    if (!reached.includes(one)) reached.push(one)
    if (getComputedStyle(one).outlineStyle === "none") unmarked.push(one)
  })
  return wanted.length
}"""
# Counts what a finger does; the page itself never makes such an event.
_TOUCHES = """addEventListener("pointerdown", event => {
  if (event.isTrusted) touched(event.pointerType + " " + event.target.textContent)
}, true)"""


def pin(bench):
    return bench.ready["pin"]


def statuses(exchanges):
    return [one for one in exchanges if one.line.split()[1] == "/api/status?brief"]


def pages(exchanges):
    return [one for one in exchanges if one.line.split()[1] == "/"]


class Witness:
    """Looks at the hardware all the time: the lock opens only over an open contactor."""

    def __init__(self, bench):
        self._bench = bench
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.wrong = []
        self.looks = 0

    def _look(self):
        while not self._done.is_set():
            hardware = self._bench.hardware()
            self.looks += 1
            if hardware["lock"] != "locked" and hardware["contactor"] != "open":
                self.wrong.append(hardware)
            self._done.wait(0.01)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join(10)
        assert self.looks > 20 and not self.wrong, self.wrong


# The driver


@pytest.mark.parametrize("language", LANGUAGES)
def test_three_touches_free_the_cable(bench, new_phone, language):
    bench.tidy()
    draws = language == "en"
    plug_in(bench, draws)
    with new_phone(language) as phone:
        phone.shows("Charging" if draws else "SuspendedEV")
        expect(phone.page.locator("#why")).to_have_text(
            phone.t("Charging" if draws else "WaitsForCar")
        )
        expect(phone.page.locator("#facts")).to_contain_text(phone.t("locked"))
        expect(phone.page.locator("#facts")).to_contain_text("32 A")
        phone.screenshot(f"session-{language}")
        with Witness(bench):
            phone.free.click()  # the first touch
            expect(phone.dialog).to_contain_text(phone.t("free_charging"))
            before = bench.hardware()  # nothing happens before it is said and confirmed
            assert (before["contactor"] == "closed", before["lock"]) == (draws, "locked")
            expect(phone.field(phone.t("pin"), phone.dialog)).to_be_focused()
            phone.page.keyboard.type(pin(bench))
            phone.screenshot(f"free-{language}", full_page=False)
            phone.confirm("free_now")  # the second
            expect(phone.dialog.get_by_role("listitem")).to_contain_text([phone.t("step_lock")])
            phone.screenshot(f"frees-{language}", full_page=False)
            expect(phone.dialog).to_contain_text(phone.t("freed"), timeout=25000)
        phone.screenshot(f"freed-{language}", full_page=False)
        hardware = bench.hardware()
        assert (hardware["contactor"], hardware["lock"]) == ("open", "unlocked")
        assert bench.post("unplug")[0] == 200
        phone.button("close").click()
        expect(phone.dialog).to_have_count(0)
        expect(phone.free).to_be_focused()
        sessions = phone.api("/api/sessions")[1]["sessions"]
        assert sessions[0]["reason"] == "UnlockCommand"
        unlocks = [e for e in phone.api("/api/events")[1]["events"] if e["kind"] == "unlock"]
        assert unlocks[0]["by"] == "Page"


@pytest.mark.parametrize(
    "probe",
    [
        "http://captive.apple.com/hotspot-detect.html",
        "http://connectivitycheck.gstatic.com/generate_204",
        "http://www.msftconnecttest.com/connecttest.txt",
    ],
)
def test_from_joining_the_wifi_to_a_free_cable(bench, browser, probe):
    """A phone that has just joined: its probe leads to the page, and fingers do the rest.

    One touch is the system's own: the notice that this WiFi has a page.
    """
    bench.tidy()
    plug_in(bench)
    charger = bench.ready["page"].split("/")[2]
    # As the charger's own name server answers: everything is the charger.
    joined = browser.browser_type.launch(
        executable_path=CHROMIUM,
        args=[*ARGUMENTS, f"--host-resolver-rules=MAP * {charger}"],
    )
    with contextlib.closing(joined):
        phone = Phone(joined, None, has_touch=True, is_mobile=True)
        touches = ["the notice of the system"]
        phone.context.expose_function("touched", lambda what: touches.append(what))
        phone.context.add_init_script(_TOUCHES)
        phone.go_to(probe)
        with phone:
            phone.shows("SuspendedEV")
            phone.free.tap()
            expect(phone.field(phone.t("pin"), phone.dialog)).to_be_focused()
            phone.page.keyboard.type(pin(bench))
            phone.button("free_now", inside=phone.dialog).tap()
            expect(phone.dialog).to_contain_text(phone.t("freed"), timeout=25000)
            print(touches)
            assert touches[1:] == ["touch " + phone.t("free"), "touch " + phone.t("free_now")]
            assert len(touches) <= MOST_TOUCHES
        assert bench.post("unplug")[0] == 200


def test_a_jammed_lock_is_explained(bench, new_phone):
    bench.tidy()
    plug_in(bench)
    bench.post("fault", name="lock_jammed", on=True)
    with new_phone("nb") as phone:
        phone.shows("SuspendedEV")
        phone.free.click()
        phone.page.keyboard.type(pin(bench))
        phone.page.keyboard.press("Enter")
        alert = phone.dialog.get_by_role("alert")
        expect(alert).to_have_text(phone.t("UnlockFailed"), timeout=25000)
        assert bench.hardware()["contactor"] == "open"
        phone.screenshot("jammed-nb", full_page=False)
        assert bench.post("unplug")[0] == 409
        # It is a fault, and stays one in front of the dialog.
        status = phone.api("/api/status")[1]
        assert status["faults"] == ["UnlockFailed"] and status["cable"]["locked"]
        expect(phone.page.locator("#now")).to_contain_text(phone.t("UnlockFailed"))
        bench.post("fault", name="lock_jammed", on=False)
        phone.confirm("again")
        expect(phone.dialog).to_contain_text(phone.t("freed"), timeout=40000)
        assert bench.post("unplug")[0] == 200
        phone.button("close").click()
        expect(phone.page.locator("#now")).not_to_contain_text(phone.t("UnlockFailed"))
        phone.button("open").click()
        section = phone.open("faults")
        expect(section).to_contain_text("1 \N{MULTIPLICATION SIGN} " + phone.t("UnlockFailed"))
        expect(section).to_contain_text(phone.t("no_faults"))


def test_a_wrong_pin_moves_nothing(bench, new_phone):
    bench.tidy()
    plug_in(bench)
    with new_phone("de") as phone:
        phone.shows("SuspendedEV")
        phone.free.click()
        field = phone.field(phone.t("pin"), phone.dialog)
        for _ in range(3):
            field.fill("0000")
            phone.dialog.get_by_role("button").first.click()
            expect(phone.dialog.get_by_role("alert")).not_to_be_empty()
            expect(field).to_have_value("")
            expect(field).to_be_focused()
        # From the third on the charger makes the guesser wait, also one who then guesses right.
        expect(phone.dialog.get_by_role("alert")).to_contain_text(phone.t("wait", 2))
        phone.screenshot("wrong-pin-de", full_page=False)
        field.fill(pin(bench))
        phone.dialog.get_by_role("button").first.click()
        expect(phone.dialog.get_by_role("alert")).to_have_text(
            re.compile("|".join(re.escape(phone.t("wait", s)) for s in (1, 2)))
        )
        assert bench.hardware()["lock"] == "locked"
        phone.button("close").click()
        expect(phone.free).to_be_focused()
        # The wait ends.
        deadline = time.monotonic() + 20
        while phone.api("/api/login", "POST", pin=pin(bench))[0] == 429:
            assert time.monotonic() < deadline
        phone.page.reload()
        phone.button("open").click()
        expect(phone.section("sessions")).to_be_visible()


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_frees_the_cable_without_javascript(bench, new_phone, language):
    bench.tidy()
    plug_in(bench)
    size = DESKTOP if language == "de" else PHONE
    with new_phone(language, java_script_enabled=False, viewport=size) as phone:
        expect(phone.free).to_be_visible()
        if language == "en":
            phone.screenshot("no-script-1")
        phone.free.click()
        phone.page.wait_for_url("**/unlock?")
        expect(phone.page.get_by_role("heading")).to_have_text(phone.t("free"))
        phone.screenshot(f"no-script-{language}")
        phone.page.locator("input[name=pin]").fill(pin(bench))
        with Witness(bench):
            phone.page.get_by_role("button", name=phone.t("free")).click()
            expect(phone.page.locator("form")).to_have_count(0, timeout=25000)
        phone.screenshot(f"no-script-done-{language}")
        hardware = bench.hardware()
        assert (hardware["contactor"], hardware["lock"]) == ("open", "unlocked")
    assert bench.post("unplug")[0] == 200


def test_an_old_phone_gets_the_form(bench, new_phone):
    bench.tidy()
    with new_phone() as phone:
        phone.context.add_init_script("delete window.HTMLDialogElement")
        phone.page.reload()
        phone.shows("Available")
        phone.free.click()
        phone.page.wait_for_url("**/unlock?")
        phone.page.go_back()
        # The same while no status can be had.
        phone.page.route("**/api/status?brief", lambda route: route.abort())
        phone.page.reload()
        expect(phone.page.locator("#lost")).to_have_text(phone.t("no_answer"))
        phone.free.click()
        phone.page.wait_for_url("**/unlock?")


def test_the_keyboard_is_enough(bench, new_phone):
    bench.tidy()
    plug_in(bench)
    with new_phone() as phone:
        press = phone.page.keyboard.press
        phone.shows("SuspendedEV")

        def tab_to(locator, most=25):
            for _ in range(most):
                press("Tab")
                if locator.evaluate("one => one === document.activeElement"):
                    return
            raise AssertionError(f"not reached: {locator}")

        tab_to(phone.free, 3)
        press("Enter")
        press("Escape")
        expect(phone.dialog).to_have_count(0)
        expect(phone.free).to_be_focused()
        press("Enter")
        phone.page.keyboard.type(pin(bench))
        tab_to(phone.button("free_now"), 2)
        press("Space")
        expect(phone.button("close")).to_be_focused(timeout=25000)
        press("Enter")
        expect(phone.free).to_be_focused()
        tab_to(phone.button("open"), 5)
        press("Enter")
        expect(phone.section("sessions").locator("summary")).to_be_focused()
        for name in ("keys", "times", "who", "current"):
            tab_to(phone.section(name).locator("summary").first, 2)
        press("Enter")
        limit = phone.field(phone.t("n.installation_limit_a"))
        expect(limit).to_be_visible()
        tab_to(limit, 2)
        press("ArrowDown")
        press("Enter")
        expect(phone.dialog).to_be_visible()
        press("Enter")
        expect(phone.dialog).to_contain_text(phone.t("saved"))
        assert phone.setting("installation_limit_a") == 15
        press("Enter")
        assert phone.api("/api/settings", "PUT", installation_limit_a=16)[0] == 200
        # The dialog keeps the focus inside until it is closed.
        phone.section("charger").locator("summary").click()
        phone.button("restart").press("Enter")
        inside = """document.activeElement === document.body
            || document.activeElement.closest("dialog") !== null"""
        for _ in range(6):
            press("Tab")
            assert phone.page.evaluate(inside)
        press("Escape")
        expect(phone.button("restart")).to_be_focused()


def test_the_tab_key_reaches_everything(bench, new_phone):
    """Every control of every section, in the order in which they stand, each with a mark around it.

    They are the browser's own controls: who has reached one can use it.
    """
    bench.tidy()
    plug_in(bench)
    with new_phone("nb") as phone:
        phone.shows("SuspendedEV")
        phone.log_in(pin(bench))
        for name in SECTIONS:
            phone.open(name)
        phone.button("off_peak").click()
        wanted = phone.page.evaluate(_WATCH_FOCUS)
        assert wanted > 90
        for _ in range(3 * wanted):  # a time or a date is several stops
            phone.page.keyboard.press("Tab")
            if phone.page.evaluate("document.activeElement === document.body"):
                break
        missed = "wanted.filter(one => !reached.includes(one)).map(one => one.outerHTML)"
        assert phone.page.evaluate(missed) == []
        assert phone.page.evaluate("unmarked.map(one => one.outerHTML)") == []
        assert phone.page.evaluate("reached.filter(one => wanted.includes(one)).every(inOrder)")


# How it looks, reads and weighs


@pytest.mark.parametrize(("size", "language"), [(PHONE, "en"), (DESKTOP, "de")])
def test_axe_finds_nothing(bench, new_phone, size, language):
    """In light and dark, in every state of the page, with every section open."""
    bench.tidy()
    with new_phone(language, viewport=size) as phone:
        phone.shows("Available")
        phone.axe("free")
        plug_in(bench, draws=True)
        phone.shows("Charging")
        phone.axe("charging")
        phone.free.click()
        phone.axe("dialog")
        phone.page.keyboard.type("0000")
        phone.page.keyboard.press("Enter")
        expect(phone.dialog.get_by_role("alert")).not_to_be_empty()
        phone.axe("refused")
        phone.screenshot(f"refused-dark-{language}", full_page=False)
        phone.page.keyboard.press("Escape")
        phone.log_in(pin(bench))
        for name in SECTIONS:
            phone.open(name)
        phone.button("off_peak").click()
        phone.axe("all sections")
        phone.button("type_key").click()
        phone.axe("a form in a dialog")
        phone.field(phone.t("uid"), phone.dialog).fill("04A2B3C4")
        phone.confirm("save")
        expect(phone.dialog.get_by_role("alert")).to_have_text(phone.t("e.Charging"))
        phone.page.keyboard.press("Escape")
        bench.post("fault", name="rcd", on=True)
        phone.shows("Faulted")
        phone.axe("fault")
        phone.page.evaluate("scrollTo(0, 0)")
        phone.screenshot(f"fault-dark-{language}", full_page=False)
        bench.post("fault", name="rcd", on=False)
        bench.post("car", state="B")
        phone.page.route("**/api/status?brief", lambda route: route.abort())
        expect(phone.page.locator("#lost")).to_be_visible()
        phone.axe("no answer")
        phone.screenshot(f"lost-dark-{language}", full_page=False)
    with new_phone(language, viewport=size, java_script_enabled=False) as phone:
        # Such a page cannot be looked into; with JavaScript the same form looks the same.
        path = phone.page.locator("#free").get_attribute("action")
    with new_phone(language, viewport=size) as phone:
        phone.page.goto(bench.ready["page"].rstrip("/") + path)
        phone.axe("the form without JavaScript")


def test_a_first_visit_is_light(bench, browser):
    bench.tidy()
    plug_in(bench, draws=True)
    port = int(bench.ready["page"].rstrip("/").rpartition(":")[2])
    with Wire(port) as wire, Phone(browser, wire.address, "de", quick=False) as phone:
        phone.shows("Charging")
        first = wire.wait("a first status", lambda seen: len(seen) >= 2)
        total = sum(one.sent + one.received for one in first)
        print("first visit:", total, "bytes in", len(first), "requests:", first)
        assert [one.line.split()[1] for one in first] == ["/", "/api/status?brief"]
        assert len(first) <= MOST_REQUESTS and total <= MOST_BYTES
        # The longest status that a charger has: a session, a fault and who is logged in.
        phone.log_in(pin(bench))
        bench.post("fault", name="rcd", on=True)
        phone.shows("Faulted")
        count = len(statuses(wire.exchanges))
        later = wire.wait("two more", lambda seen: len(statuses(seen)) >= count + 2)
        for one in statuses(later):
            assert one.received <= MOST_STATUS_BYTES, one
        print("a later status:", statuses(later)[-1])
        # A second visit asks whether the page is still the same.
        before = len(wire.exchanges)
        phone.page.reload()
        phone.shows("Faulted")
        again = wire.wait("the page", lambda seen: len(pages(seen)) >= 2)
        print("a second visit:", pages(again)[-1], len(wire.exchanges) - before)
        assert pages(again)[-1].received < 1000


def test_it_follows_the_charger(bench, new_phone):
    """What is plugged, paused or lost shows by itself, within a few seconds."""
    bench.tidy()
    with new_phone("de", quick=False) as phone:
        phone.shows("Available")
        expect(phone.page.locator("#facts")).to_contain_text(phone.t("no_cable"))
        phone.screenshot("free-de-idle")
        bench.post("plug", cable_a=20)
        phone.shows("SuspendedEV")
        expect(phone.page.locator("#facts")).to_contain_text("20 A, " + phone.t("locked"))
        # The live region holds the state and the sentence, and is left alone while nothing changes.
        phone.page.evaluate(
            """window.changes = 0; new MutationObserver(() => changes++).observe(
                document.querySelector("#now [role=status]"),
                {subtree: true, childList: true, characterData: true})"""
        )
        for _ in range(2):
            with phone.page.expect_response("**/api/status?brief"):
                pass
        assert phone.page.evaluate("changes") == 0
        bench.post("power", on=False)
        expect(phone.page.locator("#lost")).to_contain_text(phone.t("no_answer"), timeout=15000)
        bench.post("power", on=True)
        expect(phone.page.locator("#lost")).to_be_hidden(timeout=40000)


def test_languages(bench, new_phone):
    bench.tidy()
    for locale, language in (("nn-NO", "nb"), ("no", "nb"), ("de-AT", "de"), ("fr-FR", "en")):
        words = source.texts(language, "page", "reasons")
        with new_phone("en", locale=locale) as phone:
            expect(phone.page.locator("#state")).to_have_text(words["s.Available"])
            assert phone.page.locator("html").get_attribute("lang") == language
            if locale == "fr-FR":
                phone.page.locator("#language").select_option("de")
                german = source.texts("de", "page")
                expect(phone.free).to_have_text(german["free"])
                phone.page.reload()
                expect(phone.free).to_have_text(german["free"])
                expect(phone.page.locator("#language")).to_have_value("de")
            phone.words = {}


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_fits_every_screen(bench, new_phone, language):
    bench.tidy()
    with new_phone(language) as phone:
        phone.log_in(pin(bench))
        for name in SECTIONS:
            phone.open(name)
        phone.button("off_peak").click()
        for width in (320, 390, 768, 1280):
            for scheme in ("light", "dark"):
                phone.page.set_viewport_size({"width": width, "height": 800})
                phone.page.emulate_media(color_scheme=scheme)
                phone.nothing_is_cut_off()
                if width in (390, 1280):
                    phone.screenshot(f"all-{width}-{scheme}-{language}")
        phone.page.set_viewport_size({"width": 320, "height": 568})
        box = phone.free.bounding_box()
        assert box["y"] + box["height"] <= 568, "the big button is below the edge of a small phone"
        # For fingers: every button and field is 44 pixels high or more, as WCAG 2.2 2.5.5 asks.
        low = phone.page.evaluate(
            """[...document.querySelectorAll("button, summary, select, a.button, input")]
                .filter(one => one.offsetParent && !/checkbox|radio/.test(one.type))
                .filter(one => one.getBoundingClientRect().height < 44)
                .map(one => one.outerHTML)"""
        )
        assert low == []


def test_the_board_interpreter_serves_it(tmp_path, browser):
    with RunningBench(tmp_path, INTERPRETER="board") as bench:
        plug_in(bench)
        with Phone(browser, bench.ready["page"]) as phone:
            phone.shows("SuspendedEV")
            phone.free.click()
            phone.page.keyboard.type(pin(bench))
            phone.page.keyboard.press("Enter")
            expect(phone.dialog).to_contain_text(phone.t("freed"), timeout=25000)
            phone.button("close").click()
            phone.button("open").click()
            for name in ("sessions", "keys", "times", "network", "faults", "others"):
                phone.open(name)
                expect(phone.section(name).locator(".in > .bad")).to_have_count(0)
        assert bench.post("unplug")[0] == 200
