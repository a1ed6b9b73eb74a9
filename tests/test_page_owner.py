"""What is behind the PIN of the charger's page, and its first run, with a real charger."""

import contextlib
import datetime
import http.client
import json
import random
import time
import zoneinfo

import pytest

from firmware.access import schedule_text, timezone_text
from firmware.access.timezone import Timezone
from tests.bench_process import RunningBench
from tests.phone import DESKTOP, PHONE, SCREENSHOTS, Phone, expect, plug_in
from tools import page as source

pytestmark = pytest.mark.browser
LANGUAGES = source.LANGUAGES
SIZES = {"en": DESKTOP, "nb": PHONE, "de": PHONE}
CARD = "0499AABBCC1122"  # on no list
# Where the clock is changed at odd times, or never, or in the southern summer
ZONES = (
    "Europe/Oslo", "Europe/London", "Atlantic/Azores", "America/New_York", "America/St_Johns",
    "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Auckland",
    "Pacific/Chatham", "Pacific/Marquesas", "Africa/Lagos", "UTC",
)  # fmt: skip


def pin(bench):
    return bench.ready["pin"]


@pytest.mark.parametrize(
    ("language", "size"),
    [
        ("en", "desktop"),
        ("nb", "phone"),
        ("de", "phone"),
        pytest.param("en", "phone", marks=pytest.mark.soak),
        pytest.param("nb", "desktop", marks=pytest.mark.soak),
        pytest.param("de", "desktop", marks=pytest.mark.soak),
    ],
)
def test_every_action(bench, new_phone, language, size):
    bench.tidy()
    plug_in(bench)
    with new_phone(language, viewport=DESKTOP if size == "desktop" else PHONE) as phone:
        phone.shows("SuspendedEV")
        phone.log_in(pin(bench))
        expect(phone.page.locator("#foot")).to_contain_text(phone.t("q.phone"))
        _starts_and_stops(bench, phone)
        _sessions(bench, phone)
        _keys(bench, phone)
        _times_and_policy(bench, phone)
        _other_settings(bench, phone)
        _faults(bench, phone)
        if language == "en":
            phone.screenshot("all-en")
        _pin_and_restart(bench, phone)


def _starts_and_stops(bench, phone):
    phone.button("stop").click()
    expect(phone.dialog).to_contain_text(phone.t("stop_text"))
    phone.confirm("stop")
    phone.shows("Finishing")
    assert bench.hardware()["lock"] == "locked"
    phone.button("start").click()
    expect(phone.dialog).to_contain_text(phone.t("start_text"))
    phone.screenshot(f"start-{phone.language}", full_page=False)
    phone.confirm("start")
    phone.shows("SuspendedEV")
    bench.post("car", state="C")
    phone.shows("Charging")
    bench.post("car", state="B")
    phone.button("stop").click()
    phone.confirm("stop")
    phone.shows("Finishing")


def _sessions(bench, phone):
    deadline = time.monotonic() + 20  # the end is recorded a moment later
    while not phone.api("/api/sessions")[1]["sessions"][0]["reason"]:
        assert time.monotonic() < deadline, "the end of the session was not recorded"
    section = phone.open("sessions")
    expect(section.get_by_role("listitem").first).to_contain_text("kWh")
    expect(section.get_by_role("listitem").first).to_contain_text(phone.t("Local"))
    with phone.page.expect_download() as download:
        section.get_by_role("link", name=phone.t("csv")).click()
    with open(download.value.path()) as file:
        table = file.read().splitlines()
    assert table[0].startswith("boot,session") and len(table) > 2
    section.screenshot(path=_picture("sessions", phone))


