"""The composition root: who is built from what, and which tasks run. Needed once.

The rooms are imported where they are built, those first that need the most memory for a moment: the
journal's recovery and the schedule's text take 10 KB each, which is not there any more at the end.
"""

import gc

from micropython import const

from firmware import app
from firmware.board import chip
from firmware.briefly import briefly

_CHARGING_SILENCE_MS = const(4000)
_CONFIGURE = "firmware.configure"
_COLLECT_EVERY_BYTES = const(8192)  # about a web request; waiting longer would scatter what stays


def build(settings):
    """Every room of this charger, wired, with its tasks registered but not started."""
    from firmware import clock

    charger = rooms(settings, clock.Clock(chip.count_boot(), clock.now_ms()))
    from firmware.board.board import BoardError

    watchdog = None
    try:
        fit(charger, briefly("firmware.board.load").load_board(settings.board, settings))
    except BoardError as e:
        # No task drives a pin, so there is nothing to watch over; page and console say why.
        charger.refusal = str(e)
    else:
        briefly("firmware.board.nvs").set_safe_pins(charger.board.safe_pins)
        resume(charger)
        watchdog = chip.start_watchdog(settings.watchdog_s * 1000)

    from firmware.supervisor import Supervisor

    # Nothing here may be a function of this module: it would keep all of it in memory.
    charger.supervisor = supervisor = Supervisor(watchdog, charger.announce)
    if charger.board:
        supervisor.add("charging", charger.charge, _CHARGING_SILENCE_MS, vital=True)
        supervisor.add("journal", charger.recorder.run)
    connect(charger)
    let_go(charger)
    # For good: reasons keeps the last sentence, and all who change keys must mean the same BadKey.
    from firmware import access, reasons  # noqa: F401
    from firmware.web.routes import application
    from firmware.web.server import Server

    supervisor.add("housekeeping", charger.keep_house)
    supervisor.add("ntp", charger.ask_time)
    supervisor.add("web", Server(application(charger), settings.http_port).run)
    supervisor.add("console", charger.attend_console)
    gc.collect()
    gc.threshold(_COLLECT_EVERY_BYTES)
    return charger


def rooms(settings, its_clock):
    """A charger with the rooms that need no board."""
    charger = app.Charger()
    charger.settings = settings
    charger.clock = its_clock
    charger.id = settings.charger_id or "holdfast-" + chip.identity()[-6:]
    journal = open_journal(its_clock)
    from firmware.access.authorization import Authorization

    charger.access = Authorization(app.draw)
    briefly(_CONFIGURE).judge(charger)
    from firmware.key_file import KeyFile

    charger.keys = KeyFile()
    charger.keys.load()
    from firmware.recorder import Recorder

    charger.recorder = Recorder(charger, journal)
    from firmware.version import VERSION

    charger.recorder.append("boot", chip.reset_cause().replace(" ", "-"), VERSION)
    from firmware.charging.signals import Outputs, Permit, Readings

    charger.permit = Permit()
    charger.readings = Readings()
    charger.outputs = Outputs()
    return charger


def open_journal(its_clock):
    """The journal, in its own partition or else in files, recovered from whatever happened to it.

    The number of this boot becomes one that no record has.
    """
    from firmware.journal.journal import Journal

    partition = chip.journal_partition()
    if partition:
        from firmware.journal.raw_store import RawStore

        journal = Journal(RawStore(partition))
    else:
        from firmware.journal.file_store import FileStore

        journal = Journal(FileStore("/journal"))
    briefly("firmware.journal.recovery").start(journal, its_clock.boot)
    its_clock.boot = journal.boot or its_clock.boot
    return journal


def resume(charger):
    """Let the session that a power cut ended go on, if the settings say so and its car is there."""
    journal = charger.recorder.journal
    if not journal.cut_session or charger.settings.after_power_cut != "resume":
        return
    for last in briefly("firmware.journal.sessions").sessions(journal):
        if last is not None:
            break
    else:
        return
    if last["how"] == "Owner":
        charger.access.resume(b"", "")
    elif last["key"]:
        from firmware.access import keys

        file = charger.keys
        known = file.find(last["key"]) >= 0
        charger.access.resume(last["key"], keys.parent(file.row) if known else "")


def fit(charger, its_board):
    """Build the charging room for `its_board`."""
    from firmware.charging.controller import ChargingConfig, Controller
    from firmware.charging.limits import Limits

    settings = charger.settings
    config = ChargingConfig()
    config.tethered = settings.tethered
    config.rcd_test = settings.rcd_test
    cable_ma = settings.tethered_cable_a * 1000 if settings.tethered else 0
    configuring = briefly(_CONFIGURE)
    derating = configuring.derating(settings)
    limits = Limits(settings.installation_limit_a * 1000, derating, cable_ma)
    charger.controller = Controller(its_board.capabilities, config, limits)
    charger.controller.listeners.append(charger.recorder.queue)
    charger.board = its_board
    configuring.configure(charger)


def connect(charger):
    """Give the charger its way to WiFi and cloud, if the settings name a cloud or a network.

    The rest of a charger's life is for who names none: it takes the memory of neither. Whose board
    was refused has nothing to tell a cloud; by WiFi its page says why, and takes a better setting.
    """
    settings, supervisor = charger.settings, charger.supervisor
    if settings.wifi_ssid or settings.ap_password:
        from firmware.web.wifi import Wifi

        charger.station = Wifi(charger, app.draw)
        supervisor.add("wifi", charger.station.run)
    if settings.cloud_host and charger.board:
        from firmware.uplink.backoff import Backoff
        from firmware.uplink.outbox import Outbox
        from firmware.uplink.uplink import Uplink
        from firmware.uplink.worker import Worker

        worker = Worker(charger.id, Backoff(), app.draw)
        charger.uplink = Uplink(
            charger, worker, Outbox(charger.recorder.journal, worker.up, app.draw)
        )
        supervisor.add("uplink", charger.uplink.run)


def announce(charger):
    """Say on the serial console that every task runs; the flash tool waits for this line."""
    if charger.settings.notice:
        print("holdfast:", charger.settings.notice)
    from firmware.version import VERSION

    how = "id={} version={} board={} boot={} after={}".format(
        charger.id,
        VERSION,
        charger.settings.board,
        charger.clock.boot,
        chip.reset_cause().replace(" ", "-"),
    )
    if charger.refusal:
        print("holdfast: not charging, outputs safe:", charger.refusal, how)
    else:
        print("holdfast: running", how)


def let_go(charger):
    """Free the code that has run for the last time: constructors of what there is one of.

    Their classes keep an empty name, so that a second use fails where it can be seen.
    """
    recorder, uplink = charger.recorder, charger.uplink
    rooms = [charger, charger.controller, charger.board, charger.supervisor]
    rooms += [recorder, recorder.journal, uplink, uplink and uplink.worker]
    for room in rooms:
        if room is None:
            continue
        for one in [room] + list(room.__dict__.values()):
            kind = type(one)
            try:
                while kind is not object:
                    kind.__init__ = None
                    kind = kind.__bases__[0]
            except (AttributeError, TypeError, IndexError):
                pass  # one of the interpreter's own
    type(charger.access).resume = None
    if charger.board:
        setattr(type(charger.board), "_capabilities", None)  # noqa: B010 -- a method, to mypy
