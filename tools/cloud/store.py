"""The cloud's database: one SQLite file, in which nothing that was acknowledged is ever changed.

Promises: what a transaction has stored survives the end of the process and a power cut (WAL, every
commit synced); a record that comes again is stored once, and one that comes with other content is
kept beside the first as a conflict. Several processes may use the file at once.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.cloud import messages

ACKED_EARLIER = "acknowledged earlier, not in this database"
ACKED_AND_GONE = ACKED_EARLIER + ", and no longer on the charger"
_VERSION = 1
_CONFLICTS_AT_MOST = 8  # other contents of one record that are kept
_PATIENCE_S = 10.0

# Times ending in _s are seconds since 1970; `through` is the last number of the prefix without a
# gap, which is what chargers are acked; `content` is the record as it came, see messages.canonical.
_SCHEMA = """
CREATE TABLE chargers(
    id TEXT PRIMARY KEY, connected INTEGER NOT NULL DEFAULT 0, seen_s REAL NOT NULL,
    since_s REAL, epoch INTEGER, status TEXT,
    refused INTEGER NOT NULL DEFAULT 0, refusal TEXT) WITHOUT ROWID;
CREATE TABLE epochs(
    charger TEXT NOT NULL, epoch INTEGER NOT NULL, first_s REAL NOT NULL, seen_s REAL NOT NULL,
    through INTEGER NOT NULL DEFAULT 0, last_seq INTEGER NOT NULL DEFAULT 0,
    returns INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(charger, epoch)) WITHOUT ROWID;
CREATE TABLE records(
    charger TEXT NOT NULL, epoch INTEGER NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL,
    boot INTEGER, uptime_s INTEGER, utc_s INTEGER, quality INTEGER, content TEXT NOT NULL,
    problem TEXT, received_s REAL NOT NULL, PRIMARY KEY(charger, epoch, seq)) WITHOUT ROWID;
CREATE TABLE lost(
    charger TEXT NOT NULL, epoch INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    why TEXT NOT NULL, received_s REAL NOT NULL,
    PRIMARY KEY(charger, epoch, first, last, why)) WITHOUT ROWID;
CREATE TABLE conflicts(
    charger TEXT NOT NULL, epoch INTEGER NOT NULL, seq INTEGER NOT NULL, content TEXT NOT NULL,
    times INTEGER NOT NULL, received_s REAL NOT NULL,
    PRIMARY KEY(charger, epoch, seq, content)) WITHOUT ROWID;
