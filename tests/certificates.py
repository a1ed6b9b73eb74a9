"""A certificate authority of the test's own, and the certificates that it and another one sign.

Made anew for each test with the `openssl` command, so that none of them can run out in a drawer.
"""

import pathlib
import subprocess

NAME = "broker.test"  # what the good certificates are for
_CA = """
[ca]
default_ca = here
[here]
database = {0}/index.txt
new_certs_dir = {0}
rand_serial = yes
default_md = sha256
policy = any
copy_extensions = copy
[any]
commonName = supplied
"""
GOOD, EXPIRED = ("20200101000000Z", "20491231000000Z"), ("20200101000000Z", "20210101000000Z")
FUTURE = ("20480101000000Z", "20491231000000Z")


class Certificates:
    """Everything in `folder`: NAME.pem and NAME_key.pem of the servers below, and of "client".

    "good" is in order; "wrong_name", "expired" and "future" say what is wrong with them;
    "unknown" is signed by an authority that is not `ca`, "old" by `old_ca`, which has expired. `ca`
    (PEM) and `ca_der` are the same.
    """

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ca = self._authority("ca")
        other = self._authority("other")
        self.old_ca = self._expired_authority("old_ca")
        self.ca_der = self.convert("ca")
        self._sign("good", self.ca, NAME, GOOD)
        self._sign("wrong_name", self.ca, "elsewhere.test", GOOD)
        self._sign("expired", self.ca, NAME, EXPIRED)
        self._sign("future", self.ca, NAME, FUTURE)
        self._sign("unknown", other, NAME, GOOD)
        self._sign("old", self.old_ca, NAME, GOOD)
        self._sign("client", self.ca, "charger", GOOD)

    def convert(self, name):
        """`name`.pem as `name`.der; its path."""
        made = self.folder / f"{name}.der"
        kind = "ec" if name.endswith("_key") else "x509"
        source = self.folder / f"{name}.pem"
        _openssl(kind, "-in", source, "-outform", "der", "-out", made)
        return made

    def _key(self, name):
        key = self.folder / f"{name}_key.pem"
        _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
        return key

    def _authority(self, name):
        made = self.folder / f"{name}.pem"
        subject = ("-subj", f"/CN=Holdfast test {name}")
        _openssl(
            "req", "-x509", "-new", "-key", self._key(name), *subject, "-days", 2, "-out", made
        )
        return made

    def _expired_authority(self, name):
        request, made, key = (
            self.folder / f"{name}.csr",
            self.folder / f"{name}.pem",
            self._key(name),
        )
        subject = ("-subj", f"/CN=Holdfast test {name}")
        able = ("-addext", "basicConstraints=critical,CA:TRUE")
        _openssl("req", "-new", "-key", key, *subject, *able, "-out", request)
        self._issue(request, made, ("-selfsign", "-keyfile", key), EXPIRED)
        return made

    def _sign(self, name, authority, host, valid):
        request, made = self.folder / f"{name}.csr", self.folder / f"{name}.pem"
        also = "localhost" if host == NAME else host
        subject = ("-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host},DNS:{also}")
        _openssl("req", "-new", "-key", self._key(name), *subject, "-out", request)
        key = authority.with_name(f"{authority.stem}_key.pem")
        self._issue(request, made, ("-cert", authority, "-keyfile", key), valid)

    def _issue(self, request, made, signer, valid):
        config = self.folder / "ca.conf"
        config.write_text(_CA.format(self.folder))
        (self.folder / "index.txt").write_text("")
        times = ("-startdate", valid[0], "-enddate", valid[1])
        what = ("-config", config, *signer, *times, "-notext", "-in", request, "-out", made)
        _openssl("ca", "-batch", *what)


def _openssl(*arguments):
    command = ["openssl", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
