# The first lines of life: a soft reset leaves every output as it was, even the contactor closed.
# What is safe for this board was stored in NVS when it last ran (firmware/board/nvs.py); on a new
# board there is nothing to drive, and after power-on all pins are inputs. Needs no other file.
import esp32
import machine

try:
    _pairs = bytearray(80)
    for _i in range(0, esp32.NVS("holdfast").get_blob("safe", _pairs), 2):
        machine.Pin(_pairs[_i], machine.Pin.OUT, value=_pairs[_i + 1])
except (OSError, ValueError):
    pass


def _bytes_of(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:
        return None


def _missing(manifest):
    """Paths of the manifest whose file is not what was to be flashed, then the version file."""
    import binascii
    import hashlib
    import json

    paths = []
    for path, (size, digest) in json.loads(manifest)["files"].items():
        content = _bytes_of(path)
        if content is None or len(content) != size:
            paths.append(path)
        elif not binascii.hexlify(hashlib.sha256(content).digest()).decode().startswith(digest):
            paths.append(path)
    return sorted(paths) or ["/firmware/version.json"]


def _why_not():
    """One line that says why the application is not to start, or None."""
    # Flashing writes the manifest first and the same bytes as the version file last. A flash that
    # was cut leaves the maintenance on as well: what is missing says more.
    version = _bytes_of("/firmware/version.json")
    manifest = _bytes_of("/firmware/manifest.json")
    if manifest is not None and version != manifest:
        try:
            return "half-flashed, missing: " + ", ".join(_missing(manifest))
        except (ValueError, KeyError, TypeError):
            return "half-flashed, missing: /firmware/manifest.json"
    try:
        if esp32.NVS("holdfast").get_i32("maint") == 1:
            return "maintenance"
    except OSError:
        pass
    return None if version else "no version file: flash the firmware with make flash"


START = False
_line = _why_not()
if _line:
    print("holdfast: " + _line + "; outputs safe")
START = _line is None
# main.py and all that it starts share this namespace: nothing of this is needed again.
del _line, _missing, _why_not, _bytes_of