CREATE TABLE keys(
    uid TEXT PRIMARY KEY, label TEXT NOT NULL DEFAULT '', parent TEXT NOT NULL DEFAULT '',
    expires TEXT, blocked INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE settings(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


class StoreError(Exception):
    """The database cannot be used; the text is a sentence."""


class Store:
    """The database in the file `path`, made if it is not there (unless `must_exist`)."""

    def __init__(self, path: Path | str, must_exist: bool = False):
        self.path = Path(path)
        if must_exist and not self.path.exists():
            raise StoreError(f"There is no database {path}: `serve` makes one.")
        try:
            self.db = sqlite3.connect(self.path, timeout=_PATIENCE_S, isolation_level=None)
            self.db.row_factory = sqlite3.Row
            self.db.execute("PRAGMA journal_mode = WAL")
            self.db.execute("PRAGMA synchronous = FULL")
            self._prepare()
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"The database {path} cannot be used: {error}.") from None

    def _prepare(self) -> None:
        with self.transaction():
            version = self.db.execute("PRAGMA user_version").fetchone()[0]
            if version == _VERSION:
                return
            if version or self.db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
                raise StoreError(
                    f"The database {self.path} is of another program or a newer version."
                )
            for statement in _SCHEMA.split(";"):
                self.db.execute(statement)
            self.db.execute(f"PRAGMA user_version = {_VERSION}")

    def close(self) -> None:
        self.db.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; on disk when it has ended without an exception."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.db.execute("COMMIT")
        except BaseException:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """All that is read within is of one moment, whatever `serve` writes meanwhile."""
        self.db.execute("BEGIN")
        try:
            yield
        finally:
            self.db.execute("ROLLBACK")

    # Records

    def add(
        self,
        charger: str,
        epoch: int,
        record: dict[str, Any],
        problem: str | None,
        now_s: float,
    ) -> str:
        """Store a record or a lost range: "new", "known", or "conflict"; within a transaction.

        `problem` says what is wrong with it: then only its number and its content are kept.
        """
        if "lost" in record and not problem:
            first, last = record["lost"]
            why = ACKED_AND_GONE if record["why"] == "Acked" else record["why"]
            return "new" if self.add_lost(charger, epoch, first, last, why, now_s) else "known"
        key = (charger, epoch, record["seq"])
        content = messages.canonical(record)
        columns: tuple[Any, ...] = ("", None, None, None, None)
        if not problem:
            utc_s = messages.utc_s(record["utc"]) if record["utc"] else None
            columns = (record["kind"], record["boot"], record["uptime_s"], utc_s, record["quality"])
        new = self.db.execute(
            "INSERT INTO records(charger, epoch, seq, kind, boot, uptime_s, utc_s, quality,"
            " content, problem, received_s) VALUES(?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
            (*key, *columns, content, problem, now_s),
        ).rowcount
        if new:
            return "new"
        where = " WHERE charger = ? AND epoch = ? AND seq = ?"
        kept = self.db.execute("SELECT content FROM records" + where, key).fetchone()[0]
        if kept == content:
            return "known"
        again = self.db.execute(
            "UPDATE conflicts SET times = times + 1" + where + " AND content = ?", (*key, content)
        ).rowcount
        if not again:
            count = self.db.execute("SELECT count(*) FROM conflicts" + where, key).fetchone()[0]
            if count < _CONFLICTS_AT_MOST:
                self.db.execute("INSERT INTO conflicts VALUES(?,?,?,?,1,?)", (*key, content, now_s))
        return "conflict"

    def add_lost(
        self, charger: str, epoch: int, first: int, last: int, why: str, now_s: float
    ) -> bool:
        """Note that the numbers `first` to `last` will not come; False if that is known."""
        added = self.db.execute(
            "INSERT INTO lost VALUES(?,?,?,?,?,?) ON CONFLICT DO NOTHING",
            (charger, epoch, first, last, why, now_s),
        )
        return added.rowcount > 0

    def to_refill(self, charger: str, epoch: int) -> tuple[int, int]:
        """(first, count) of what was acked by a database that is lost, and may still come.

        (0, 0) if there is nothing of that. The charger may have it on its flash.
        """
        key = (charger, epoch)
        assumed = self.db.execute(
            "SELECT min(first), max(last) FROM lost WHERE charger = ? AND epoch = ? AND why = ?",
            (*key, ACKED_EARLIER),
        ).fetchone()
        if assumed[0] is None:
            return 0, 0
        settled = self.db.execute(
            "SELECT seq, seq FROM records WHERE charger = ? AND epoch = ? AND seq BETWEEN ? AND ?"
            " UNION ALL SELECT first, last FROM lost WHERE charger = ? AND epoch = ? AND why != ?"
            " ORDER BY 1",
            (*key, *assumed, *key, ACKED_EARLIER),
        ).fetchall()
        at, end = assumed
        first = count = 0
        for begins, ends in [*map(tuple, settled), (end + 1, end + 1)]:
            missing = min(begins, end + 1) - at
            if missing > 0:
                first = first or at
                count += missing
            at = max(at, ends + 1)
        return first, count

    def see_epoch(self, charger: str, before: int | None, epoch: int, now_s: float) -> str:
        """Note that the charger counts in `epoch`, and in `before` until now: "", "new", "back".

        "new": another one than before (a reformatted journal); "back": it had been left already
        (two chargers with one id, or an old copy of a journal).
        """
        added = self.db.execute(
            "INSERT INTO epochs(charger, epoch, first_s, seen_s) VALUES(?,?,?,?)"
            " ON CONFLICT DO NOTHING",
            (charger, epoch, now_s, now_s),
        ).rowcount
        what = "" if before in (None, epoch) else "new" if added else "back"
        if not added:
            self.db.execute(
                "UPDATE epochs SET seen_s = max(seen_s, ?), returns = returns + ?"
                " WHERE charger = ? AND epoch = ?",
                (now_s, what == "back", charger, epoch),
            )
        return what

    def reach(self, charger: str, epoch: int, last_seq: int) -> None:
        """Note that the charger has given the number `last_seq`."""
        self.db.execute(
            "UPDATE epochs SET last_seq = ? WHERE charger = ? AND epoch = ? AND last_seq < ?",
            (last_seq, charger, epoch, last_seq),
        )

    def through(self, charger: str, epoch: int) -> int:
        """The last number up to which nothing is missing, as it was last advanced."""
        row = self.db.execute(
            "SELECT through FROM epochs WHERE charger = ? AND epoch = ?", (charger, epoch)
        ).fetchone()
        return row[0] if row else 0

    def advance(self, charger: str, epoch: int) -> int:
        """Move `through` over what has come since, and return it; within a transaction."""
        key = (charger, epoch)
        before = through = self.through(charger, epoch)
        while True:
            start = through
            row = self.db.execute(
                "SELECT max(last) FROM lost WHERE charger = ? AND epoch = ? AND first <= ?",
                (*key, through + 1),
            ).fetchone()
            through = max(through, row[0] or 0)
            for row in self.db.execute(
                "SELECT seq FROM records WHERE charger = ? AND epoch = ? AND seq > ? ORDER BY seq",
                (*key, through),
            ):
                if row[0] != through + 1:
                    break
                through += 1
            if through == start:
                break
        if through != before:
            self.db.execute(
                "UPDATE epochs SET through = ? WHERE charger = ? AND epoch = ?", (through, *key)
            )
        return through

    # Chargers

    def chargers(self) -> list[sqlite3.Row]:
        """Every charger that was ever heard, with the numbers of its present epoch."""
        return self.db.execute(
            "SELECT chargers.*, through, last_seq FROM chargers LEFT JOIN epochs"
            " ON epochs.charger = chargers.id AND epochs.epoch = chargers.epoch ORDER BY id"
        ).fetchall()

    def save_charger(self, **columns: Any) -> None:
        """Write these columns of the charger `id`."""
        names = list(columns)
        self.db.execute(
            f"INSERT INTO chargers({', '.join(names)}) VALUES({', '.join('?' * len(names))})"
            f" ON CONFLICT(id) DO UPDATE SET {', '.join(f'{n} = excluded.{n}' for n in names)}",
            list(columns.values()),
        )

    def has_charger(self, charger: str) -> bool:
        found = self.db.execute("SELECT 1 FROM chargers WHERE id = ?", (charger,)).fetchone()
        return found is not None

    # Settings: what the commands tell `serve`, and what it tells them

    def settings(self) -> dict[str, Any]:
        """All settings, by name."""
        rows = self.db.execute("SELECT name, value FROM settings")
        return {name: json.loads(value) for name, value in rows}

    def put(self, **values: Any) -> None:
        """Write settings; None removes one."""
        for name, value in values.items():
            if value is None:
                self.db.execute("DELETE FROM settings WHERE name = ?", (name,))
            else:
                self.db.execute(
                    "INSERT INTO settings VALUES(?,?)"
                    " ON CONFLICT(name) DO UPDATE SET value = excluded.value",
                    (name, json.dumps(value)),
                )

    def ask(self, **values: Any) -> int:
        """Write settings for `serve` to apply; the number under which it says that it has."""
        with self.transaction():
            revision = self.settings().get("revision", 0) + 1
            self.put(revision=revision, **values)
        return revision

    def changes(self) -> int:
        """Another number when another process has written."""
        return self.db.execute("PRAGMA data_version").fetchone()[0]

    # Keys

    def accepts(self, uid: str, now_s: float) -> bool:
        """Whether the key may charge now."""
        row = self.db.execute("SELECT expires, blocked FROM keys WHERE uid = ?", (uid,)).fetchone()
        if row is None or row["blocked"]:
            return False
        return row["expires"] is None or messages.utc_text(now_s)[:10] < row["expires"]
