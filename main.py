"""Starts the charger, unless boot.py found a reason not to."""

if START:  # set by boot.py, which shares this namespace
    import gc

    # Collect often while the rooms are loaded: what stays then lies close together, and what is
    # left of the memory is one piece, not crumbs.
    gc.threshold(2048)

    import firmware.app

    firmware.app.run()
