"""A module that a row of the routes names: it lives for one request."""


async def get(charger, request):
    """A body in pieces, made by a generator of this module."""
    return 200, "text/plain", _counted(request.query), ""


async def post(charger, request):
    charger.visits.append(bytes(request.body))
    return 201, "text/plain", "taken", ""


def _counted(query):
    for n in range(min(int(query), 2000) if query.isdigit() else 0):
        yield b"%d," % n
