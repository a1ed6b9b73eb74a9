"""Packets to the name server, made by the test: each as bytes, and again through real sockets.

Arguments: a file with a packet and what is to come back, both in hexadecimal, in each line; a free
UDP port. Prints how many packets, how many answers, and by how many bytes the heap has grown since
the first tenth.
"""

import gc
import select
import socket
import sys
from binascii import unhexlify

from firmware.web import dns

place = socket.getaddrinfo("127.0.0.1", int(sys.argv[2]))[0][-1]
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.setblocking(False)
server.bind(place)
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.bind(socket.getaddrinfo("127.0.0.1", 0)[0][-1])
arrived = select.poll()
arrived.register(server, select.POLLIN)
answered = select.poll()
answered.register(client, select.POLLIN)


def check(line):
    """Both ways; True if there was to be an answer."""
    query, wanted = [unhexlify(part) for part in line[:-1].split(" ")]
    reply = dns.answer(query[:512]) or b""
    assert reply == wanted, (line, reply)
    assert len(reply) <= len(query) + 16 or not reply

    client.sendto(query, place)
    assert arrived.poll(5000), "the packet is lost"
    dns.serve(server)
    reply = client.recv(600) if answered.poll(0) else b""
    assert reply == wanted, (line, reply)
    return bool(wanted)


def alive():
    gc.collect()
    return gc.mem_alloc()


packets = answers = kept = 0
dns.serve(server)  # nothing is there: it does not wait
with open(sys.argv[1]) as file:
    for line in file:
        answers += check(line)
        packets += 1
        line = None
        if packets == 1000:
            kept = alive()
            kept = alive()
    kept = alive() - kept
assert not answered.poll(0), "an answer that nobody asked for"

# a burst: no more than two at once
for _ in range(6):
    client.sendto(unhexlify("12340100000100000000000001610000010001"), place)
for n in (2, 2, 2, 0):
    dns.serve(server)
    got = 0
    while answered.poll(0):
        client.recv(600)
        got += 1
    assert got == n, (n, got)
print(packets, answers, kept)
