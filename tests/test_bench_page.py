"""The bench's page in a real browser: what a person does with it, and what it shows."""

import pathlib

import pytest

from tests.phone import expect

pytestmark = pytest.mark.browser
SCREENSHOTS = pathlib.Path(__file__).resolve().parent.parent / "build" / "screenshots"


@pytest.fixture
def page(bench, browser):
    bench.tidy()
    page = browser.new_page(viewport={"width": 1600, "height": 900})
    page.set_default_timeout(15000)
    complaints = []

    def complain(message):
        # The charger's page inside complains while it has no power: that is not ours.
        if message.type == "error" and message.location["url"].startswith(bench.ready["bench"]):
            complaints.append(message.text)

    page.on("console", complain)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(bench.ready["bench"])
    expect(page.locator("#state")).to_have_text("Available", timeout=30000)
    yield page
    page.close()
    # The browser reports a refused action (400, 409) by itself; all else is a fault of the page.
    assert not [text for text in complaints if "409" not in text and "400" not in text]


def tile(page, name):
    return page.locator(f"#t-{name}")


def screenshot(page, name, **how):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"bench-{name}.png", **how)


def leave(page):
    """The car stops and leaves, the cable comes out: the next test starts with an empty socket."""
    page.get_by_text("is away").click()
    expect(tile(page, "lock")).to_have_text("unlocked", timeout=10000)
    page.get_by_role("button", name="Unplug").click()
    expect(page.get_by_role("button", name="Plug in")).to_be_visible()


def test_a_person_charges_a_car(page):
    page.get_by_text("20 A", exact=True).click()
    page.get_by_role("button", name="Plug in").click()
    expect(page.locator("#rating")).to_have_text("20 A")
    page.get_by_text("charges").click()
    expect(tile(page, "contactor")).to_have_text("closed", timeout=20000)
    expect(tile(page, "lock")).to_have_text("locked")
    expect(tile(page, "current")).to_have_text("16 A \N{MULTIPLICATION SIGN} 3", timeout=10000)
    expect(tile(page, "duty")).to_contain_text("16 A")
    expect(tile(page, "pilot")).to_contain_text("6.0 / \N{MINUS SIGN}12.0 V")
    expect(page.locator("#state")).to_have_text("Charging")
    expect(page.locator("#scene.powered.closed.locked.s2.flowing")).to_be_visible()
    expect(page.frame_locator("#page").locator("body")).to_contain_text("Charging")
    screenshot(page, "charging")

    page.get_by_role("button", name="Unplug").click()
    expect(page.get_by_role("alert")).to_contain_text("The lock holds the plug")
    page.keyboard.press("Escape")
    expect(page.get_by_role("alert")).to_be_hidden()

    page.get_by_text("waits").click()
    expect(tile(page, "contactor")).to_have_text("open")
    expect(tile(page, "current")).to_have_text("0 A")
    leave(page)


def test_the_power_and_the_faults_at_hand(page):
    page.get_by_role("button", name="Plug in").click()
    page.get_by_text("charges").click()
    expect(tile(page, "contactor")).to_have_text("closed", timeout=20000)

    page.get_by_text("RCD tripped").click()
    expect(tile(page, "contactor")).to_have_text("open")
    expect(page.locator("#state")).to_have_text("Faulted")
    screenshot(page, "fault")
    page.get_by_text("RCD tripped").click()

    page.get_by_text("Mains").click()
    expect(page.locator("#state")).to_have_text("no power")
    expect(page.get_by_text("The charger has no power.")).to_be_visible()
    expect(tile(page, "contactor")).to_have_text("open")
    screenshot(page, "no-power")
    page.get_by_text("Mains").click()
    expect(page.frame_locator("#page").locator("body")).not_to_be_empty(timeout=30000)
    expect(page.locator("#no-page")).to_be_hidden(timeout=30000)
    expect(page.locator("#serial")).to_contain_text("holdfast: running")
    leave(page)


def test_a_person_taps_a_card(page):
    page.get_by_role("button", name="Card A").click()
    expect(page.locator("[data-tap].lies")).to_have_text("Card A")
    expect(page.locator("[data-tap].lies")).to_have_count(0)  # it is taken away
    page.get_by_label("Number of a card").fill("04:9f:3c:5a")
    page.keyboard.press("Enter")
    expect(page.locator("[data-tap].lies")).to_have_text("Card B")
    page.get_by_label("Number of a card").fill("04:9f:3c")
    page.locator("#tap button").click()
    expect(page.get_by_role("alert")).to_contain_text("4, 7 or 10 bytes")
    screenshot(page, "tap")


def test_the_keyboard_is_enough(page):
    page.locator("#cable input:checked").focus()
    page.keyboard.press("ArrowRight")  # 63 A
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#rating")).to_have_text("63 A")
    page.locator("#draw").focus()
    page.keyboard.press("Home")
    for _ in range(7):
        page.keyboard.press("ArrowRight")
    page.locator("#car input:checked").focus()
    page.keyboard.press("ArrowRight")
    expect(tile(page, "current")).to_contain_text("7 A", timeout=20000)
    leave(page)


def test_it_fits_every_screen(bench, browser):
    page = browser.new_page()
    page.goto(bench.ready["bench"])
    expect(page.locator("#facts")).to_contain_text(bench.ready["pin"])
    expect(page.frame_locator("#page").locator("body")).to_contain_text(bench.ready["id"])
    for width in (360, 768, 1280, 1600):
        for scheme in ("light", "dark"):
            page.set_viewport_size({"width": width, "height": 800})
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            screenshot(page, f"{width}-{scheme}", full_page=True)
    page.close()


def test_it_loads_nothing_from_elsewhere(bench, browser):
    page = browser.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(bench.ready["bench"])
    expect(page.locator("#state")).not_to_have_text("…")
    ours = (bench.ready["bench"], bench.ready["page"], "data:")
    assert asked and all(url.startswith(ours) for url in asked)
    page.close()
