"""Who may charge: the table of every case, the edges over time, and what a decision costs.

For each there are builds that are broken on purpose, so that we know that it would be seen.
"""

import pytest
from conftest import DEVICE_SCRIPTS, Interpreter
from test_charging_sweep import break_firmware

TABLE = DEVICE_SCRIPTS / "access_decision_table.txt"
SEQUENCES = "access_authorization_sequences.py"
AUTHORIZATION = "access/authorization.py"

# (who sees it: None is the table, else the sequence; file, text, its broken replacement)
BROKEN = {
    "refused-key-permitted": (
        None,
        "access/decision.py",
        "        if listed == KNOWN:",
        "        if listed == KNOWN or listed == EXPIRED:",
    ),
    "offline-on-purpose-ignored": (
        None,
        "access/decision.py",
        "case.mode == ONLINE and",
        "case.mode != OFFLINE and",
    ),
    "silent-cloud-decides": (
        None,
        "access/decision.py",
        " and not (case.online_who == CLOUD and case.answer == SILENT)",
        "",
    ),
    "schedule-put-on-a-running-session": (
        None,
        "access/decision.py",
        "scheduled = scheduled and case.began_scheduled",
        "pass",
    ),
    "unknown-clock-closes": (
        None,
        "access/decision.py",
        "        if case.waits_for_clock:",
        "        if not case.waits_for_clock:",
    ),
    "another-key-stops": (
        "another_key_does_not_stop",
        AUTHORIZATION,
        "same = self.uid == self.owner_uid",
        "same = True",
    ),
    "longer-number-of-the-same-bytes-stops": (
        "another_key_does_not_stop",
        AUTHORIZATION,
        " and self.length == self.owner_length",
        "",
    ),
    "no-parent-is-a-common-parent": (
        "keys_without_a_parent_have_no_common_owner",
        AUTHORIZATION,
        "(self.owner_parent and self._parent",
        "(self._parent",
    ),
    "key-survives-unplugging": (
        "a_key_is_for_one_car",
        AUTHORIZATION,
        "session == NO_CAR or session == FINISHED",
        "session == FINISHED",
    ),
    "resume-with-another-car": (
        "not_resumed_without_the_car",
        AUTHORIZATION,
        "session == NO_CAR or session == FINISHED",
        "session == FINISHED",
    ),
    "key-survives-the-stop": (
        "unlocked_while_a_key_is_held",
        AUTHORIZATION,
        "session == NO_CAR or session == FINISHED",
        "session == NO_CAR",
    ),
    "tap-held-for-ever": (
        "tap_before_plugging",
        AUTHORIZATION,
        "self._hold_ms = max(0, self._hold_ms - dt_ms)",
        "pass",
    ),
    "tap-prolongs-the-owners-word": (
        "the_owners_word_is_held_as_long_as_a_tap",
        AUTHORIZATION,
        "        if not self.owner_started:\n            self._hold_ms = 0\n",
        "        self._hold_ms = 0\n",
    ),
    "answer-to-another-question": (
        "another_card_while_the_cloud_is_asked",
        AUTHORIZATION,
        " or ask_number != self.ask_number",
        "",
    ),
    "impatience-asks-anew": (
        "the_same_card_while_the_cloud_is_asked",
        AUTHORIZATION,
        "if self.answer == ASKED and length",
        "if self.answer == SILENT and length",
    ),
    "recheck-lost": (
        "a_tap_does_not_save_a_session",
        AUTHORIZATION,
        "            self._recheck_due = True  # after this tap\n",
        "            pass\n",
    ),
    "recheck-at-every-start": (
        "rechecked_only_on_the_way_back",
        AUTHORIZATION,
        "back = self.mode == ONLINE and session == RUNNING",
        "back = self.mode == ONLINE",
    ),
    "lease-never-ends": (
        "lease_limits_and_ends",
        AUTHORIZATION,
        "self._lease_ms = max(0, self._lease_ms - dt_ms)",
        "pass",
    ),
    "lease-holds-offline": (
        "lease_when_going_offline",
        AUTHORIZATION,
        "if self.mode != ONLINE:",
        "if False:",
    ),
    "clock-set-back-is-not-noticed": (
        "clock_jumps",
        "access/schedule.py",
        "not self._from_s <= utc_s < self._until_s",
        "utc_s >= self._until_s",
    ),
    "permit-ignored": (
        "window_ends_and_begins",
        "charging/controller.py",
        "            and permit.allowed\n",
        "",
    ),
    "window-ends-the-session": (
        "window_ends_and_begins",
        "access/authorization.py",
        "        decide(self, permit)\n",
        "        decide(self, permit)\n"
        "        if session == RUNNING and not permit.allowed:\n"
        "            self.stop_asked = 'Other'\n",
    ),
    "no-delay-at-the-start": (
        "delay_at_the_start",
        AUTHORIZATION,
        "            permit.allowed = False  # the session's first current waits for its delay\n"
        "            self._open = False\n",
        "            self._open = True\n",
    ),
    "start-does-not-try-again": (
        "start_in_a_session_tries_again",
        AUTHORIZATION,
        "        self.start_asked = True  # in a session",
        "        self.start_asked = self.session != RUNNING  # in a session",
    ),
}


def test_every_case_of_the_table(interpreter):
    done = interpreter.run("access_decision_check.py", TABLE)
    print(interpreter.name, done.stdout)
    assert "518400 cells" in done.stdout


@pytest.mark.parametrize("how", ["not covered", "covered twice", "another answer"])
def test_the_table_is_complete_and_says_one_thing(tmp_path, how):
    """The check itself: a row taken away, a row too many, a wrong one."""
    lines = TABLE.read_text().splitlines(keepends=True)
    rows = [i for i, line in enumerate(lines) if line.strip() and not line.startswith("#")]
    middle = rows[len(rows) // 2]
    if how == "not covered":
        del lines[middle]
    elif how == "covered twice":
        lines.insert(middle, lines[middle])
    else:
        assert "WaitsForKey" in "".join(lines)
        lines = [line.replace("WaitsForKey", "ChecksKey") for line in lines]
    (tmp_path / "table.txt").write_text("".join(lines))
    with pytest.raises(AssertionError) as failure:
        Interpreter("packaged").run("access_decision_check.py", tmp_path / "table.txt")
    expected = {"not covered": "no row -", "covered twice": "rows ", "another answer": "but "}
    assert expected[how] in str(failure.value)


def test_edges_over_time(interpreter):
    print(interpreter.run(SEQUENCES).stdout)


def test_a_decision_allocates_nothing(interpreter):
    assert "0 bytes" in interpreter.run("access_authorization_allocation.py").stdout


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_build_is_seen(tmp_path, broken):
    sequence, file, good, bad = BROKEN[broken]
    break_firmware(tmp_path, file, (good, bad))
    interpreter = Interpreter("packaged")
    with pytest.raises(AssertionError) as failure:
        if sequence is None:
            interpreter.run("access_decision_check.py", TABLE, path=[tmp_path])
        else:
            interpreter.run(SEQUENCES, sequence, path=[tmp_path])
    assert ("row " if sequence is None else sequence + ":") in str(failure.value)
