"""What is flashed is the source, only smaller: tools/shrink and tools/firmware_files.

Small programs that are hostile to the step run before and after it, under both interpreters, and
must say the same; so must random ones. The firmware itself, as it is flashed, goes through the
device scripts that its source goes through.
"""

import ast
import os
import random
import re
import shutil
import subprocess
import sys
import textwrap
import types

import pytest
from conftest import DEVICE_SCRIPTS, ROOT

from tools import firmware_files, shrink
from tools.shrink.program import identifiers
from tools.virtual.process import interpreter_version

FAKES = ROOT / "tools" / "virtual" / "board"
PROGRAMS = 100  # random ones

# Each starts a file with "# path"; main.py runs. The names behind "# gone:" are in no file any more
# afterwards, those behind "# kept:" still are. The modules behind "# joined:" become one, which is
# the first of them.
HOSTILE = {
    "modules become one, whatever has the same name in them": """
        # firmware/ticks.py
        import time
        STEPS = [1]
        _kept = "ticks"
        LAST = []
        for LAST in ([4], [5]):
            pass
        def diff(a, b):
            return a - b
        def text(n):
            return _kept + str(n)
        # firmware/lock.py
        import sys as time
        from firmware import ticks
        from firmware.ticks import LAST as latest, STEPS as ALL
        STEPS = [2]
        LAST = [3]
        _kept = "lock"
        def text():
            text = ticks.text(7)
            return text, _kept, ALL, STEPS, LAST, latest
        def change():
            global _kept
            _kept = "changed"
            return time.__name__
        class Bolt:
            text = "bolt"
            def step(self, diff=3):
                return ticks.diff(diff, 1), self.text, text()
        # firmware/charge.py
        from firmware import lock as cable_lock, ticks
        from firmware.lock import Bolt, text as told
        def _kept():
            from firmware.ticks import diff as apart
            return apart(9, 4)
        def open(text):
            return [text for text in (text, told(), _kept())], len(sum)
        sum = "not the built-in"
        # firmware/other.py
        from firmware.ticks import diff, text
        from firmware import ticks as t, lock
        # main.py
        from firmware import charge, other
        from firmware.lock import Bolt, change
        from firmware.ticks import text
        print(charge.open(1), Bolt().step(), change(), charge.Bolt.text, text(3))
        print(other.diff(3, 1), other.t.diff(5, 1), other.text(0), other.lock.text(), change())
        print(sum([1, 2]), other.t.STEPS, other.lock.STEPS, charge.sum)
        # joined: firmware.charge firmware.ticks firmware.lock
        # gone: cable_lock told apart latest
        """,
    "numbers come from other modules, in every way": """
        # firmware/a.py
        from micropython import const
        NEAR = const(1)
        FAR = const(NEAR << 20 | 7)
        LOW = const(-FAR)
        COUNT = 12
        # firmware/b.py
        from firmware.a import FAR as DISTANT
        from firmware import a
        WIDE = DISTANT + a.NEAR
        MIX = ((a.NEAR | 6) ^ 5) + (255 & ~8) * 3 - (99 % 10 << 2) // 5 + (1024 >> 3) - +a.COUNT
        _HERE = a.LOW // 2
        def told():
            return _HERE, WIDE, f"{WIDE} {_HERE:5d} {a.COUNT!r}"
        # main.py
        from firmware import a as first, b
        from firmware.b import WIDE, DISTANT, told
        def inside():
            from firmware.a import FAR, COUNT as N
            return FAR * N, -FAR, FAR.to_bytes(4, "little"), first.LOW - -FAR
        print(told(), WIDE, DISTANT, b.WIDE, b.MIX, first.COUNT, inside())
        print(first.LOW ** 2, -first.LOW)
        # gone: NEAR FAR LOW COUNT DISTANT WIDE MIX _HERE const N
        """,
    "a module that is asked for numbers only, and for itself": """
        # firmware/a.py
        NEAR = 1
        def plain():
            return "plain"
        # firmware/b.py
        from firmware import a
        far = a.NEAR + 1
        # firmware/c.py
        from firmware import a as inner
        far = inner.NEAR + 2
        # firmware/d.py
        from firmware import a
        far = a.NEAR + 3
        # main.py
        from firmware import b, c, d
        from firmware.b import a as again
        print(again.plain(), c.inner.plain(), b.far, c.far, d.far)
        # gone: NEAR
        """,
    "a name that shadows a number is another name": """
        # firmware/a.py
        A = 1
        B = 2
        C = 3
        D = 4
        E = 5
        F = 6
        G = 7
        H = 8
        # main.py
        from firmware.a import A, B, C, D, E, F, G, H
        def local():
            A = "local"
            return A, B
        def argument(A, B=B, *C, D=D, **E):
            return A, B, C, D, E
        def loop():
            for C in "x":
                pass
            return C, [D for D in "y"], {E: E for E in "z"}, [F for G in (F,) for F in (G, H)]
        def caught():
            try:
                raise ValueError("oh")
            except ValueError as F:
                return str(F), G
        def closure():
            G = ["free"]
            def inner():
                nonlocal G
                G = G + [H]
                return G
            return inner()
        def walrus():
            return [(H := n) for n in (1, 2)], H
        def later():
            try:
                return E
            except NameError:
                return "not yet"
            E = 0
        def own():
            def A():
                return B
            class C:
                D = E
            import sys as F
            return A(), C.D, F.__name__
        print(local(), argument(9), argument(8, 7, 6, D=5, F=4), loop(), caught(), closure())
        print(walrus(), later(), own(), (lambda A, D=C: (A, D))(A), A, B, C, D, E, F, G, H)
        """,
    "a number that is bound again is none": """
        # firmware/a.py
        TWICE = 1
        TWICE = 2
        ADDED = 1
        ADDED += 1
        GLOBAL = 1
        SET = 1
        GONE = 1
        LOOP = 1
        for LOOP in (5, 6):
            pass
        if TWICE == 2:
            BRANCH = 1
        else:
            BRANCH = 2
        BRANCHED = 1
        if TWICE == 2:
            BRANCHED = 7
        PAIR, OTHER = 1, 2
        ONE = ALSO = 3
        FETCHED = 4
        NESTED = 5
        def change():
            global GLOBAL
            GLOBAL = 5
        # main.py
        from firmware import a
        from firmware.a import GLOBAL, SET, BRANCHED
        a.change()
        a.SET = 9
        del a.GONE
        SET = SET + 100
        print(a.TWICE, a.ADDED, a.GLOBAL, GLOBAL, a.SET, SET, hasattr(a, "GONE"), a.LOOP, a.BRANCH)
        print(a.BRANCHED, BRANCHED, a.PAIR, a.OTHER, a.ONE, a.ALSO)
        def fetch():
            global FETCHED
            from firmware.a import FETCHED
        def nest():
            def inner():
                nonlocal NESTED
                NESTED = 50
            from firmware.a import NESTED
            inner()
            return NESTED
        try:
            print(FETCHED)
        except NameError:
            print("not fetched")
        fetch()
        print(FETCHED, nest())
        # kept: TWICE ADDED GLOBAL SET LOOP BRANCH BRANCHED PAIR OTHER ONE ALSO FETCHED NESTED
        """,
    "a number that somebody asks for at run time stays": """
        # firmware/a.py
        from micropython import const
        TEXT = 1
        PROMISED = const(2)
        LOOSE = 3
        SLOT = const(4)
        UNSPOKEN = 5
        # main.py
        import sys
        from firmware import a
        from firmware.a import PROMISED
        def other():
            return __import__("firmware.a", None, None, ("x",))
        class Slots:
            pass
        slots = Slots()
        slots.SLOT = "mine"
        setattr(a, "TEXT", 10)
        print(getattr(a, "TEXT"), a.TEXT, getattr(other(), "PROMISED"), other().LOOSE, PROMISED)
        print(slots.SLOT, a.SLOT, sys.modules["firmware.a"].LOOSE, a.UNSPOKEN)
        # kept: TEXT PROMISED LOOSE SLOT
        # gone: UNSPOKEN
        """,
    "no number is made that a small integer does not hold": """
        # firmware/a.py
        from micropython import const
        MOST = const((1 << 30) - 1)
        MORE = const(1 << 30)
        LEAST = const(-(1 << 30))
        LESS = const(LEAST - 1)
        HUGE = const(1 << 100)
        HALF = 7 / 2
        YES = True
        PARITY = MORE % 2
        # main.py
        from firmware.a import MOST, MORE, LEAST, LESS, HUGE, HALF, YES, PARITY
        print(MOST, MORE, LEAST, LESS, HUGE, HALF, YES, PARITY)
        # gone: MOST LEAST
        # kept: MORE LESS HUGE HALF YES
        """,
    "imports that cannot go stay, and so does what they take": """
        # firmware/a.py
        ONE = 1
        TWO = 2
        THREE = 3
        FOUR = 4
        FIVE = 5
        SIX = 6
        # firmware/b.py
        from firmware.a import FIVE
        from firmware.a import FOUR as SHOWN
        # main.py
        try:
            from firmware.a import ONE
        except ImportError:
            ONE = 0
        class Holder:
            from firmware.a import TWO
            three = 0
        def inside():
            try:
                pass
            finally:
                from firmware.a import THREE
            return THREE
        def spoken():
            from firmware.a import THREE as SPOKEN
            return SPOKEN, "SPOKEN"
        from firmware import b
        from firmware.a import SIX
        SIX = SIX + 1
        print(ONE, Holder.TWO, inside(), spoken(), getattr(b, "SHOWN"), b.SHOWN, b.FIVE, SIX)
        # kept: ONE TWO SHOWN SIX
        # gone: FIVE
        """,
    "classes with names of numbers": """
        # firmware/a.py
        SIZE = 1
        WIDTH = 2
        DEPTH = 3
        LENGTH = 4
        # main.py
        from firmware.a import SIZE, WIDTH, DEPTH, LENGTH
        class Box:
            SIZE = SIZE
            LENGTH = LENGTH + 1
            double = LENGTH * 2
            def width(self, most=WIDTH):
                return SIZE, most, LENGTH
            class Inner:
                depth = DEPTH
        box = Box()
        box.WIDTH = 20
        print(Box.SIZE, Box.double, box.width(), box.WIDTH, Box.Inner.depth)
        """,
    "one private name in unrelated classes, and one object that has both": """
        # firmware/a.py
        class Lock:
            _opened = 0
            def __init__(self):
                self._phase = "a"
                self._count = 1
            def step(self):
                self._count += 1
                Lock._opened += 1
                return self._phase, self._count, self._opened
        # firmware/b.py
        class Meter:
            def __init__(self, lock):
                self._count = 100
                self._lock = lock
                self._phase = "b"
            def step(self):
                self._count -= 1
                return self._lock.step(), self._phase, self._count
        # main.py
        from firmware.a import Lock
        from firmware.b import Meter
        lock = Lock()
        meter = Meter(lock)
        print(meter.step(), meter.step(), lock.step())
        # gone: _phase _count _lock
        # kept: _opened
        """,
    "private names of relatives never become one": """
        # firmware/a.py
        class Base:
            def __init__(self):
                self._zone = 1
                self._alpha = 2
        # firmware/b.py
        from firmware import a
        class Middle(a.Base):
            def __init__(self):
                super().__init__()
                self._middle = 10
                self._beta = 20
            def sum(self):
                return self._zone, self._alpha, self._middle, self._beta
        # firmware/c.py
        from firmware.b import Middle as Parent
        class Leaf(Parent):
            _gamma = 7
            def __init__(self):
                super().__init__()
                self._delta = 100
            def all(self):
                return self.sum(), self._delta, self._gamma, self._alpha
        # main.py
        from firmware.c import Leaf
        leaf = Leaf()
        print(leaf.all(), len(leaf.__dict__))
        # gone: _zone _alpha _middle _beta _delta _gamma
        """,
    "relatives by another name": """
        # firmware/a.py
        class Base:
            def __init__(self):
                self._inner = 1
                self._other = 2
                self._own = 3
            def look(self):
                return self._inner, self._other, self._own
        # firmware/b.py
        from firmware import a
        Alias = a.Base
        class Child(Alias):
            def __init__(self):
                super().__init__()
                self._early = 5
                self._inner = 6
        # firmware/c.py
        from firmware.a import Base
        def pick():
            return Base
        class Other(pick()):
            def change(self):
                self._other = 9
        # main.py
        from firmware.b import Child
        from firmware.c import Other
        other = Other()
        other.change()
        print(Child().look(), other.look(), len(Child().__dict__))
        # kept: _inner _other _early
        # gone: _own
        """,
    "private names that others speak": """
        # firmware/a.py
        _shared = {"n": 1}
        _taken = {"n": 2}
        _hidden = 3.5
        class Task:
            def __init__(self, other):
                self._aside = 0
                self._running = 1
                self._secret = 2
                self._asked = 3
                self._named = 4
                self._plain = 5
                self._freed = 6
                self._swapped = 7
                self._peeked = 8
                if other:
                    other._running = 11
            def told(self, name):
                return getattr(self, name), self._asked, self._named, self._plain
            @property
            def value(self):
                return self._secret
            @staticmethod
            def of(self):
                return self._named
            def renamed(this):
                return this._plain
            def given(self, _given=1):
                return _given
            def delegate(self):
                def inner(self):
                    return self._asked
                return inner(self), [self._plain for _ in range(2)], (lambda: self._plain)()
        # main.py
        from firmware.a import _shared, _taken as taken, Task
        from firmware import a
        class Other:
            def __init__(self):
                self._first = 100
                self._second = 200
            def peek(self, task):
                return task._peeked, self._first
            def swap(self, task):
                self = task
                return self._swapped
        def free(self):
            return self._freed, self._running
        one = Task(None)
        two = Task(one)
        other = Other()
        print(free(one), two.told("_asked"), one.value, Task.of(two), two.renamed(), _shared)
        print(one.given(_given=3), two.delegate(), hasattr(one, "_aside"), a._hidden, taken)
        print(other.peek(one), other.swap(two), len(one.__dict__))
        # kept: _running _secret _asked _named _given _shared _taken _hidden _freed _aside
        # gone: _plain _first _second
        """,
    "private variables of a module, and locals of their name": """
        # firmware/a.py
        _said = ("", 0)
        _table = {"a": 1}
        _rows = [1, 2]
        def say(word):
            global _said
            _said = (word, _said[1] + 1)
            return _said
        def hide(_said, *_rows, **_table):
            return _said, _rows, _table
        def nest():
            _said = [1]
            def inner():
                nonlocal _said
                _said = _said + _rows
                return _said
            return inner(), [_rows for _rows in "xy"], _table
        def reach():
            _said = "local"
            def inner():
                global _said
                return _said
            return inner(), _said
        class Holder:
            _table = {"b": 2}
            rows = _rows
            def get(self):
                return self._table, _table, self.rows
        # main.py
        from firmware.a import say, hide, nest, reach, Holder
        print(reach(), say("x"), say("y"), hide(1, 2, z=3), nest(), Holder().get())
        """,
    "a private name that is a method somewhere": """
        # firmware/a.py
        class A:
            def _open(self):
                return "method"
            def go(self):
                return self._open()
        # firmware/b.py
        from firmware.a import A
        class B:
            def __init__(self):
                self._open = "value"
                self._a = 1
                self._b = 2
                self._later = 3
            def go(self):
                return self._open, self._a, self._b, self._later
        # main.py
        from firmware.a import A
        from firmware.b import B
        print(A().go(), B().go())
        # kept: _a _b
        # gone: _open _later
        """,
    "values of objects, class by class": """
        # firmware/a.py
        _limit = 5
        class Base:
            def __init__(self):
                self._often = 1
                self._once = 2
            def look(self):
                return self._often + self._often + self._once
        class Child(Base):
            def __init__(self):
                super().__init__()
                self._mine = 3
            def look(self):
                return super().look(), self._mine, self._mine, self._often
        class Stranger:
            top = _limit
            def __init__(self, other):
                self._other = other
                self._seldom = 7
                self._often = 8
            def _step(self):
                return self._often, self._other.look(), self._seldom, _limit
            def look(self):
                def inner():
                    return self._step(), self._often
                return inner()
        # main.py
        from firmware.a import Child, Stranger
        child = Child()
        stranger = Stranger(child)
        print(child.look(), stranger.look(), len(child.__dict__), len(stranger.__dict__))
        # gone: _often _once _mine _other _seldom _step _limit
        """,
    "classes lose nothing that can be seen": """
        # firmware/a.py
        class Empty:
            pass
        class Told:
            "A docstring alone."
        class BadKey(ValueError):
            def __init__(self, field):
                super().__init__(field + " is wrong")
                self.field = field
        class Pair(tuple):
            def sum(self):
                return self[0] + self[1]
        def make():
            class Local(Told):
                "Of a function."
                size = 3
            return Local()
        # main.py
        from firmware.a import Empty, Told, BadKey, Pair, make
        print(type(Empty()).__name__, isinstance(make(), Told), make().size, Pair((3, 4)).sum())
        try:
            raise BadKey("uid")
        except ValueError as e:
            print(e, e.field, type(e).__name__)
        """,
    "what is called with stars": """
        # firmware/a.py
        from micropython import const
        FEW = const(2)
        _BASE = const(40)
        def count(first, *rest, scale=FEW, **named):
            return first * scale + len(rest), sorted(named.items())
        class Counter:
            def __init__(self, *args, **kwargs):
                self._args = args
                self._kwargs = kwargs
            def go(self, function):
                return function(*self._args, **self._kwargs)
        async def later(n, most=FEW):
            return n + most + _BASE
        def steps(n=FEW):
            for i in range(n):
                yield i + _BASE
            return _BASE
        # main.py
        from firmware.a import Counter, count, later, steps
        print(Counter(1, 2, 3, scale=5, other=6).go(count), count(3), list(steps()))
        coroutine = later(1)
        try:
            coroutine.send(None)
        except StopIteration as e:
            print(e.value)
        # gone: FEW _BASE _args _kwargs
        """,
}


