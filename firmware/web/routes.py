"""The routes of the charger's web interface, as the contract's table lists them.

Open to anyone: the page and the status. What needs a login comes with the login.
"""

from microdot import Microdot, send_file

from firmware.status import status
from firmware.web.server import error

_PAGE = __file__[: __file__.rindex("/") + 1] + "page.html"
_FRESH = {"Cache-Control": "no-store"}


def application(charger):
    """The Microdot application that shows `charger`."""
    app = Microdot()

    @app.get("/")
    async def page(request):
        return send_file(_PAGE, content_type="text/html; charset=utf-8", max_age=0)

    @app.get("/api/status")
    async def api_status(request):
        return status(charger), 200, _FRESH

    @app.errorhandler(404)
    async def not_found(request):
        return error(404, "There is no such page.")

    @app.errorhandler(405)
    async def not_allowed(request):
        return error(405, "This address does not take " + request.method + ".")

    @app.errorhandler(500)
    async def failed(request):
        return error(500, "The charger could not answer this.")

    return app