def _keys(bench, phone):
    section = phone.open("keys")
    count = phone.api("/api/keys")[1]["count"]
    phone.button("learn").click()
    phone.confirm("learn_go")
    expect(phone.dialog.get_by_role("status").last).to_contain_text(" s")
    phone.screenshot(f"learn-{phone.language}", full_page=False)
    bench.post("tap", uid=CARD)
    label = phone.field(phone.t("label"), phone.dialog)
    expect(label).to_be_visible()
    expect(phone.field(phone.t("uid"), phone.dialog)).to_have_value(CARD)
    label.fill("Kåre")
    phone.field(phone.t("expires"), phone.dialog).fill("2031-05-06")
    phone.confirm("save")
    row = section.get_by_role("listitem").filter(has_text="Kåre")
    expect(row).to_contain_text("2031-05-06")
    section.screenshot(path=_picture("keys", phone))
    phone.button("edit", inside=row).click()
    phone.field(phone.t("label"), phone.dialog).fill("Siri")
    phone.confirm("save")
    row = section.get_by_role("listitem").filter(has_text="Siri")
    phone.button("remove", inside=row).click()
    expect(phone.dialog).to_contain_text(phone.t("remove_title", "Siri"))
    phone.confirm("remove")
    expect(row).to_have_count(0)
    expect(section.locator("summary")).to_be_focused()  # its button is gone
    assert phone.api("/api/keys")[1]["count"] == count
    # A number that is none is refused, with the reason where it was typed.
    phone.button("type_key").click()
    phone.field(phone.t("uid"), phone.dialog).fill("12")
    phone.confirm("save")
    expect(phone.dialog.get_by_role("alert")).not_to_be_empty()
    phone.page.keyboard.press("Escape")


def _times_and_policy(bench, phone):
    section = phone.open("who")
    offline = section.get_by_role("group", name=phone.t("n.offline_policy"))
    offline.get_by_label(phone.t("p.known_key")).check()
    offline.get_by_label(phone.t("with_times")).check()
    phone.button("save", inside=section).click()
    expect(section.get_by_role("alert")).to_have_text(phone.t("needs_times"))

    section = phone.open("times")
    phone.button("add_window", inside=section).click()
    window = section.get_by_role("group", name=phone.t("window", 1))
    end = window.get_by_label(phone.t("to"))
    end.fill("22:00")  # as the start is: no window
    assert end.evaluate("one => one.validationMessage") == phone.t("no_length")
    end.fill("07:30")
    window.get_by_role("checkbox").last.check()
    expect(section).to_contain_text("Mo-Fr,Su 22:00-07:30")
    phone.button("this_zone", inside=section).click()
    phone.button("save", inside=section).click()
    expect(section.get_by_role("status")).to_have_text(phone.t("saved"))
    assert phone.setting("schedule") == "Mo-Fr,Su 22:00-07:30"
    section.screenshot(path=_picture("times", phone))
    phone.button("remove_window", inside=section).click()
    expect(section).to_contain_text(phone.t("always"))
    phone.button("off_peak", inside=section).click()
    expect(section.get_by_role("group", name=phone.t("window", 2))).to_be_visible()
    phone.button("save", inside=section).click()
    expect(section.get_by_role("status")).to_have_text(phone.t("saved"))
    assert phone.setting("schedule") == "Mo-Su 22:00-06:00; Sa,Su 06:00-22:00"

    section = phone.section("who")
    phone.button("save", inside=section).click()
    expect(section.get_by_role("status")).to_have_text(phone.t("saved"))
    assert phone.setting("offline_policy") == "known_key+schedule"
    section.screenshot(path=_picture("who", phone))
    offline.get_by_label(phone.t("p.open")).check()
    phone.button("save", inside=section).click()
    expect(section.get_by_role("status")).to_have_text(phone.t("saved"))
    assert phone.setting("offline_policy") == "schedule"
    assert phone.api("/api/settings", "PUT", offline_policy="open", schedule="")[0] == 200


