"""Where an Airflow of our own lives, and what its processes are told by environment variables."""

import json
import os
import secrets
import socket
from dataclasses import dataclass, field
from pathlib import Path

from data.errors import UserError

BIN = Path(__file__).parents[2] / ".bootstrap" / "airflow" / "bin"
USER = "admin"


@dataclass(frozen=True)
class Place:
    """An Airflow with a folder for everything that it writes; its user is `admin`, its password new with each place.

    parallelism: tasks at once, of all DAGs.
    """

    home: Path
    port: int = 8080
    parallelism: int = 2
    password: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    secret: str = field(default_factory=lambda: secrets.token_hex(32))
    bin: Path = BIN

    @property
    def dags(self) -> Path:
        return self.home / "dags"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def passwords(self) -> Path:
        return self.home / "passwords.json"

    def make_folders(self) -> None:
        """Makes the folders, and the file of passwords for this user alone."""
        for folder in (self.home, self.dags, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        self.passwords.unlink(missing_ok=True)
        with os.fdopen(os.open(self.passwords, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            json.dump({USER: self.password}, file)

    def environment(self) -> dict[str, str]:
        """The variables of all processes of this Airflow; nothing of it listens but on 127.0.0.1."""
        settings = {
            "CORE__DAGS_FOLDER": self.dags,
            "CORE__LOAD_EXAMPLES": False,
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__PARALLELISM": self.parallelism,
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": self.passwords,
            "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home}/airflow.db",
            "API__HOST": "127.0.0.1",
            "API__PORT": self.port,
            "API__BASE_URL": self.url,
            "API__SECRET_KEY": self.secret,
            "API__WORKERS": 1,
            "API_AUTH__JWT_SECRET": self.secret,
            "DAG_PROCESSOR__REFRESH_INTERVAL": 5,
            "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": 5,
            "LOGGING__BASE_LOG_FOLDER": self.logs,
            "USAGE_DATA_COLLECTION__ENABLED": False,
        }
        own = {f"AIRFLOW__{name}": str(value) for name, value in settings.items()}
        others = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))}
        path = f"{self.bin}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return others | own | {"AIRFLOW_HOME": str(self.home), "PATH": path}


def check_port(port: int) -> None:
    """Raises: UserError: someone listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise UserError(
                f"127.0.0.1:{port} cannot be had ({error.strerror}): end what listens there, or choose another port:"
                f" make airflow-demo PORT={port + 1}"
            ) from None
