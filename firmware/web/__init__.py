"""The web room: the HTTP server, its routes, the page. The only room that knows HTTP."""