def _other_settings(bench, phone):
    section = phone.open("current")
    expect(section).to_contain_text(phone.t("electrician"))
    limit = phone.field(phone.t("n.installation_limit_a"), section)
    limit.fill("20")
    phone.button("save", inside=section).click()
    expect(phone.dialog).to_contain_text(phone.t("current_text"))
    phone.confirm("save")
    phone.done("saved")
    expect(phone.page.locator("#facts")).to_contain_text("20 A")
    limit.fill("99")
    limit.evaluate("one => one.removeAttribute('max')")
    phone.button("save", inside=section).click()
    phone.confirm("save")
    expect(phone.dialog.get_by_role("alert")).to_have_text(phone.t("range", 6, 80, "A"))
    section.screenshot(path=_picture("current", phone))
    phone.page.keyboard.press("Escape")
    expect(limit).to_have_attribute("aria-invalid", "true")
    assert phone.setting("installation_limit_a") == 20
    assert phone.api("/api/settings", "PUT", installation_limit_a=16)[0] == 200

    section = phone.open("network")
    word = phone.t("w.connected") + " (-60 dBm)"
    expect(section.get_by_role("listitem").first).to_have_text(f"{phone.t('house')}: {word}")
    secret = phone.field(phone.t("n.cloud_password"), section)
    secret.fill("secret-of-ours")
    phone.button("save", inside=section).click()
    expect(phone.dialog).to_contain_text(phone.t("network_confirm"))
    phone.confirm("save")
    phone.done("saved")
    assert "secret-of-ours" not in json.dumps(phone.api("/api/settings"))
    section.screenshot(path=_picture("network", phone))
    phone.button("save", inside=section).click()  # the field still holds it: nothing is new
    phone.page.keyboard.press("Escape")

    section = phone.open("others")
    phone.field("watchdog_s", section).fill("9")
    phone.button("save", inside=section).click()
    phone.confirm("save")
    phone.done("saved_restart")
    assert phone.api("/api/settings", "PUT", watchdog_s=8, cloud_password="")[0] == 200


def _faults(bench, phone):
    bench.post("fault", name="rcd", on=True)
    phone.shows("Faulted")
    expect(phone.page.locator("#why")).to_have_text(phone.t("Rcd"))
    bench.post("fault", name="rcd", on=False)
    section = phone.open("faults")
    expect(section.get_by_role("listitem").first).to_have_text(phone.t("Rcd"))
    events = phone.api("/api/events")[1]["events"]
    count = next(event["count"] for event in events if event["kind"] == "fault")
    expect(section).to_contain_text(f"{count} \N{MULTIPLICATION SIGN} " + phone.t("Rcd"))
    expect(section.locator(".log")).to_contain_text(f"fault Rcd {count}")
    section.screenshot(path=_picture("faults", phone))
    with phone.page.expect_download() as download:
        section.get_by_role("link", name=phone.t("support")).click()
    with open(download.value.path()) as file:
        told = file.read()
    assert {"status", "events", "settings"} <= json.loads(told).keys()
    assert pin(bench) not in told
    phone.button("again_faults", inside=section).click()
    phone.confirm("start")
    bench.wait_for_charger("the fault is gone", lambda status: not status["faults"])
    phone.button("refresh", inside=section).click()
    expect(section).to_contain_text(phone.t("no_faults"))


def _pin_and_restart(bench, phone):
    section = phone.open("charger")
    phone.button("new_pin", inside=section).click()
    phone.field(phone.t("new_pin"), phone.dialog).fill("4711")
    phone.confirm("save")
    phone.done("saved")
    assert phone.api("/api/settings", "PUT", pin=pin(bench))[0] == 200  # which ends this login
    expect(phone.button("login")).to_be_visible()
    phone.log_in(pin(bench))
    section = phone.open("charger")
    phone.button("logout", inside=section).click()
    expect(phone.button("login")).to_be_visible()
    assert phone.api("/api/sessions")[0] == 401
    phone.log_in(pin(bench))
    section = phone.open("charger")
    boot = phone.api("/api/status")[1]["boot"]
    if phone.language != "en":  # once is enough for the charger
        phone.page.route("**/api/restart", lambda route: route.fulfill(json={"ok": True}))
    phone.button("restart", inside=section).click()
    expect(phone.dialog).to_contain_text(phone.t("restart_text"))
    phone.screenshot(f"restart-{phone.language}", full_page=False)
    phone.confirm("restart")
    phone.done("restarts")
    if phone.language == "en":
        _wait_for_boot(bench, boot + 1)
        # The page finds out by itself, and asks for the PIN again.
        expect(phone.button("login")).to_be_visible(timeout=20000)
        expect(phone.page.locator("#lost")).to_be_hidden()


