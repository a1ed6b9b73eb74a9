"""The charging room: from readings to outputs, by IEC 61851-1 mode 3. Pure: no pins, no clock."""
