"""A PostgreSQL server of its own for the tests, from Debian's package `postgresql`, on a free port."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PASSWORD = "p@ss/w:rd#%41?"


@dataclass(frozen=True)
class Postgres:
    """A running server; `reader` may read the tables that are granted to it, with the password `PASSWORD`."""

    port: int
    binaries: Path
    user: str | None

    @property
    def url(self) -> str:
        return f"postgresql://reader:${{DB_PASSWORD}}@127.0.0.1:{self.port}/shop"

    def sql(self, *statements: str) -> str:
        """Run statements as the administrator; returns what the last one gives, without headings."""
        command = ["psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", "shop"]
        for one in statements:
            ran = subprocess.run(
                [*command, "-v", "ON_ERROR_STOP=1", "-qtA", "-c", one], check=True, capture_output=True, text=True
            )
        return ran.stdout.strip()


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Start a server in a new folder. Skips without the package, and fails in CI."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found or not shutil.which("psql"):
        message = "there is no PostgreSQL server: apt-get install postgresql (root on Debian)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    binaries = found[-1].parent
    # The server refuses to run as root.
    user = "postgres" if os.getuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as name:
        folder = Path(name)
        data = folder / "data"
        data.mkdir()
        if user:
            folder.chmod(0o755)
            shutil.chown(data, user)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        _run(user, binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--locale=C")
        access = "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        (data / "pg_hba.conf").write_text(access)
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        _run(user, binaries / "pg_ctl", "-D", data, "-o", options, "-l", data / "log", "-w", "start")
        try:
            server = Postgres(port, binaries, user)
            create = ["psql", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-qc", "CREATE DATABASE shop"]
            subprocess.run(create, check=True, capture_output=True)
            server.sql(f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'")
            yield server
        finally:
            _run(user, binaries / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")


def _run(user: str | None, *command: str | Path) -> None:
    words = [*(["runuser", "-u", user, "--"] if user else []), *map(str, command)]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, cwd="/")
