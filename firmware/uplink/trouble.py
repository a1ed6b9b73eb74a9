"""What went wrong on the way to the cloud, in a sentence. Loaded when somebody reads it anew."""

import errno

_EPIPE = 32  # missing in the module, and the same number everywhere
_OFF = "The broker broke the connection off."
_WORDS = {
    "silent": "The broker did not answer in time.",
    "closed": "The broker closed the connection.",
    "broken": "The broker sent what MQTT does not allow.",
    "full": "The charger did not take the broker's messages in time.",
    errno.ECONNREFUSED: "Nobody answers at {}: connection refused.",
    errno.ECONNRESET: _OFF,
    _EPIPE: _OFF,
    errno.ECONNABORTED: _OFF,
    errno.EHOSTUNREACH: "There is no way to {}.",
    errno.ETIMEDOUT: "Nobody answers at {}.",
    errno.ENOTCONN: "Nobody answers at {}.",
    errno.ENOMEM: "There was not enough memory for the connection.",
}
_CONNACK = {
    1: "The broker does not speak MQTT 3.1.1.",
    2: "The broker does not accept this charger's id.",
    3: "The broker is busy and takes no connections just now.",
    4: "The broker does not accept this user and password.",
    5: "The broker does not let this charger in.",
    128: "The broker does not let this charger subscribe.",
}
_NOT_FOUND = "The name {} was not found, or nobody answers who could know it."
# Parts of what mbedtls says about a certificate, of what the unix port says of DNS, and numbers
_PARTS = (
    ("addrinfo", _NOT_FOUND),
    ("expired", "The certificate of {} has expired, or its CA has."),
    ("future", "The certificate of {} is not valid yet: is the clock right?"),
    ("does not match", "The certificate there is not for the name {}."),
    ("not correctly signed", "The certificate of {} is not signed by the CA in /tls."),
    ("revoked", "The certificate of {} has been revoked."),
)
_CONN_EOF = -0x7280
_VERIFY_FAILED = -0x2700
_FATAL_ALERT = -0x7780


def words(e, host):
    """The sentence for the exception `e` of a connection to `host`."""
    what = e.args[0] if e.args else 0
    name = type(e).__name__
    if name == "MQTTException":
        return _CONNACK.get(what) or "The broker refused with code {}.".format(what)
    if isinstance(e, MemoryError):
        what = errno.ENOMEM
    if isinstance(what, int) and -200 < what < -2:
        what = -what  # an errno that came through TLS; DNS has -2, and on the ESP32 -200 and below
    if what in _WORDS:
        return _WORDS[what].format(host)
    if what == _CONN_EOF:
        return _WORDS["closed"]
    if what == _FATAL_ALERT:
        return "The broker refused the TLS connection: does it want a client certificate?"
    if what == _VERIFY_FAILED:
        return "The certificate of {} is not valid.".format(host)
    if isinstance(what, str):
        for part, sentence in _PARTS:
            if part in what:
                return sentence.format(host)
        if isinstance(e, ValueError) and what.endswith("."):
            return what
    if isinstance(e, OSError) and isinstance(what, int):
        if -256 < what < 0:
            return _NOT_FOUND.format(host)
        if what < 0:
            return "TLS with {} failed: {}.".format(host, e.args[-1])
        return "The connection failed: error {}.".format(what)
    return "{}: {}".format(name, e)[:96]
