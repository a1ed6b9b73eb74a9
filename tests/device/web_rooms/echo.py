"""Tells back the object that came as JSON."""

import json


async def post(charger, request):
    return 200, "application/json", json.dumps(request.content), ""
