# Deletes files, and the folders that this empties; makes folders.
# ruff: noqa: F821
# mypy: ignore-errors
import os

remove, folders = ARGUMENTS
for path in remove:
    try:
        os.remove(path)
        while True:  # until a folder is not empty
            path = path[: path.rindex("/")]
            if path in ("", "/firmware", "/lib"):
                break
            os.rmdir(path)
    except OSError:
        pass
for path in folders:
    try:
        os.mkdir(path)
    except OSError:
        if os.stat(path)[0] != 0x4000:
            raise
