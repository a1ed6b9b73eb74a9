"""`python -m tools.journal SOURCE`: print a charger's journal, damaged or not.

SOURCE is an image of the partition `journal` or of a whole flash, a directory with copies of the
sector files, or with --port the serial port of a board, whose firmware stops while it is read.
Exit code 1, with one sentence, if there is no journal.
"""

from __future__ import annotations

import argparse
import pathlib
import sys

from tools.journal import images, reader


def _number(text):
    return int(text, 0)


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m tools.journal", description=__doc__)
    parser.add_argument("source", help="image, directory, or serial port")
    parser.add_argument("--port", action="store_true", help="SOURCE is a serial port")
    parser.add_argument("--littlefs", action="store_true", help="the journal is files in LittleFS")
    parser.add_argument("--offset", type=_number, help="where the partition begins in the image")
    parser.add_argument("--length", type=_number, help="bytes of the partition")
    parser.add_argument("--format", choices=sorted(reader.FORMATS), default="table")
    parser.add_argument("--from-seq", type=int, help="the first record to print")
    options = parser.parse_args(arguments)
    path = pathlib.Path(options.source)
    try:
        if options.port:
            store = images.over_mpremote(options.source)
        elif path.is_dir():
            store = images.from_directory(path)
        elif options.littlefs:
            store = images.from_littlefs(path, options.offset, options.length)
        else:
            store = images.from_image(path.read_bytes(), options.offset, options.length)
        content = reader.read(store, options.from_seq)
    except (images.JournalError, OSError) as e:
        print(f"journal: {e}", file=sys.stderr)
        return 1
    sys.stdout.write(reader.FORMATS[options.format](content))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
