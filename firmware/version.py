"""The firmware's version, as the page, the console and the cloud show it."""

VERSION = "0.2.0"
