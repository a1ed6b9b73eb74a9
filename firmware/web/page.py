"""The page and its second part: files that were compressed when they were built.

A browser asks for them again by their mark, and gets nothing then but the word that they are still
the same.
"""

from firmware.web.server import error

_HERE = __file__[: __file__.rindex("/")]
_HEADERS = (
    "Content-Security-Policy: default-src 'none'; style-src 'self' 'unsafe-inline'; script-src"
    " 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; form-action 'self';"
    " base-uri 'none'\r\nCache-Control: no-cache\r\n"
)


async def get(charger, request):
    path = request.path
    kind = "text/javascript"
    if path == "/":
        path = "/page.html"
        kind = "text/html; charset=utf-8"
    try:
        file = open(_HERE + path + ".gz", "rb")
    except OSError:
        return error(404, "UnknownAddress")
    # The end of a gzip file is the CRC and the length of what is in it (RFC 1952).
    file.seek(-8, 2)
    mark = '"{}"'.format(file.read().hex())
    headers = "{}Content-Encoding: gzip\r\nETag: {}\r\n".format(_HEADERS, mark)
    if request.headers.get("if-none-match") == mark.encode():
        file.close()
        return 304, kind, "", headers
    file.seek(0)
    return 200, kind, _contents(file), headers


def _contents(file):
    with file:
        piece = file.read(512)
        while piece:
            yield piece
            piece = file.read(512)
