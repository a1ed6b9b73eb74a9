"""Which broker the worker connects to, and what TLS checks it by. Loaded when settings change.

/tls/ca.der or /tls/ca.pem is whom the broker's certificate must be signed by; /tls/client.der and
/tls/client_key.der (or .pem), if they are there, are what this charger shows for itself. There is
no way to go without a check.
"""

import _thread

from micropython import const

FOLDER = "/tls/"
_MOST = const(8192)  # bytes of a file
_STACK = const(12288)


def choose(worker, host, port, tls, user, password):
    """Let `worker` connect to this broker from now on; "" as `host`: to none.

    Starts its thread when it does not run yet. A connection to another broker ends. What is wrong
    with the certificates, or with the memory for the thread, is in `worker.why`; then there is no
    attempt, and it takes another call to try again.
    """
    worker.target = worker.trouble = None
    worker.place = (host, port, tls, user, password)
    if not host:
        return
    try:
        context = _context() if tls else None
        if not worker.running:
            _start(worker)
    except (ValueError, OSError, MemoryError) as e:
        worker.trouble = e
    else:
        worker.target = (host, port, context, user.encode() or None, password.encode())


def _start(worker):
    before = _thread.stack_size(_STACK)
    worker.stopping = worker.transport.stopping = False
    worker.running = True
    try:
        _thread.start_new_thread(worker.run, ())
    except (OSError, MemoryError):
        worker.running = False
        raise MemoryError
    finally:
        _thread.stack_size(before)


def _context():
    """An SSLContext that checks the broker. ValueError: the sentence says what is missing."""
    try:
        # Not the module: a folder of this name on the flash would be taken for it.
        from tls import CERT_REQUIRED, PROTOCOL_TLS_CLIENT, SSLContext
    except ImportError:
        raise ValueError("TLS is on, and this MicroPython has none.")
    authority = _read("ca")
    if not authority:
        raise ValueError("TLS is on, and there is no {}ca.der or ca.pem.".format(FOLDER))
    context = SSLContext(PROTOCOL_TLS_CLIENT)
    context.verify_mode = CERT_REQUIRED  # type: ignore[attr-defined] # missing in the stubs
    try:
        context.load_verify_locations(authority)
    except ValueError:
        raise ValueError("{}ca is not a certificate.".format(FOLDER))
    certificate, key = _read("client"), _read("client_key")
    if certificate or key:
        try:
            context.load_cert_chain(certificate, key)
        except (TypeError, ValueError):
            raise ValueError("{0}client and {0}client_key are not a pair.".format(FOLDER))
    return context


def _read(name):
    for ending in (".der", ".pem"):
        try:
            with open(FOLDER + name + ending, "rb") as file:
                data = file.read(_MOST + 1)
        except OSError:
            continue
        if len(data) > _MOST:
            raise ValueError("{}{} is too long.".format(FOLDER, name))
        return data
    return None