def _wait_for_boot(bench, number):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        # The last answer before the restart may be cut.
        with contextlib.suppress(OSError, http.client.HTTPException):
            if bench.get("api/status", bench.ready["page"])[1]["boot"] == number:
                return
        time.sleep(0.05)
    raise AssertionError("the charger has not come back")


def _picture(name, phone):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    return SCREENSHOTS / f"page-{name}-{phone.language}.png"


def test_long_lists_come_in_pages(bench, new_phone):
    """More sessions and keys than a test can make: the charger's answers are put in their place."""
    bench.tidy()
    with new_phone() as phone:
        blank = {"label": "", "parent": "", "expires": None}
        all_keys = [{"uid": f"{n:08X}", **blank} for n in range(45)]

        def keys(route):
            at = int(route.request.url.split("=")[1])
            shown = {"count": 45, "from": at, "learning_s": 0, "learned": None}
            route.fulfill(json={**shown, "keys": all_keys[at : at + 20]})

        def sessions(route):
            before = int(route.request.url.partition("=")[2] or 46)
            rows = [
                {"seq": n, "boot": 1, "session": n, "started_at": None, "energy_wh": n * 10,
                 "duration_s": None, "estimated": True, "key": None, "reason": None}
                for n in range(before - 1, max(0, before - 21), -1)
            ]  # fmt: skip
            route.fulfill(json={"sessions": rows, "next": rows[-1]["seq"] if before > 21 else None})

        phone.page.route("**/api/keys?*", keys)
        phone.page.route("**/api/sessions*", sessions)
        phone.log_in(pin(bench))
        section = phone.open("sessions")
        for count in (20, 40, 45):
            expect(section.get_by_role("listitem")).to_have_count(count)
            if count < 45:
                phone.button("older", inside=section).click()
        expect(phone.button("older", inside=section)).to_be_hidden()
        section = phone.open("keys")
        for first, turn in ((0, "next"), (20, "next"), (40, "previous"), (20, "")):
            expect(section.get_by_role("listitem").first).to_contain_text(f"{first:08X}")
            expect(section.get_by_role("listitem")).to_have_count(min(20, 45 - first))
            if turn:
                phone.button(turn, inside=section).click()


def test_a_question_that_gets_no_answer_is_asked_again(bench, new_phone):
    """Twice: a connection that just ends may be a charger whose memory is short for a moment."""
    bench.tidy()
    with new_phone() as phone:
        left = [2]

        def faults(route):
            if not left[0]:
                return route.continue_()
            left[0] -= 1
            return route.abort()

        phone.page.route("**/api/events*", faults)
        phone.log_in(pin(bench))
        section = phone.open("faults")
        expect(section.get_by_role("alert")).to_have_count(0)
        expect(phone.button("refresh", inside=section)).to_be_visible()
        assert left == [0]
        # More than that is said, and can be tried again.
        left[0] = 3
        phone.button("refresh", inside=section).click()
        expect(section.get_by_role("alert")).to_contain_text(phone.t("no_answer"))
        phone.button("again", inside=section).click()
        expect(section.get_by_role("alert")).to_have_count(0)


