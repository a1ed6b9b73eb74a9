"""`python -m tools.page_picture`: draws docs/page.png, the charger's page on three phones.

A real charger on the virtual board charges a car while the cloud is away; a real Chromium
touches "Free the cable", types the PIN and confirms. What the picture shows is what it saw.
"""

from __future__ import annotations

import base64
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable

from PIL import Image
from playwright.sync_api import expect, sync_playwright

ROOT = pathlib.Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "page.png"
CHROMIUM = "/usr/bin/chromium"
_WIDTH, _HEIGHT = 350, 600
_ENERGY_WH = 250  # so much is charged first: more to see than zeros
_WITHIN_S = 120
_COLOURS = 96
_SHEET = """<!doctype html><style>
body { margin: 0; padding: 20px; display: inline-flex; gap: 22px; background: #dde3ea }
img { display: block; width: %dpx; border: 9px solid #15181c; border-radius: 30px }
</style>"""


def _exchange(url: str, fields: dict | None = None) -> dict:
    data = None if fields is None else json.dumps(fields).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def _wait(what: str, done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _WITHIN_S
    while not done():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {_WITHIN_S} s: {what}")
        time.sleep(0.2)


def _shots(browser, ready: dict) -> list[bytes]:
    """The page while it charges, when it asks, and when the cable is free."""
    bench, page_url = ready["bench"], ready["page"].rstrip("/")
    _exchange(bench + "/network", {"wifi": True, "cloud": False})
    _exchange(bench + "/plug", {"cable_a": 32})
    _exchange(bench + "/car", {"state": "C", "draw_a": 32})

    def charged() -> bool:
        session = _exchange(page_url + "/api/status")["session"]
        return bool(session) and session["energy_wh"] >= _ENERGY_WH

    _wait("something is charged", charged)
    page = browser.new_context(
        viewport={"width": _WIDTH, "height": _HEIGHT}, device_scale_factor=1.5, locale="en-GB"
    ).new_page()
    page.goto(page_url)
    expect(page.locator("#state")).to_have_text("Charging")
    shots = [page.screenshot()]
    page.locator("#free button").click()
    page.keyboard.type(ready["pin"])
    shots.append(page.screenshot())
    page.get_by_role("button", name="Free it now").click()
    expect(page.get_by_role("dialog")).to_contain_text("The cable is free", timeout=30000)
    shots.append(page.screenshot())
    return shots


def main() -> int:
    if sys.argv[1:]:
        print(__doc__)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        settings = json.dumps({"installation_limit_a": 32, "charger_id": "garage-1"})
        running = subprocess.Popen(
            [sys.executable, "-m", "tools.bench"],
            cwd=ROOT,
            env={
                **os.environ,
                "HEADLESS": "1", "RUN_FOLDER": folder, "SETTINGS": settings, "ID": "garage-1",
                "HTTP_PORT": "0", "BENCH_PORT": "0", "MQTT_PORT": "0",
            },
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        try:
            line = running.stdout.readline()
            if not line:
                return 1  # the bench has said why
            with sync_playwright() as tools:
                browser = tools.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
                shots = _shots(browser, json.loads(line))
                images = [base64.b64encode(shot).decode() for shot in shots]
                sheet = browser.new_context(device_scale_factor=1.5).new_page()
                sheet.set_content(
                    _SHEET % _WIDTH
                    + "".join(f'<img src="data:image/png;base64,{one}">' for one in images)
                )
                picture = io.BytesIO(sheet.locator("body").screenshot())
                browser.close()
        finally:
            running.terminate()
            running.wait(20)
    # Flat colours and the grey of the letters' edges: more than that no eye sees.
    Image.open(picture).convert("RGB").quantize(_COLOURS).save(PICTURE, optimize=True)
    print(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
