"""`python -m tools.cloud COMMAND`: the reference cloud of a small operator.

`serve` is the cloud itself; the other commands may run beside it, on the same database. Exit code
0: done; 1: it could not be done, or the charger refused; 2: the command makes no sense.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.cloud import messages, report
from tools.cloud.store import Store, StoreError

from firmware.access import key_entry, uid  # isort: skip

_DATABASE = os.environ.get("HOLDFAST_DATABASE") or "holdfast-cloud.sqlite"
_ALIVE_S = 10.0  # `serve` writes its state every three seconds
_APPLIED_WITHIN_S = 6.0
_LONGEST_OFFLINE_S = 7 * 86400
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Refused(Exception):
    """What was asked for makes no sense; the text is a sentence."""


class Failed(Exception):
    """It makes sense and could not be done; the text is a sentence."""


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except Refused as error:
        print(f"cloud: {error}", file=sys.stderr)
        return 2
    except (Failed, StoreError) as error:
        print(f"cloud: {error}", file=sys.stderr)
        return 1
    except sqlite3.Error as error:
        print(f"cloud: The database {options.database} cannot be used: {error}.", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `| head`
        sys.stderr.close()
        return 1


# What is asked for


def _parser() -> argparse.ArgumentParser:
    # These may stand anywhere behind the command: their defaults are those of the whole.
    shared = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    shared.add_argument(
        "--database",
        type=Path,
        metavar="FILE",
        help=f"the SQLite file ({_DATABASE}; HOLDFAST_DATABASE names another)",
    )
    link = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    link.add_argument("--broker", metavar="HOST:PORT", help="the MQTT broker")
    link.add_argument(
        "--tls", metavar="CA", help="file of CA certificates, or system; then with TLS"
    )
    link.add_argument("--user", help="with the password in the variable HOLDFAST_MQTT_PASSWORD")
    wait = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    wait.add_argument(
        "--wait", type=_seconds, metavar="TIME", help="for the reply, such as 90s or 2m (30s)"
    )
    parser = argparse.ArgumentParser(prog="python -m tools.cloud", description=__doc__)
    parser.set_defaults(database=Path(_DATABASE), broker=None, tls="", user="", wait=30)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(
        name: str, run: Callable[[argparse.Namespace], int | None], text: str, *more: Any
    ) -> argparse.ArgumentParser:
        its = commands.add_parser(
            name, parents=[shared, *more], help=text, description=text[0].upper() + text[1:] + "."
        )
        its.set_defaults(run=run)
        return its

    its = command("serve", _serve, "run the cloud until Ctrl-C", link)
    its.add_argument("--hint-file", type=Path, metavar="FILE", help="write the window for DNS here")
    its.add_argument("--hint-host", metavar="NAME", help="the name that chargers ask for")
    its.add_argument("--hint-form", choices=("hosts", "zone"), default="hosts")
    its.add_argument("--with-parent", action="store_true", help="end when standard input is closed")
    command("status", _status, "show what the cloud itself is doing")
    its = command("chargers", _chargers, "list the chargers")
    its.add_argument("--json", action="store_true")
    its = command("sessions", _sessions, "list the sessions")
    its.add_argument("--charger", metavar="ID")
    _add_times(its)
    its = command("report", _report, "tell which sessions are complete and what is missing")
    its.add_argument("--charger", metavar="ID")
    its.add_argument("--csv", action="store_true")
    _add_times(its)

    its = command("send", _send, "send a command to a charger and wait for its reply", link, wait)
    its.add_argument("charger", metavar="ID")
    _add_commands(its, [shared, link, wait])

    its = command("keys", _keys, "change or list the keys that this cloud accepts")
    _add_keys(its, [shared])
    its = command("capacity", _capacity, "set how many chargers may connect in a second")
    its.add_argument("connects", type=_connects, metavar="N")
    its = command("window", _window, "show the reconnect window, or set it")
    its.add_argument(
        "to", nargs="?", metavar="SECONDS", help="fix it; auto: let the cloud find it (default)"
    )
    its.add_argument(
        "--strict-first", choices=("on", "off"), help="who needs the cloud comes first"
    )
    its = command("offline", _offline, "send the fleet offline on purpose, and bring it back")
    its.add_argument("switch", choices=("on", "off"))
    end = its.add_mutually_exclusive_group()
    end.add_argument("--until", metavar="TIME", help="2026-11-23T18:00:00Z")
    end.add_argument("--for", dest="span", type=_seconds, metavar="TIME", help="90m, 6h, 2d")
    its.add_argument("--reason", default="", help="up to 64 characters, which drivers may read")
    its.add_argument(
        "--steps", type=_steps, metavar="N", help="bring it back over N windows instead of one"
    )
    return parser


def _add_times(its: argparse.ArgumentParser) -> None:
    text = "2026-11-23 or 2026-11-23T18:00:00Z"
    its.add_argument("--from", dest="since", type=_time, metavar="TIME", help=f"{text}, UTC")
    its.add_argument("--to", dest="before", type=_time, metavar="TIME", help="before that time")


def _add_commands(its: argparse.ArgumentParser, parents: list[argparse.ArgumentParser]) -> None:
    actions = its.add_subparsers(metavar="COMMAND", required=True)

    def action(name: str, text: str, build: Callable[..., list[dict[str, Any]]] | None = None):
        one = actions.add_parser(
            name, parents=parents, help=text, description=text[0].upper() + text[1:] + "."
        )
        one.set_defaults(build=build or (lambda *_: [{"do": name}]))
        return one

    action("unlock", "end the session and release the cable")
    action("start", "start a session")
    action("stop", "end the session")
    action("reboot", "restart the charger")
    one = action("limit", "limit the current for a time; 0 A is a pause", _limit)
    one.add_argument("limit_a", type=int, metavar="AMPERES")
    one.add_argument("for_s", type=_seconds, metavar="TIME", help="90s, 15m, 24h at most")
    one = action("set", "change settings, all of them or none", _set)
    one.add_argument("values", nargs="+", metavar="NAME=VALUE")
    one = action("keys", "change the charger's own key list, which it uses offline", _charger_keys)
    one.add_argument("--add", nargs="+", default=[], metavar="UID", help="as this cloud knows them")
    one.add_argument("--remove", nargs="+", default=[], metavar="UID")
    one.add_argument("--all", action="store_true", help="every key of this cloud")


def _add_keys(its: argparse.ArgumentParser, parents: list[argparse.ArgumentParser]) -> None:
    actions = its.add_subparsers(metavar="ACTION", required=True)
    actions.add_parser("list", parents=parents, help="show them").set_defaults(change=None)
    one = actions.add_parser("add", parents=parents, help="accept a key, or change it")
    one.set_defaults(change=_add_key)
    one.add_argument("uid")
    one.add_argument("--label", default="", help="up to 24 bytes")
    one.add_argument("--parent", default="", help="what the keys of one owner share")
    one.add_argument("--expires", metavar="DAY", help="2027-01-31: not valid from that day on")
    for name, blocked in (("block", 1), ("unblock", 0)):
        one = actions.add_parser(name, parents=parents, help=f"{name} a key")
        one.set_defaults(change=_block_key, blocked=blocked)
        one.add_argument("uid")
    one = actions.add_parser("remove", parents=parents, help="forget a key")
    one.set_defaults(change=_remove_key)
    one.add_argument("uid")


def _seconds(text: str) -> int:
    found = re.fullmatch(r"(\d{1,7})([smhd]?)", text)
    if not found or not int(found[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is no time: it must look like 90s, 15m or 6h")
    return int(found[1]) * _UNITS_S[found[2] or "s"]


def _time(text: str) -> int:
    try:
        return messages.utc_s(text if "T" in text else text + "T00:00:00Z")
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time: it must look like 2026-11-23 or 2026-11-23T18:00:00Z (UTC)"
        ) from None


def _connects(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.1 <= value <= 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of chargers from 0.1 to 1000000")
    return value


def _steps(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 100")
    return int(text)


# The cloud itself


def _serve(options: argparse.Namespace) -> None:
    from tools.cloud import link, serve

    if not options.broker:
        raise Refused("`serve` needs --broker HOST:PORT.")
    if bool(options.hint_file) != bool(options.hint_host):
        raise Refused("--hint-file and --hint-host go together.")
    hint = None
    if options.hint_file:
        hint = serve.Hint(options.hint_file, options.hint_host, options.hint_form)
        if not os.access(options.hint_file.absolute().parent, os.W_OK):
            raise Refused(f"The hint cannot be written: no folder for {options.hint_file}.")
    try:
        broker = link.broker(options.broker, options.tls, options.user)
    except ValueError as error:
        raise Refused(str(error)) from None
    try:
        serve.serve(broker, options.database, hint, options.with_parent)
    except serve.ServeError as error:
        raise Failed(str(error)) from None


def _store(options: argparse.Namespace) -> Store:
    return Store(options.database, must_exist=True)


def _serving(store: Store) -> dict[str, Any] | None:
    """How `serve` is doing, None if it does not run."""
    its = store.settings().get("serving")
    return its if its and time.time() - its["at_s"] < _ALIVE_S else None


def _ask(store: Store, **settings: Any) -> None:
    """Write settings, and wait until `serve` has passed them on."""
    revision = store.ask(**settings)
    if _serving(store) is None:
        print("The cloud is not running: this counts as soon as it does.")
        return
    deadline = time.monotonic() + _APPLIED_WITHIN_S
    while time.monotonic() < deadline:
        its = _serving(store)
        if its and its.get("revision", 0) >= revision:
            return
        time.sleep(0.1)
    raise Failed("It is stored, but the cloud could not pass it on: is the broker there?")


def _status(options: argparse.Namespace) -> int:
    store = _store(options)
    its = _serving(store)
    settings = store.settings()
    counts = store.db.execute(
        "SELECT (SELECT count(*) FROM records), (SELECT count(*) FROM conflicts),"
        " (SELECT sum(refused) FROM chargers)"
    ).fetchone()
    broker = settings.get("broker", {})
    where = f"{broker.get('host')}:{broker.get('port')}"
    if its is None:
        print("cloud      not running")
    else:
        print(f"cloud      running; broker {where} {'connected' if its['broker'] else 'is away'}")
        slow = "; it has too much to do" if its["slow"] else ""
        print(f"chargers   {its['fleet'] - its['missing']} of {its['fleet']} connected")
        print(f"connects   {its['connects_per_s']:.1f}/s now, {its['capacity']:g}/s at most{slow}")
        print(f"window     {its['window_s']} s; in DNS {its['hint_s']} s")
    print(f"records    {counts[0]}, {counts[1]} conflicts")
    print(f"malformed  {counts[2] or 0}{_strangers(its)}")
    print(f"offline    {_offline_text(settings)}")
    return 0 if its else 1


def _strangers(its: dict[str, Any] | None) -> str:
    if not its or not its["strangers"]:
        return ""
    return f", and {its['strangers']} under names that no charger may have"


def _offline_text(settings: dict[str, Any]) -> str:
    until = settings.get("offline_until")
    if not until or messages.utc_s(until) <= time.time():
        steps = settings.get("steps", 1)
        return f"no; coming back in {steps} steps" if steps > 1 else "no"
    return f"on purpose until {until}: {settings.get('offline_reason') or 'no reason given'}"


def _chargers(options: argparse.Namespace) -> None:
    store = _store(options)
    its = _serving(store)
    since_s = its["broker_since_s"] if its and its["broker"] else None
    lines = []
    for row in store.chargers():
        status = json.loads(row["status"] or "{}")
        here = None if since_s is None else bool(row["connected"] and row["seen_s"] >= since_s)
        lines.append(
            {
                "id": row["id"],
                "online": here,
                "state": status.get("state"),
                "last_seen": messages.utc_text(row["seen_s"]) if row["seen_s"] else None,
                "epoch": row["epoch"],
                "through": row["through"],
                "pending": max(0, (row["last_seq"] or 0) - (row["through"] or 0)),
                "firmware": status.get("firmware"),
                "clock": (status.get("clock") or {}).get("quality"),
                "malformed": row["refused"],
                "notes": report.notes(store, row["id"]),
            }
        )
    if options.json:
        print(json.dumps(lines, indent=1))
        return
    words = {True: "yes", False: "no", None: "?"}
    head = (*lines[0],) if lines else ("id",)
    shown = [
        (*{**line, "online": words[line["online"]], "notes": "; ".join(line["notes"])}.values(),)
        for line in lines
    ]
    print(report.table(head, shown), end="")


def _rows(options: argparse.Namespace) -> list[dict[str, Any]]:
    store = _store(options)
    if options.charger and not store.has_charger(options.charger):
        raise Failed(f"There is no charger {options.charger} here.")
    return report.rows(store, options.charger, options.since, options.before)


def _sessions(options: argparse.Namespace) -> None:
    print(report.sessions_table(_rows(options)), end="")


def _report(options: argparse.Namespace) -> None:
    found = _rows(options)
    print(report.as_csv(found) if options.csv else report.as_table(found), end="")


def _capacity(options: argparse.Namespace) -> None:
    _ask(_store(options), capacity=options.connects)


def _window(options: argparse.Namespace) -> None:
    store = _store(options)
    wanted: dict[str, Any] = {}
    if options.to == "auto":
        wanted["window_s"] = None
    elif options.to is not None:
        longest = messages.LONGEST_WINDOW_S
        if not options.to.isdecimal() or not 1 <= int(options.to) <= longest:
            raise Refused(f"The window is auto, or a number of seconds from 1 to {longest}.")
        wanted["window_s"] = int(options.to)
    if options.strict_first:
        wanted["strict_first"] = options.strict_first == "on"
    if wanted:
        _ask(store, **wanted)
    its = _serving(store)
    settings = store.settings()
    if its is None:
        raise Failed("The cloud is not running: nobody is told a window.")
    fixed = " (fixed)" if "window_s" in settings else ""
    first = "on" if settings.get("strict_first", True) else "off"
    print(f"window        {its['window_s']} s{fixed}")
    print(f"in DNS        {its['hint_s']} s")
    print(f"strict first  {first}")
    print(f"capacity      {its['capacity']:g} connects/s, as measured")
    print(f"missing       {its['missing']} of {its['fleet']}")


def _offline(options: argparse.Namespace) -> None:
    if options.switch == "on":
        if options.until:
            try:
                until_s = messages.utc_s(options.until)
            except ValueError as error:
                raise Refused(f"--until is no time: {error} (UTC).") from None
        elif options.span:
            until_s = int(time.time()) + options.span
        else:
            raise Refused("`offline on` needs its end: --until TIME or --for TIME.")
        if until_s <= time.time():
            raise Refused("That time is over already.")
        if until_s > time.time() + _LONGEST_OFFLINE_S:
            raise Refused("Chargers stay away for seven days at most.")
        message = {"until": messages.utc_text(until_s), "reason": options.reason}
        try:
            messages.check("fleet/offline", messages.encode(message))
        except messages.Malformed as error:
            raise Refused(f"That cannot be published: {error}.") from None
        _ask(
            _store(options),
            offline_until=message["until"],
            offline_reason=message["reason"],
            steps=options.steps,
        )
        print(f"All chargers operate offline until {message['until']}.")
        return
    if options.until or options.span or options.reason:
        raise Refused("`offline off` takes --steps only.")
    store = _store(options)
    settings = store.settings()
    until = settings.get("offline_until")
    its = _serving(store)
    _ask(
        store,
        offline_until=None,
        offline_reason=None,
        steps=options.steps or settings.get("steps"),
    )
    if until and messages.utc_s(until) > time.time():
        away = f"{its['missing']} chargers" if its else "Chargers"
        print(f"It is over. {away} that are away cannot hear this: they stay until {until}.")


# Commands to a charger


def _limit(options: argparse.Namespace, _store: Store) -> list[dict[str, Any]]:
    return [{"do": "limit", "limit_a": options.limit_a, "for_s": options.for_s}]


def _set(options: argparse.Namespace, _store: Store) -> list[dict[str, Any]]:
    settings: dict[str, Any] = {}
    for text in options.values:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise Refused(f"{text!r} must look like NAME=VALUE.")
        try:
            settings[name] = json.loads(value)
        except ValueError:
            settings[name] = value
        if not isinstance(settings[name], (bool, int, str)):
            settings[name] = value
    return [{"do": "set", "settings": settings}]


def _charger_keys(options: argparse.Namespace, store: Store) -> list[dict[str, Any]]:
    from tools.cloud import send

    known = {row["uid"]: row for row in store.db.execute("SELECT * FROM keys ORDER BY uid")}
    today = messages.utc_text(time.time())[:10]
    add = [_card(text) for text in options.add]
    remove = [_card(text) for text in options.remove]
    if options.all:
        for number, row in known.items():
            over = row["blocked"] or _is_over(row["expires"], today)
            (remove if over else add).append(number)
    if not add and not remove:
        raise Refused("`keys` needs --add, --remove or --all.")
    entries = []
    for number in add:
        entry = {"uid": number}
        for name in ("label", "parent", "expires"):
            if number in known and known[number][name]:
                entry[name] = known[number][name]
        entries.append(entry)
    return send.key_commands(entries, remove)


def _send(options: argparse.Namespace) -> int:
    from tools.cloud import link, send

    if not messages.is_charger_id(options.charger):
        raise Refused(f"{options.charger!r} is no charger's id.")
    store = _store(options) if options.database.exists() else None
    if options.broker:
        try:
            broker = link.broker(options.broker, options.tls, options.user)
        except ValueError as error:
            raise Refused(str(error)) from None
    else:
        known = store.settings().get("broker") if store else None
        if not known:
            raise Refused("Which broker? --broker HOST:PORT, or the --database of a cloud.")
        broker = link.Broker(**known)
    if store is None:
        store = Store(":memory:")
    try:
        wanted = options.build(options, store)
        for command in wanted:
            messages.check("command", messages.encode({"req": "0" * 16, **command}))
        with send.Sender(broker, options.charger) as sender:
            for command in wanted:
                reply = sender.ask(command, options.wait)
                print(json.dumps(reply))
                if not reply["ok"]:
                    raise Failed(f"{options.charger} refuses: {reply['reason']}")
    except messages.Malformed as error:
        raise Refused(f"That is no command: {error}.") from None
    except send.NoReply as error:
        raise Failed(f"{error}{_last_seen(store, options.charger)}") from None
    return 0


def _last_seen(store: Store, charger: str) -> str:
    row = store.db.execute("SELECT seen_s FROM chargers WHERE id = ?", (charger,)).fetchone()
    if row is None or not row["seen_s"]:
        return " This cloud has never heard it."
    return f" It was last heard {messages.utc_text(row['seen_s'])}."


# Keys


def _card(text: str) -> str:
    try:
        number = uid.parse(text)
        uid.check_learnable(number)
    except uid.BadKey as error:
        raise Refused(f"{text!r}: the {error.field} {error.reason}.") from None
    return uid.shown(number)


def _keys(options: argparse.Namespace) -> None:
    store = Store(options.database) if options.change else _store(options)
    if options.change:
        with store.transaction():
            options.change(store, _card(options.uid), options)
        return
    today = messages.utc_text(time.time())[:10]
    lines = []
    for row in store.db.execute("SELECT * FROM keys ORDER BY uid"):
        over = "expired" if _is_over(row["expires"], today) else ""
        state = "blocked" if row["blocked"] else over or "accepted"
        lines.append((row["uid"], row["label"], row["parent"], row["expires"], state))
    print(report.table(("uid", "label", "parent", "expires", "state"), lines), end="")


def _is_over(expires: str | None, today: str) -> bool:
    return expires is not None and expires <= today


def _add_key(store: Store, number: str, options: argparse.Namespace) -> None:
    entry: dict[str, Any] = {"uid": number, "label": options.label, "parent": options.parent}
    try:
        if options.expires:
            entry["expiry_s"] = messages.expiry_s(options.expires)
        key_entry.pack(entry, bytearray(64))  # a charger takes it, too
    except uid.BadKey as error:
        raise Refused(f"The {error.field} {error.reason}.") from None
    except ValueError as error:
        raise Refused(f"--expires is no day: {error}.") from None
    store.db.execute(
        "INSERT INTO keys(uid, label, parent, expires) VALUES(?,?,?,?) ON CONFLICT(uid) DO UPDATE"
        " SET label = excluded.label, parent = excluded.parent, expires = excluded.expires",
        (number, options.label, options.parent, options.expires),
    )


def _block_key(store: Store, number: str, options: argparse.Namespace) -> None:
    _change_key(
        store, number, "UPDATE keys SET blocked = ? WHERE uid = ?", (options.blocked, number)
    )


def _remove_key(store: Store, number: str, options: argparse.Namespace) -> None:
    _change_key(store, number, "DELETE FROM keys WHERE uid = ?", (number,))


def _change_key(store: Store, number: str, statement: str, values: tuple[Any, ...]) -> None:
    if not store.db.execute(statement, values).rowcount:
        raise Failed(f"There is no key {number} here.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