def parts(example):
    """(sources, joined modules, what must be gone, what must be kept) of an example."""
    text = textwrap.dedent(example)
    told = dict(re.findall(r"^# (gone|kept|joined): (.*)$", text, re.M))
    files = re.split(r"(?m)^# (\S+\.py)\n", re.sub(r"(?m)^# (gone|kept|joined): .*\n", "", text))
    sources = dict(zip(files[1::2], files[2::2], strict=True))
    stays, *others = told.get("joined", "").split() or [""]
    joined = {stays: others} if stays else {}
    return sources, joined, told.get("gone", "").split(), told.get("kept", "").split()


def write(folder, sources):
    for path, text in sources.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_program_says_the_same(interpreter, tmp_path, name):
    sources, joined, gone, kept = parts(HOSTILE[name])
    made = shrink.shrink(sources, (), joined)
    assert made == shrink.shrink(dict(reversed(sources.items())), (), joined)
    said = []
    for folder, texts in (("before", sources), ("after", made)):
        write(tmp_path / folder, texts)
        done = subprocess.run(
            [interpreter.binary, "main.py"],
            cwd=tmp_path / folder,
            env={**os.environ, "MICROPYPATH": f"{tmp_path / folder}:.frozen"},
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert done.returncode == 0, done.stderr + "\n".join(texts.values())
        said.append(done.stdout)
    assert said[1] == said[0] != "", "\n".join(made.values())
    left = set().union(*(identifiers(ast.walk(ast.parse(text))) for text in made.values()))
    assert not left & set(gone) and left >= set(kept), "\n".join(made.values())


def test_what_another_program_speaks_of_stays():
    source = "A = 1\nB = 2\n_asked = [3]\n_other = [4]\nprint(A, B, _asked, _other)\n"
    speaker = "from firmware.a import A\nprint(A, firmware._asked)\n"
    (made,) = shrink.shrink({"firmware/a.py": source}, [speaker]).values()
    assert identifiers(ast.walk(ast.parse(made))) == {"A", "_asked", "_a", "print"}


# -------------------------------------------------------------------------------- random programs

WORDS = ("A", "B", "C", "_a", "_low", "_top", "x", "y")


class Author:
    """Writes programs of three modules out of few names, so that everything shadows everything."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def one(self, *several):
        return self.random.choice(several)

    def word(self):
        return self.one(*WORDS)

    def target(self):
        """A word to be bound: seldom one of those that are numbers."""
        return self.word() if self.random.randrange(4) == 0 else self.one(*WORDS[3:])

    def value(self, others):
        a, b, c, n = self.word(), self.word(), self.word(), self.random.randrange(-5, 100)
        values = [str(n), a, b, f"{a} {self.one('+', '-', '<', '&')} {self.one(n, b)}"]
        if others:
            values.append(self.one(*others) + "." + a)
        if self.random.randrange(8) == 0:
            values = [repr(a), f"f'{{{a}}} {{{b}!r:4}}'", f"[{a} for {b} in ({c}, {n})]"]
            values.append(f"(lambda {a}, {b}={c}: {a})({n})")
        return self.one(*values)

    def statements(self, others, inside, depth):
        lines = []
        for _ in range(self.random.randrange(1, 5)):
            a, b, value = self.target(), self.word(), self.value(others)
            choices = [
                [f"{a} = {value}"],
                [f"note({value})"],
                [f"note({b})"],
                [f"{a} += 1"],
                [f"for {a} in (1, 2):", f"    note({value})"],
                [f"note(({a} := {value}))"],
            ]
            if inside == "method":
                choices += [[f"self.{a} = {value}", f"note(self.{b})"], [f"note(self.{b})"]] * 2
                choices += [[f"other.{a} = {value}"], [f"note(getattr(self, {a!r}))"]]
            lines += self.one(*choices)
        for _ in range(self.random.randrange(2) if depth else 0):
            lines += self.definition(others, depth - 1)
        return lines

    def definition(self, others, depth):
        name = self.one("f", "g", self.target())
        if self.random.randrange(2):
            base = self.one("", "(Base)", f"({self.one('a', 'b')}.Base)")
            lines = [f"class {name}{base}:"]
            lines += [
                f"    {self.word()} = {self.value(others)}" for _ in self.one("", "12", "123")
            ]
            for method in ("go", "run"):
                lines += [f"    def {method}(self, other, {self.word()}=2):"]
                lines += ["        " + line for line in self.statements(others, "method", 0)]
            lines += [f"its = {name}()"]
            for method in ("go", "run"):
                lines += attempt([f"its.{method}(Base())", f"its.{method}(its)"])
            return attempt([*lines, "note(sorted(its.__dict__.values(), key=str))"])
        arguments = self.one("", self.target() + "=1", "*" + self.target())
        lines = [f"def {name}({arguments}):"]
        declared = self.target()
        if self.random.randrange(3) == 0 and declared not in arguments:
            lines.append(f"    global {declared}")
        lines += ["    " + line for line in self.imports(others)]
        lines += ["    " + line for line in self.statements(others, "function", depth)]
        return [*lines, *attempt([f"{name}()"])]

    def imports(self, others):
        """At the start of their scope: nothing is promised to who reads a name before that."""
        lines = []
        for other in others:
            if self.random.randrange(2):
                taken = f"from firmware.{other} import {self.word()}"
                lines += self.one([taken], [f"{taken} as {self.word()}"], attempt([taken]))
        return lines

    def module(self, others):
        lines = ["from notes import note", *(f"from firmware import {other}" for other in others)]
        lines += ["class Base:", "    _low = 1", "    def __init__(self):", "        self._top = 3"]
        for word in self.random.sample(WORDS, 5):
            lines.append(f"{word} = {self.random.randrange(90)}")
        lines += self.imports(others)
        for _ in range(self.random.randrange(1, 4)):
            lines += attempt(self.statements(others, "", 2))
        return "\n".join(lines) + "\n"

    def program(self):
        return {
            "firmware/a.py": self.module([]),
            "firmware/b.py": self.module(["a"]),
            "main.py": self.module(["a", "b"]),
        }


def attempt(lines):
    return ["try:", *("    " + line for line in lines), "except Exception as e:", "    note(e)"]


def run_here(sources):
    """What a program tells `note` when CPython runs it; None if it is no valid program."""
    said = []

    def note(what):
        # No more than the kind of an error: its text may hold a private name.
        if isinstance(what, list):
            said.append([type(one).__name__ for one in what])
        elif isinstance(what, str):
            said.append(re.sub(r"(<(?:function|class) )(?:<locals>|[^<>])*>", r"\1>", what))
        else:
            said.append(what if isinstance(what, int) else type(what).__name__)

    package = types.ModuleType("firmware")
    package.__path__ = []
    notes = types.ModuleType("notes")
    notes.note = note
    mine = {"firmware": package, "notes": notes}
    others = {name: sys.modules.pop(name) for name in [*sys.modules] if name.startswith("firmware")}
    sys.modules.update(mine)
    try:
        for path, text in sources.items():
            module = types.ModuleType(path[:-3].replace("/", "."))
            sys.modules[module.__name__] = module
            setattr(package, path[-4], module)
            exec(compile(text, path, "exec"), module.__dict__)
    except (SyntaxError, ImportError):
        return None
    finally:
        for name in [*mine, "firmware.a", "firmware.b", "main"]:
            sys.modules.pop(name, None)
        sys.modules.update(others)
    return said


def test_two_values_at_once_need_no_tuple():
    """With brackets around them MicroPython would make one, in every tick."""
    made = shrink.shrink({"firmware/a.py": "def f(x, y):\n    a, b = x, y\n    return a + b\n"})
    assert " a, b = " in made["firmware/a.py"] and "(" not in made["firmware/a.py"].split("=")[1]


def test_values_of_unrelated_classes_share_their_names():
    classes = "".join(
        f"class C{n}:\n    def __init__(self):\n        self._first{n} = self._second{n} = {n}\n"
        f"    def _go{n}(self):\n        return self._second{n}\n"
        for n in range(9)
    )
    short = shrink.short_names({"firmware/a.py": classes})["firmware/a.py"]
    for n in range(9):
        assert short[f"C{n}._second{n}"] == "_a" and short[f"C{n}._first{n}"] == "_b"
    # A traceback names these: each has a name of its own.
    assert len({short[f"_go{n}"] for n in range(9)} | {"_a", "_b"}) == 11


def test_what_a_large_module_says_most_often_takes_least():
    """In front of 200 other names or behind them, it is the same size then."""
    others = "".join(f"def name{n}(x):\n    return x.other{n}\n" for n in range(200))
    often = "def f(x):\n" + "    x.often.rather()\n" * 200
    sizes = []
    for text in (often + others, others + often):
        made = shrink.shrink({"firmware/a.py": text})["firmware/a.py"]
        sizes.append(
            [len(firmware_files.compile_file(t.encode(), "a", (1, 25))) for t in (text, made)]
        )
    first, last = sizes
    assert last[0] > first[0] + 300, sizes  # two names, 200 times each
    assert abs(last[1] - first[1]) < 20 and last[1] < last[0], sizes


def test_random_programs_say_the_same():
    seed = int(os.environ.get("SEED") or random.randrange(1 << 30))
    author = Author(seed)
    programs = numbers = names = joined = 0
    while programs < PROGRAMS:
        sources = author.program()
        said = run_here(sources)
        if said is None:
            continue
        programs += 1
        made = shrink.shrink(sources)
        told = "".join(f"# {path}\n{sources[path]}\n# becomes\n{made[path]}" for path in made)
        assert run_here(made) == said, f"{told}\nSEED={seed}, program {programs}"
        try:
            one = shrink.shrink(sources, (), {"firmware.b": ("firmware.a",)})
        except shrink.RefusedError:
            pass
        else:
            if "ImportError" in str(said):
                continue  # of what is there once the two are one
            joined += 1
            told = "".join(f"# {path}\n{sources[path]}" for path in sources)
            told += "".join(f"# becomes {path}\n{one[path]}" for path in one)
            told += f"SEED={seed}, program {programs}, joined"
            # What is not there yet is another error where it was another module's.
            same = {"AttributeError": "NameError"}
            both = [[same.get(str(w), w) for w in what] for what in (run_here(one), said)]
            assert both[0] == both[1], told
        numbers += len(re.findall(r"(?m)^\w+ = \d+$", "".join(sources.values())))
        numbers -= len(re.findall(r"(?m)^\w+ = \d+$", "".join(made.values())))
        names += sum(len(short) for short in shrink.short_names(sources).values())
    print("seed", seed, "numbers", numbers, "private names", names, "joined", joined)
    assert joined > PROGRAMS // 8, "the programs cannot be joined"
    assert numbers > PROGRAMS // 2 and names > PROGRAMS // 4, "the programs have become too hard"


# ------------------------------------------------------------------------------ the firmware itself


def test_it_is_the_same_wherever_it_is_made():
    """Nothing depends on the order of files, nor on that of sets."""
    path = "firmware/app.py"
    made = shrink.shrink(firmware_files.sources(), firmware_files.speakers(), firmware_files.ROOMS)
    done = subprocess.run(
        [sys.executable, "-m", "tools.shrink", path],
        env={**os.environ, "PYTHONHASHSEED": "4711"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == made[path]


def test_every_file_is_flashed(interpreter):
    files = firmware_files.firmware_files(interpreter_version(interpreter.name)[0])
    there = {path for path in (ROOT / "firmware").rglob("*") if path.is_file()}
    joined = {name for others in firmware_files.ROOMS.values() for name in others}
    for path in there:
        name = path.relative_to(ROOT).as_posix()
        if name[:-3].replace("/", ".") in joined:
            assert name[:-3] + ".mpy" not in files, "it is a part of another file"
        elif path.suffix == ".py" and path.name != "__init__.py":
            assert files.pop(name[:-3] + ".mpy")[:2] == b"M\x06", name
        elif path.suffix not in (".py", ".pyc"):
            assert files.pop(name) == path.read_bytes()
    assert files.pop("firmware/access/__init__.mpy"), "there is a class in it"
    pages = {"firmware/web/page.html.gz", "firmware/web/more.js.gz"}
    rest = {name for name in files if name.startswith("firmware/")}
    assert rest == pages, "docstrings are no code"


@pytest.fixture(scope="module")
def flashed(tmp_path_factory):
    """The firmware as it is flashed, but with the names that the device scripts speak of."""
    folder = tmp_path_factory.mktemp("flashed")
    scripts = [path.read_text() for place in (DEVICE_SCRIPTS, FAKES) for path in place.glob("*.py")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(firmware_files, "speakers", lambda: sorted(scripts))
        for name, data in firmware_files.firmware_files().items():
            if name.startswith("firmware/"):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(data)
        # The scripts import what has become a part of another file.
        moved = shrink.moved_names(
            firmware_files.sources(), firmware_files.speakers(), firmware_files.ROOMS
        )
    for name, (stays, names) in moved.items():
        taken = ", ".join(f"{new} as {old}" for old, new in sorted(names.items()))
        path = folder / (name.replace(".", "/") + ".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"from {stays} import {taken}\n")
    return folder


# script, arguments, whether it needs the virtual hardware. FOLDER is one of its own, SEED a number.
SCRIPTS = [
    ("access_decision_check.py", (DEVICE_SCRIPTS / "access_decision_table.txt",), False),
    ("access_key_check.py", ("FOLDER",), False),
    ("access_sweep.py", ("smartevse_v3", 110, 4000), True),
    ("charging_sweep.py", ("sweep_board", "SEED", 3000), True),
    ("clock_check.py", (), False),
    ("journal_sweep.py", ("raw", 40, 1, 1, 0, "SEED"), False),
    ("settings_check.py", ("FOLDER",), False),
]


@pytest.mark.parametrize(("script", "arguments", "fakes"), SCRIPTS, ids=[row[0] for row in SCRIPTS])
def test_the_flashed_form_does_what_the_source_does(
    interpreter, flashed, tmp_path, script, arguments, fakes
):
    seed = os.environ.get("SEED") or random.randrange(1 << 20)
    said = []
    shutil.copy(DEVICE_SCRIPTS / "sweep_board.py", flashed / "firmware" / "board")
    shutil.copytree(ROOT / "firmware", tmp_path / "source" / "firmware")
    shutil.copy(DEVICE_SCRIPTS / "sweep_board.py", tmp_path / "source" / "firmware" / "board")
    for form in (tmp_path / "source", flashed):
        folder = tmp_path / f"of_{form.name}"
        folder.mkdir()
        given = [{"FOLDER": folder, "SEED": seed}.get(one, one) for one in arguments]
        path = [FAKES, form] if fakes else [form]
        said.append(interpreter.run(script, *given, path=path, heap="8M").stdout)
    assert said[0] == said[1] != ""


@pytest.mark.parametrize(
    ("third_line", "complaint"),
    [
        ("B = (2", "firmware/wrong.py, line 3: '\\(' was never closed: B = \\(2"),
        ("def f(a, /, b): pass", "firmware/wrong.py: .* line 3\n"),  # MicroPython has no "/"
        ("from firmware.right import *", "firmware/wrong.py, line 3: an import must name"),
        ("def f(): return eval('f')", "firmware/wrong.py, line 3: eval could speak of"),
    ],
)
def test_an_error_says_where_it_stands(tmp_path, monkeypatch, third_line, complaint):
    wrong = f"# first\nA = 1\n{third_line}\nC = A\n"
    write(tmp_path, {"firmware/right.py": "A = 1\n", "firmware/wrong.py": wrong})
    monkeypatch.setattr(firmware_files, "ROOT", tmp_path)
    monkeypatch.setattr(firmware_files, "ROOMS", {})
    with pytest.raises(firmware_files.CompileError, match="(?s)^" + complaint):
        firmware_files.firmware_files()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("import firmware.a", "firmware/c.py, line 1: import firmware.a cannot be followed"),
        ("x = __import__('firmware.a')", "firmware/c.py, line 1: a string speaks of firmware.a"),
        ("from firmware import b\nb.a.YES", "firmware/c.py, line 2: it asks firmware.b for"),
        ("from firmware import a\nprint(a)", "firmware/c.py, line 2: firmware.a is handed on"),
        ("from firmware import a\nprint(a.NO)", "firmware/c.py, line 2: firmware.a binds no NO"),
        ("from firmware.a import NO", "firmware/c.py, line 1: firmware.a binds no NO"),
    ],
)
def test_what_cannot_be_joined_is_refused(text, complaint):
    sources = {"firmware/a.py": "YES = []\n", "firmware/c.py": text}
    sources["firmware/b.py"] = "from firmware import a\n"
    with pytest.raises(shrink.RefusedError, match="^" + complaint):
        shrink.shrink(sources, (), {"firmware.b": ("firmware.a",)})


def test_no_test_speaks_of_a_private_name_on_a_board():
    """On a board it has another: whoever probes one would find nothing."""
    probes = re.compile(r"\b(?:charger|firmware)(?:\.\w+|\[\w+\])*\._\w+")
    own = ROOT / "tests" / "test_firmware_files.py"  # which speaks of them on purpose
    for path in {*(ROOT / "tests").glob("*.py"), *(ROOT / "tools").rglob("*.py")} - {own}:
        assert not probes.findall(path.read_text()), path