# The first run


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_first_run(tmp_path, browser, language):
    settings = json.dumps({"pin": "", "cloud_host": "", "wifi_ssid": ""})
    how = {"viewport": SIZES[language], "timezone_id": "Europe/Oslo"}
    with RunningBench(tmp_path, SETTINGS=settings) as bench:
        with Phone(browser, bench.ready["page"], language, **how) as phone:
            expect(phone.page.locator("h2")).to_have_text(phone.t("welcome"))
            expect(phone.free).to_be_hidden()
            phone.button("begin").click()
            _first_run(phone, language, cloud=language == "de")
            if language == "de":
                _begins_anew(bench, phone)
        assert bench.get("api/status", bench.ready["page"])[1]["setup"] is False


def _begins_anew(bench, phone):
    """A cloud where there was none: the charger restarts by itself, and has all of it then."""
    expect(phone.page.locator("#more")).to_contain_text(phone.t("restarts"))
    status = bench.wait_for_charger("it is back", lambda status: status["has_cloud"], 30)
    assert status["boot"] == 2 and not status["setup"]
    phone.log_in("2468")
    assert phone.setting("cloud_host") == "cloud.example" and phone.setting("wifi_ssid") == "house"


def _first_run(phone, language, cloud):
    page = phone.page
    name = ("setup_pin", "setup_current", "setup_network", "setup_policy")

    def step(n, again=False):
        heading = phone.t("step_of", n, 4, phone.t(name[n - 1]))
        expect(page.get_by_role("heading", name=heading)).to_be_visible()
        if again:
            return
        phone.screenshot(f"setup-{n}-{language}")
        phone.nothing_is_cut_off()
        if language != "nb":
            phone.axe(f"step {n} of the first run")

    step(1)
    page.keyboard.type("12")
    phone.button("next").click()
    step(1, again=True)  # too short: not gone on
    phone.field(phone.t("pin")).fill("2468")
    phone.button("next").click()
    step(2)
    expect(page.locator("#more")).to_contain_text(phone.t("electrician"))
    phone.field(phone.t("n.installation_limit_a")).fill("13")
    phone.button("next").click()
    step(2, again=True)  # nobody has confirmed it
    phone.field(phone.t("sure")).check()
    phone.button("next").click()
    step(3)
    phone.field(phone.t("n.wifi_ssid")).fill("house")
    phone.field(phone.t("n.wifi_password")).fill("house-password")
    if cloud:
        page.get_by_text(phone.t("operator")).click()
        phone.field(phone.t("n.cloud_host")).fill("cloud.example")
    phone.button("back").click()
    expect(phone.field(phone.t("n.installation_limit_a"))).to_have_value("13")
    phone.button("next").click()
    phone.button("next").click()
    phone.field(phone.t("with_times")).check()
    step(4)
    phone.button("finish").click()
    expect(page.locator("#more")).to_contain_text(phone.t("setup_done"))
    if cloud:
        return
    expect(page.locator("#facts")).to_contain_text(phone.t("no_cloud"))
    expect(phone.free).to_be_visible()
    phone.screenshot(f"setup-done-{language}")
    rows = {row["name"]: row for row in phone.api("/api/settings")[1]["settings"]}
    assert rows["installation_limit_a"]["value"] == 13
    assert rows["wifi_ssid"]["value"] == "house" and rows["wifi_password"]["set"]
    assert rows["offline_policy"]["value"] == rows["online_policy"]["value"] == "schedule"
    assert rows["schedule"]["value"] == "Mo-Su 22:00-06:00; Sa,Su 06:00-22:00"
    assert rows["timezone"]["value"] == "STD-1DST-2,M3.5.0/2,M10.5.0/3"
    assert phone.api("/api/status")[1]["clock"]["quality"] == "phone"
    assert phone.api("/api/setup", "POST", pin="1357", settings={})[0] == 409
    phone.context.clear_cookies()
    page.reload()
    phone.log_in("2468")


# What the scripts reckon


