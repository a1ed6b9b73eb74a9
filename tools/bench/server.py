"""The bench over HTTP: its page, and the contract's actions as JSON. Loopback only.

Every answer to a program is JSON; a refused action answers {"error": sentence} with 400 (bad
input) or 409 (not in this state), and nothing has changed.
"""

import json
import urllib.request
from pathlib import Path
from typing import Any

from microdot import Microdot, Request, Response

from tools.bench.surroundings import Refused, Surroundings

_PAGE = Path(__file__).parent / "page"
_FILES = {"bench.css": "text/css", "bench.js": "text/javascript"}
_LONGEST_BODY = 4096
_LONGEST_TAIL = 16384
_PATIENCE_S = 2.0  # with the charger
_LOCAL_NAMES = ("127.0.0.1", "localhost")


def make_server(surroundings: Surroundings, board: Any, facts: dict[str, Any]) -> Microdot:
    """The bench's routes. `facts` is the ready line's content, shown by GET /facts."""
    app = Microdot()
    Request.max_content_length = _LONGEST_BODY
    Request.max_body_length = _LONGEST_BODY

    @app.before_request
    def only_from_here(request: Request) -> Any:
        # A page from elsewhere that is open in the same browser must not move this hardware.
        host = request.headers.get("Host", "")
        if host.rsplit(":", 1)[0] not in _LOCAL_NAMES:
            return {"error": "The bench answers only as 127.0.0.1 or localhost."}, 403
        origin = request.headers.get("Origin")
        if origin and origin != f"http://{host}":
            return {"error": "The bench takes no requests from other pages."}, 403
        return None

    @app.after_request
    def headers(request: Request, response: Response) -> None:
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"

    @app.get("/")
    def page(request: Request) -> Any:
        policy = f"default-src 'self'; img-src 'self' data:; frame-src {facts['page']}"
        return (_PAGE / "index.html").read_bytes(), {
            "Content-Type": "text/html; charset=UTF-8",
            "Content-Security-Policy": policy,
        }

    for name, kind in _FILES.items():
        app.get("/" + name)(_file(name, kind))

    @app.get("/facts")
    def show_facts(request: Request) -> Any:
        return facts

    @app.get("/hardware")
    def hardware(request: Request) -> Any:
        return surroundings.hardware()

    @app.get("/charger")
    def charger(request: Request) -> Any:
        # The charger's page is another origin: the bench's page cannot ask it itself.
        return {"status": _charger_status(facts["page"]) if board.powered else None}

    @app.get("/serial")
    def serial(request: Request) -> Any:
        try:
            wanted = int(request.args.get("from", "0"))
        except ValueError:
            return {"error": "from must be a whole number."}, 400
        return _tail(board, wanted)

    for name in surroundings.actions:
        app.post("/" + name)(_action(surroundings, name))

    @app.errorhandler(400)
    def not_http(request: Request) -> Any:
        return {"error": "The request is not valid HTTP."}, 400

    @app.errorhandler(404)
    def no_such(request: Request) -> Any:
        return {"error": f"There is no {request.path} here."}, 404

    @app.errorhandler(405)
    def wrong_method(request: Request) -> Any:
        return {"error": f"{request.path} does not take {request.method}."}, 405

    @app.errorhandler(413)
    def too_long(request: Request) -> Any:
        return {"error": f"The body must have at most {_LONGEST_BODY} bytes."}, 413

    @app.errorhandler(500)
    def broken(request: Request) -> Any:
        return {"error": "The bench failed; its log says where."}, 500

    return app


def _action(surroundings: Surroundings, name: str) -> Any:
    def act(request: Request) -> Any:
        try:
            return surroundings.act(name, _fields(request.body))
        except Refused as refused:
            return {"error": str(refused)}, refused.status

    return act


def _file(name: str, kind: str) -> Any:
    def file(request: Request) -> Any:
        return (_PAGE / name).read_bytes(), {"Content-Type": kind + "; charset=UTF-8"}

    return file


def _fields(body: bytes | None) -> dict[str, Any]:
    if not body:
        return {}
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused("The body must be a JSON object.") from None
    if not isinstance(fields, dict):
        raise Refused("The body must be a JSON object.")
    return fields


def _tail(board: Any, wanted: int) -> dict[str, Any]:
    """What the board printed from position `wanted` on; the last part if that is too much."""
    end = -1
    while end != board.serial_position:  # it may print between the two looks
        end = board.serial_position
        log = bytes(board.serial_log)
    start = max(end - min(len(log), _LONGEST_TAIL), wanted if wanted <= end else 0)
    text = log[len(log) - (end - start) :].decode("utf-8", "replace")
    return {"text": text, "from": start, "next": end}


def _charger_status(page: str) -> Any:
    """What GET /api/status of the charger says, or None while it does not answer."""
    try:
        with urllib.request.urlopen(page + "/api/status", timeout=_PATIENCE_S) as answer:
            return json.load(answer)
    except (OSError, ValueError):
        return None
