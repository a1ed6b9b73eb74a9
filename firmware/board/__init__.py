"""The board room: the only one with pins. Drivers, and one file of plain data per real board."""