def test_the_schedule_editor_writes_what_it_reads(bench, new_phone):
    """Random schedules, through the editor's reader and writer: the same minutes of the week."""
    seed = random.randrange(1 << 30)
    print("seed:", seed)
    draw = random.Random(seed)
    days = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")
    written = ["", "  ", "00:00-24:00", "Mo 00:00-24:00;Tu 0:00-1:05,02:00-24:00"]
    while len(written) < 400:
        entries = []
        for _ in range(draw.randint(1, 3)):
            parts = []
            for _ in range(draw.randint(0, 3)):
                last = draw.choice(("-", " - ")) + draw.choice(days)
                parts.append(draw.choice(days) + last * draw.randint(0, 1))
            times = []
            for _ in range(draw.randint(1, 2)):
                start, end = draw.sample(range(1440), 2)
                ends = "24:00" if draw.random() < 0.1 else f"{end // 60:02}:{end % 60:02}"
                times.append(f"{start // 60:02}:{start % 60:02}-{ends}")
            entries.append(draw.choice((",", ", ")).join(parts) + " " + ", ".join(times))
        text = draw.choice((";", "; ", " ;")).join(entries).strip()
        if draw.random() < 0.3:
            text = text.lower()
        try:
            schedule_text.parse(text)
        except ValueError:
            continue  # more than the charger takes
        written.append(text)
    with new_phone() as phone:
        phone.page.evaluate("loadMore()")
        again = phone.page.evaluate(
            "all => all.map(one => writeSchedule(readSchedule(one)))", written
        )
        for text, copy in zip(written, again, strict=True):
            assert schedule_text.parse(copy) == schedule_text.parse(text), (text, copy)
            assert len(copy) <= schedule_text.LONGEST
        odd = ["Mo", "Xx 01:00-02:00", "Mo 1-2", "Mo 01:00-02:00 03:00-04:00"]
        assert phone.page.evaluate("list => list.map(readSchedule)", odd) == [None] * len(odd)


def test_trouble_with_the_cloud_is_told_in_the_pages_language(new_phone):
    """Every sentence, with what the charger puts in; any other comes as it is."""
    english = source.texts("en", "troubles")
    values = ("cloud.example", "(-28928, 'MBEDTLS_ERR_X')")
    said = [text.format(*values) for text in english.values()]
    for language in source.LANGUAGES:
        with new_phone(language) as phone:
            phone.page.evaluate("loadMore()")
            shown = phone.page.evaluate("list => list.map(trouble)", said)
            its = source.texts(language, "troubles")
            assert shown == [text.format(*values) for text in its.values()]
            odd = ["the cloud has lost records", "", "Nobody answers at all"]
            assert phone.page.evaluate("list => list.map(trouble)", odd) == odd


def test_the_phones_time_zone_is_the_chargers(bench, new_phone):
    """The rule made from one year's changes holds in the next ones too."""
    rules = {}
    with new_phone() as phone:
        phone.page.evaluate("loadMore()")
        devtools = phone.context.new_cdp_session(phone.page)
        for name in ZONES:
            devtools.send("Emulation.setTimezoneOverride", {"timezoneId": name})
            rules[name] = phone.page.evaluate("zoneRule(2026)")
    epoch = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
    begin = (datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC) - epoch).days
    for name, rule in rules.items():
        print(name, rule)
        zone, ours = zoneinfo.ZoneInfo(name), Timezone(timezone_text.parse(rule))

        def right(at_s, zone=zone):
            at = epoch + datetime.timedelta(seconds=at_s)
            return int(at.astimezone(zone).utcoffset().total_seconds())

        for day in range(begin, begin + 5 * 365):
            at_s = day * 86400
            assert ours.offset_s(at_s) == right(at_s), (name, rule, at_s)
            if right(at_s) != right(at_s + 86400):  # to the second on the day of a change
                for change_s in range(at_s, at_s + 86400, 1800):
                    for s in (change_s - 1, change_s):
                        assert ours.offset_s(s) == right(s), (name, rule, s)
