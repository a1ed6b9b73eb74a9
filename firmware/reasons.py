"""Why the charger does what it does: a stable code for programs, a sentence for people.

The codes are part of the contract: other programs compare them. Sentences stand in reasons.txt, one
on a line behind its code, and are looked up there: all of them together would take 6 KB of memory.
They are in English; the page translates by code.
"""

_FILE = __file__[: __file__.rindex("/") + 1] + "reasons.txt"
_said = ("", "")  # the last one


def sentence(code):
    """The sentence of a code; a code without one stands for itself."""
    global _said
    if _said[0] != code:
        text = code
        with open(_FILE) as lines:
            for line in lines:
                if line.startswith(code + " "):
                    text = line[len(code) + 1 :].rstrip()
                    break
        _said = (code, text)
    return _said[1]
