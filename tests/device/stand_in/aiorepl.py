"""Behaves like aiorepl where the console depends on it: written for the tests, from its manual.

`task` reads keys one by one, runs a line on Enter, and on Ctrl-A awaits the module's `raw_repl`, by
its name at that moment. Keys come from the list `keys`, what is shown goes to the list `shown`.
"""

import asyncio

keys = []
shown = []
raw_entered = 0


async def read():
    while not keys:
        await asyncio.sleep_ms(2)
    return keys.pop(0)


async def raw_repl(stream, names):
    global raw_entered
    raw_entered += 1
    shown.append("raw REPL; CTRL-B to exit")
    while await read() != "\x02":
        pass


async def task(g=None, prompt="--> "):
    line = ""
    shown.append(prompt)
    while True:
        key = await read()
        if key == "\x01":
            await raw_repl(None, g)
            line = ""
        elif key == "\n":
            shown.append(eval(line, g))
            line = ""
        else:
            line += key
