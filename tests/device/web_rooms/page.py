"""The charger's own page, among the routes of a test."""

from firmware.web.page import get  # noqa: F401
