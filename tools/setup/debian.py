"""Fetches Debian packages and sources without root and without changing the machine.

apt is pointed at a private source list, made from the machine's own: the same mirror and keys,
another suite. So no mirror is named here, proxies and credentials go on working, and every file is
checked by apt against the archive's signature. Nothing is installed.
"""

import re
import shutil
from pathlib import Path

from tools.setup.paths import DOWNLOADS, STATE, clean_environment
from tools.setup.progress import SetupError, Step, last_words

OLDEST_MICROPYTHON = (1, 24)
# The Debian release whose micropython is used, whatever release the machine has.
_SUITE = "trixie"
# Names that a machine's list may use for its own release instead of the code name.
_SUITE_WORDS = {"stable", "oldstable", "oldoldstable", "testing", "unstable", "sid"}
_ONE_LINE = re.compile(r"^deb\s+(\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+(.+)$")


def version_of(text: str) -> tuple[int, ...]:
    """The first dotted number in `text` ("v1.25.0-2 on ...") as integers, () if there is none."""
    found = re.search(r"(\d+(?:\.\d+)+)", text)
    return tuple(int(part) for part in found.group(1).split(".")) if found else ()


def rewrite_sources(text: str, deb822: bool, codename: str, suite: str | None) -> list[str]:
    """The entries of one apt source file that hold the machine's release, as deb822 stanzas.

    Each comes back with its mirror, keys and options as they were, binary and source packages,
    and the suite `suite`, main only (None: its own suite and components). Entries for other
    suites (third-party archives, security, updates, backports), disabled ones, and media that
    cannot hold another suite (cdrom, flat archives) are left out.
    """
    entries = _deb822_entries(text) if deb822 else _one_line_entries(text)
    wanted = _SUITE_WORDS | {codename}
    stanzas = []
    for fields in entries:
        own = [name for name in fields.pop("suites", "").split() if name in wanted]
        components = fields.pop("components", "").split()
        mirrors = [uri for uri in fields.pop("uris", "").split() if not uri.startswith("cdrom:")]
        types = fields.pop("types", "").split()
        off = fields.pop("enabled", "yes").strip().lower() in ("no", "false", "0", "off")
        if off or not own or not mirrors or "deb" not in types or "main" not in components:
            continue
        for name in ("architectures", "languages", "targets", "by-hash", "pdiffs"):
            fields.pop(name, None)
        lines = [
            "Types: deb deb-src",
            f"URIs: {' '.join(mirrors)}",
            f"Suites: {suite or own[0]}",
            f"Components: {'main' if suite else ' '.join(components)}",
        ]
        # Desktop machines fetch icons and the like for every archive; here only these are of use.
        lines += ["Targets: Packages Sources", "Languages: none"]
        lines += [f"{name.title()}: {value}" for name, value in fields.items()]
        stanzas.append("\n".join(lines) + "\n")
    return stanzas


