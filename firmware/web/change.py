"""What is asked of a request that changes something, besides the login."""

import json

from firmware.web.server import error


def refuse(request):
    """The answer that refuses `request`, or None: then `content` has the JSON object of its body.

    Without a body that is an empty one. Outside of the API the body stays as it is.
    """
    headers = request.headers
    origin = b"http://" + headers.get("host", b"")
    if headers.get("origin", origin) != origin:
        return error(403, "OtherOrigin")
    request.content = content = {}
    if request.body and request.path[:5] == "/api/":
        if headers.get("content-type", b"").partition(b";")[0] != b"application/json":
            return error(415, "JsonRequired")
        try:
            content = json.loads(request.body)
        except (ValueError, TypeError):
            content = None
        if not isinstance(content, dict):
            return error(400, "InvalidJson")
        request.body = None
        request.content = content
    return None
