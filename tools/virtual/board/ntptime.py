"""What the stock firmware has built in under this name: the time from an NTP server, blocking.

`host` and `timeout` (seconds) may be set; `time()` returns seconds since the port's own epoch, or
raises OSError. The request is that of RFC 5905, version 3, mode 3.
"""

import socket

import utime

host = "pool.ntp.org"
timeout = 1

_1900_TO_1970_S = 2208988800
_1970_TO_2000_S = 946684800


def time():
    """Ask `host`; blocks until the answer or the time-out."""
    request = bytearray(48)
    request[0] = 0x1B
    place = socket.getaddrinfo(host, 123)[0][-1]
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        s.settimeout(timeout)
        s.sendto(request, place)
        answer = s.recv(48)
    finally:
        s.close()
    seconds = int.from_bytes(answer[40:44], "big")
    if seconds < 1 << 31:
        seconds += 1 << 32  # after 2036
    seconds -= _1900_TO_1970_S
    return seconds if utime.gmtime(0)[0] == 1970 else seconds - _1970_TO_2000_S
