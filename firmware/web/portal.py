"""What a phone hears that looks for the internet in the charger's own WiFi: where the page is.

Apple's systems ask captive.apple.com for /hotspot-detect.html and want "Success", Android asks for
/generate_204 and wants 204 without content, Windows asks www.msftconnecttest.com for
/connecttest.txt and wants "Microsoft Connect Test". To each of them a redirect means that a page
waits behind it, and they show that page. It is never pretended that the internet is there: the
phone would take its own way to it for dead.
"""

_PAGE = b'<html lang="en"><title>Holdfast</title><p><a href="%s">To the charger\'s page</a></html>'


def probe(path, host, here="192.168.4.1"):
    """The answer to a request for `path` of `host`, which is not one of the charger's own names.

    A redirect to the page at `here`, the address (and port, if it is not 80) at which the peer
    has reached the charger: (status, content type, body, headers). None for what is under /api:
    there a wrong host is no lost phone.
    """
    if path == "/api" or path.startswith("/api/"):
        return None
    url = "http://" + here + "/"
    return 302, "text/html", _PAGE % url.encode(), "Location: " + url + "\r\n"
