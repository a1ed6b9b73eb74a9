"""What phones hear that look for the internet: the way to the page, and never that it is there."""

from firmware.web.portal import probe

# Host and path of the makers' probes, and what each takes for the internet.
PROBES = (
    ("captive.apple.com", "/hotspot-detect.html", b"Success"),
    ("www.apple.com", "/library/test/success.html", b"Success"),
    ("connectivitycheck.gstatic.com", "/generate_204", b""),
    ("clients3.google.com", "/generate_204", b""),
    ("www.google.com", "/gen_204", b""),
    ("play.googleapis.com", "/generate_204", b""),
    ("www.msftconnecttest.com", "/connecttest.txt", b"Microsoft Connect Test"),
    ("www.msftconnecttest.com", "/redirect", b""),
    ("www.msftncsi.com", "/ncsi.txt", b"Microsoft NCSI"),
    ("detectportal.firefox.com", "/canonical.html", b"success"),
    ("nmcheck.gnome.org", "/check_network_status.txt", b"NetworkManager is online"),
    ("anything.example", "/", b""),
    ("api.example", "/apis", b""),
)

for host, path, good in PROBES:
    for shown in (host.encode(), host.encode() + b":80"):
        status, kind, body, headers = probe(path, shown)
        assert status == 302 and kind == "text/html", (host, path)
        assert headers == "Location: http://192.168.4.1/\r\n"
        assert b'href="http://192.168.4.1/"' in body and (not good or good not in body)
        assert 0 < len(body) < 200
for path in ("/api", "/api/status", "/api/unlock"):
    assert probe(path, b"rebound.example") is None, path
status, kind, body, headers = probe("/", b"x", "192.168.1.50:8080")
assert headers == "Location: http://192.168.1.50:8080/\r\n"
print("ok")