def _deb822_entries(text: str) -> list[dict[str, str]]:
    entries = []
    for block in re.split(r"\n[ \t]*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in block.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in (" ", "\t") and name:
                fields[name] += "\n" + line  # an embedded key, or a folded list
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        if fields:
            entries.append(fields)
    return entries


def _one_line_entries(text: str) -> list[dict[str, str]]:
    entries = []
    for line in text.splitlines():
        found = _ONE_LINE.match(line.split("#")[0].strip())
        if not found:
            continue
        options, uri, suite, components = found.groups()
        fields = {"types": "deb", "uris": uri, "suites": suite, "components": components}
        for option in (options or "").strip().strip("[]").split():
            name, _, value = option.partition("=")
            fields[{"arch": "architectures"}.get(name.lower(), name.lower())] = value
        entries.append(fields)
    return entries


def order_of_trust(stanzas: list[str]) -> list[str]:
    """The likeliest distribution mirror first: third-party archives may use the code name too."""

    def rank(stanza: str) -> tuple[bool, bool]:
        fields = _deb822_entries(stanza)[0]
        path = fields["uris"].split()[0].rstrip("/")
        keys = fields.get("signed-by", "archive-keyring")
        return (not path.endswith(("/debian", "/ubuntu")), "archive-keyring" not in keys)

    return sorted(dict.fromkeys(stanzas), key=rank)


def os_release(text: str) -> dict[str, str]:
    """/etc/os-release as a dict."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}


class Archive:
    """A private view of the machine's Debian mirror that knows a new enough micropython.

    Made once per set-up run and only when something has to be fetched; `fetch_*` put files into
    folders of their own. Raises SetupError if the machine has no such mirror or no internet.
    """

    def __init__(self, step: Step) -> None:
        self.folder = STATE / "apt"
        self.config = self.folder / "apt.conf"
        for program in ("apt-get", "apt-cache", "dpkg", "dpkg-deb"):
            if not shutil.which(program):
                raise SetupError(
                    f"{program} was not found: install MicroPython 1.24 or newer yourself so that "
                    "`micropython` is on the PATH; the board interpreter needs Debian's archive"
                )
        self._open(step)

    def _open(self, step: Step) -> None:
        release = os_release(Path("/etc/os-release").read_text())
        codename = release.get("UBUNTU_CODENAME") or release.get("VERSION_CODENAME", "")
        suite = _SUITE if release.get("ID") == "debian" else None
        _, listing = step.run(
            ["apt-config", "shell", "L", "Dir::Etc::sourcelist/f", "P", "Dir::Etc::sourceparts/d"],
            failure="apt-config does not tell where the source lists are",
            env=clean_environment(),
        )
        where = dict(re.findall(r"^([LP])='(.*)'$", listing, re.MULTILINE))
        files = [Path(where.get("L", "/etc/apt/sources.list"))]
        files += sorted(Path(where.get("P", "/etc/apt/sources.list.d")).glob("*"))
        stanzas: list[str] = []
        for file in files:
            if file.is_file() and file.suffix in (".list", ".sources"):
                deb822 = file.suffix == ".sources"
                stanzas += rewrite_sources(file.read_text(), deb822, codename, suite)
        if not stanzas:
            raise SetupError(
                f"apt's source lists hold no entry for {codename or 'this release'} main, so there "
                "is no mirror to fetch MicroPython from"
            )
        step.say("reading the package lists (a few seconds) ...")
        words = ""
        found: tuple[int, ...] = ()
        for stanza in order_of_trust(stanzas):
            self._configure(step, stanza)
            code, output = self._apt(step, "apt-get", "update", may_fail=True)
            words = last_words(output) if code or "\nE:" in output or "\nW: Fail" in output else ""
            _, output = self._apt(step, "apt-cache", "policy", "micropython", may_fail=True)
            candidate = re.search(r"Candidate: (.*)", output)
            found = version_of(candidate.group(1)) if candidate else ()
            if found >= OLDEST_MICROPYTHON:
                return
        if words and not found:
            raise SetupError(
                "Debian's package lists could not be read; is the internet reachable? apt said:\n"
                + words
            )
        raise SetupError(
            f"this distribution offers micropython {'.'.join(map(str, found)) or 'not at all'}, "
            "and 1.24 is the oldest that will do: install a newer one so that `micropython` is on "
            "the PATH, or use Debian"
        )

    def _configure(self, step: Step, stanza: str) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        for name in ("parts", "state/lists/partial", "cache/archives/partial"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "parts" / "private.sources").write_text(stanza)
        (self.folder / "status").touch()
        _, architecture = step.run(
            ["dpkg", "--print-architecture"], failure="dpkg does not know this machine"
        )
        # Hooks of the machine's own apt are for its own lists; other architectures' lists are
        # large. The download is done as the caller: apt's own user cannot write in here.
        self.config.write_text(
            "#clear APT::Update::Post-Invoke;\n"
            "#clear APT::Update::Post-Invoke-Success;\n"
            "#clear APT::Architectures;\n"
            f'APT::Architectures {{ "{architecture.strip()}"; }};\n'
            'APT::Sandbox::User "";\n'
            'Acquire::Retries "2";\n'
            'Acquire::http::Timeout "20";\n'
            'Acquire::https::Timeout "20";\n'
            f'Dir::Etc::sourcelist "/dev/null";\n'
            f'Dir::Etc::sourceparts "{self.folder}/parts";\n'
            f'Dir::Etc::preferences "/dev/null";\n'
            f'Dir::Etc::preferencesparts "/dev/null";\n'
            f'Dir::State "{self.folder}/state";\n'
            f'Dir::State::status "{self.folder}/status";\n'
            f'Dir::Cache "{self.folder}/cache";\n'
        )

    def _apt(
        self, step: Step, *command: str, cwd: Path | None = None, may_fail: bool = False
    ) -> tuple[int, str]:
        return step.run(
            [command[0], "-c", str(self.config), *command[1:]],
            failure="apt could not fetch MicroPython; is the internet reachable? apt said",
            env=clean_environment(),
            cwd=cwd,
            may_fail=may_fail,
        )

    def fetch_binaries(self, step: Step, folder: Path) -> None:
        """Unpacks micropython and every library that it needs, the C library too, into `folder`."""
        _, listing = self._apt(
            step, "apt-cache", "depends", "--recurse", "--no-recommends", "--no-suggests",
            "--no-conflicts", "--no-breaks", "--no-replaces", "--no-enhances", "micropython",
        )  # fmt: skip
        names = sorted(set(re.findall(r"^([a-z0-9][^\s:]*)$", listing, re.MULTILINE)))
        step.say(f"fetching {' '.join(names)} ...")
        packages = folder.with_name(folder.name + "-packages")
        shutil.rmtree(packages, ignore_errors=True)
        packages.mkdir(parents=True)
        self._apt(step, "apt-get", "download", *names, cwd=packages)
        for package in sorted(packages.glob("*.deb")):
            step.run(["dpkg-deb", "-x", str(package), str(folder)], failure="a package is damaged")
        shutil.rmtree(packages)

    def fetch_source(self, step: Step) -> Path:
        """Downloads Debian's micropython source; returns the path of the upstream archive."""
        step.say("fetching MicroPython's source ...")
        DOWNLOADS.mkdir(parents=True, exist_ok=True)
        self._apt(step, "apt-get", "source", "--download-only", "micropython", cwd=DOWNLOADS)
        source = newest_source()
        if source is None:
            raise SetupError("apt fetched micropython's source, but there is no archive in it")
        return source

    def close(self) -> None:
        """Removes the package lists, which are large and soon old."""
        shutil.rmtree(self.folder, ignore_errors=True)


def newest_source() -> Path | None:
    """The upstream archive that an earlier run downloaded, None if there is none."""
    found = [
        path
        for path in DOWNLOADS.glob("micropython_*.orig.tar.*")
        if version_of(path.name) >= OLDEST_MICROPYTHON and not path.name.endswith(".asc")
    ]
    return max(found, key=lambda path: version_of(path.name), default=None)
