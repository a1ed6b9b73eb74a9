"""`python -m tools.shrink [FILE]`: which private name became which, or what became of a file."""

import sys

from tools import firmware_files, shrink


def main() -> None:
    what = firmware_files.sources(), firmware_files.speakers(), firmware_files.ROOMS
    if len(sys.argv) > 1:
        print(shrink.shrink(*what)[sys.argv[1]], end="")
        return
    for path, names in shrink.short_names(*what).items():
        for name, short in sorted(names.items(), key=lambda row: (row[1], row[0])):
            print(f"{path:32}{short:5}{name}")


if __name__ == "__main__":
    main()
