"""`make run`: a charger on a virtual board, its broker, and the bench to play with it.

Settings come from the environment: HTTP_PORT, BENCH_PORT and MQTT_PORT (0: any free one), BOARD
(a file of firmware/board, to which a card reader is fitted), ID (the charger's name), INTERPRETER
(packaged or board), SETTINGS (values of the settings table as JSON, which stay, such as
'{"offline_policy": "known_key"}'), FRESH=1 (a new, empty flash), HEADLESS=1 (one JSON line when the
charger's page answers, and nothing else).
Ctrl-C or SIGTERM stops everything that was started; should the bench itself be killed, its
processes end by themselves.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from tools.bench.broker import Broker, BrokerError
from tools.bench.cloud import Cloud
from tools.bench.flash import FlashError, prepare_flash
from tools.bench.link import Link
from tools.bench.ports import LOOPBACK, PortError, choose_ports
from tools.bench.server import make_server
from tools.bench.surroundings import Surroundings
from tools.virtual.fitted import fit_reader
from tools.virtual.process import BINARIES, VirtualBoard

ROOT = Path(__file__).resolve().parents[2]
# Where flash images and logs lie; tests use folders of their own.
RUN = Path(os.environ.get("RUN_FOLDER") or ROOT / "build" / "run")
_CHARGER_ANSWERS_WITHIN_S = 30.0
# The cloud of the bench has a name that exists nowhere else, and no certificate.
CLOUD_HOST = "cloud.bench"
HINT_HOST = "window.bench"
AT_THE_BENCH = {
    "wifi_ssid": "holdfast-test",
    "cloud_host": CLOUD_HOST,
    "cloud_tls": False,
    # 127.0.0.1 is the answer: a window of a second. Without, the first one is two minutes.
    "hint_host": HINT_HOST,
}


class StartError(Exception):
    """Something cannot be started; the text is a sentence."""


def _settings() -> dict[str, Any]:
    try:
        values = json.loads(os.environ.get("SETTINGS") or "{}")
    except ValueError as error:
        raise FlashError(f"SETTINGS is no JSON: {error}.") from None
    if not isinstance(values, dict):
        raise FlashError("SETTINGS must be a JSON object of names and values.")
    return values


def main() -> int:
    if sys.argv[1:]:
        print(__doc__)
        return 0 if sys.argv[1:] == ["--help"] else 2
    try:
        return asyncio.run(_run())
    except (PortError, StartError, FlashError) as error:
        print(f"make run: {error}", file=sys.stderr)
        return 1


async def _run() -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)

    headless = os.environ.get("HEADLESS", "") not in ("", "0")
    say = (lambda *_: None) if headless else (lambda text="": print(text, flush=True))
    ports = choose_ports(os.environ)
    # The interpreter that users install is the default: it is there without a compiler, and has
    # TLS. INTERPRETER=board shows the charger in the memory and number format of a real chip.
    interpreter = _choice("INTERPRETER", "packaged", tuple(BINARIES))
    board_name = _choice("BOARD", "smartevse_v3", _boards())
    source, wiring = fit_reader(board_name)

    with contextlib.ExitStack() as running:
        say("Preparing the charger's flash ...")
        flash = await asyncio.to_thread(
            prepare_flash,
            RUN / board_name,
            interpreter=interpreter,
            board=board_name,
            charger_id=os.environ.get("ID", ""),
            fresh=os.environ.get("FRESH", "") not in ("", "0"),
            boards={board_name: source},
            settings={**AT_THE_BENCH, **_settings()},
        )
        if stop.is_set():
            return 0
        no_broker = ""
        try:
            broker = await asyncio.to_thread(Broker, ports.mqtt, RUN)
            running.callback(broker.close)
        except BrokerError as error:
            no_broker = str(error)
            if headless:
                print(f"make run: {no_broker}; going on without.", file=sys.stderr)

        link = Link(ports.mqtt)
        running.callback(link.close)
        cloud = Cloud(ports.mqtt, RUN)
        running.callback(cloud.close)
        board = VirtualBoard(
            interpreter,
            flash.image,
            wiring,
            ports={flash.http_port: ports.http},
            hosts={CLOUD_HOST: (LOOPBACK, link.port), HINT_HOST: (LOOPBACK, 0)},
            state={"phases": 3},  # a car that fits the three phases of the charger's settings
        )
        running.callback(board.close)
        await asyncio.to_thread(board.power_on)

        facts: dict[str, Any] = {
            "ready": True,
            "page": f"http://{LOOPBACK}:{ports.http}",
            "bench": f"http://{LOOPBACK}:{ports.bench}",
            "serial": board.serial_path,
            "mqtt": f"{LOOPBACK}:{ports.mqtt}",
            "pin": flash.pin,
            "id": flash.charger_id,
            "report": cloud.report,
            "board": board_name,
            "interpreter": interpreter,
        }
        app = make_server(Surroundings(board, link), board, facts)
        server = asyncio.create_task(app.start_server(LOOPBACK, ports.bench))

        answers = await _page_answers(facts["page"], stop)
        if stop.is_set():
            return 0
        if server.done():
            raise StartError(f"The bench cannot serve port {ports.bench}: {server.exception()}")
        if headless:
            if not answers:
                tail = bytes(board.serial_log)[-2000:].decode("utf-8", "replace")
                raise StartError(f"The charger's page does not answer. Its serial console:\n{tail}")
            print(json.dumps(facts), flush=True)
        else:
            _greet(say, facts, answers, no_broker)
        await stop.wait()
        say("\nStopping.")
        app.shutdown()
        await asyncio.wait([server], timeout=2)
    return 0


def _greet(say: Any, facts: dict[str, Any], answers: bool, no_broker: str) -> None:
    say("")
    say(f"  Bench           {facts['bench']}   plug in a car here")
    say(f"  Charger's page  {facts['page']}   PIN {facts['pin']}")
    say(f"  Serial console  {facts['serial']}   mpremote connect {facts['serial']}")
    say(f"  MQTT broker     {no_broker or facts['mqtt']}")
    say(f"  Cloud           {facts['report']}")
    say("")
    if not answers:
        say("  The charger's page does not answer; the bench shows its serial console.")
    say("  Ctrl-C stops everything.")


async def _page_answers(page: str, stop: asyncio.Event) -> bool:
    """Wait until the charger's page is there; False when it is not within the time, or on stop."""
    deadline = time.monotonic() + _CHARGER_ANSWERS_WITHIN_S
    while time.monotonic() < deadline and not stop.is_set():
        if await asyncio.to_thread(_answers, page):
            return True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.05)
    return False


def _answers(page: str) -> bool:
    try:
        with urllib.request.urlopen(page, timeout=2) as answer:
            return answer.status == 200
    except (OSError, ValueError):
        return False


def _choice(name: str, default: str, allowed: tuple[str, ...]) -> str:
    value = os.environ.get(name, "") or default
    if value not in allowed:
        raise StartError(f"{name} is {value!r}: it must be one of {', '.join(allowed)}.")
    return value


def _boards() -> tuple[str, ...]:
    files = (ROOT / "firmware" / "board").glob("*.py")
    return tuple(sorted(f.stem for f in files if "\nBOARD = " in f.read_text(encoding="utf-8")))


if __name__ == "__main__":
    sys.exit(main())
