"""The access room: who may charge, and when. Pure: no pins, no files, no clock of its own."""
