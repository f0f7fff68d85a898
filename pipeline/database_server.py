"""ML Metadata on PostgreSQL or MySQL: the connection, whose password is read where it is needed and kept nowhere."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import UserError
from pipeline.settings.metadata import MetadataServer

if TYPE_CHECKING:  # the configuration is read by commands that never open a store
    from ml_metadata.proto.metadata_store_pb2 import ConnectionConfig

PORTS = {"postgresql": 5432, "mysql": 3306}


@dataclass(frozen=True)
class DatabaseServer:
    """A database on a server: many writers at a time, and the pipelines of many artifact roots."""

    settings: MetadataServer
    shared = True

    @property
    def patience(self) -> float:
        return self.settings.retry_seconds

    @property
    def port(self) -> int:
        return self.settings.port or PORTS[self.settings.kind]

    @property
    def socket(self) -> str | None:
        """The socket in the file system, where `host` says that it is one."""
        host = self.settings.host
        if not host.startswith("/"):
            return None
        return f"{host}/.s.PGSQL.{self.port}" if self.settings.kind == "postgresql" else host

    def exists(self) -> bool:
        """Whether the database is there and TFX has written to it.

        Raises:
          UserError: the server cannot be reached, or does not let us in.
        """
        from pipeline.server_faults import Missing
        from pipeline.store_connection import connect

        try:
            return bool(connect(self).get_context_types())
        except Missing:
            return False

    def prepare(self) -> None:
        """Makes the database and MLMD's tables in it, where they are not there.

        Raises:
          UserError: the server cannot be reached, does not let us in, or does not let us make the database.
        """
        from pipeline.store_connection import connect

        connect(self, create=True)

    def connection(self, *, readonly: bool = False, secrets: bool = True) -> ConnectionConfig:
        """What MLMD's client takes to connect to a database that is there.

        Raises:
          UserError: the password is not where the settings say.
        """
        from ml_metadata.proto import metadata_store_pb2

        config = metadata_store_pb2.ConnectionConfig()
        fill = self._fill_postgresql if self.settings.kind == "postgresql" else self._fill_mysql
        fill(config, self.password() if secrets else "")
        return config

    def password(self) -> str:
        """The password; empty where the settings name no place for one.

        Raises:
          UserError: the environment variable is not set, or the file cannot be read.
        """
        variable, file = self.settings.password_env, self.settings.password_file
        if variable and not os.environ.get(variable):
            raise UserError(
                f"{self}: the password is to be in the environment variable {variable}"
                f" (orchestration.metadata.password_env), which is not set: export {variable}=..."
            )
        if variable:
            return os.environ[variable]
        if not file:
            return ""
        try:
            return Path(file).read_text(encoding="utf-8").split("\n")[0].rstrip("\r")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise UserError(f"{self}: orchestration.metadata.password_file {file} cannot be read: {reason}") from None

    def _fill_postgresql(self, config: ConnectionConfig, password: str) -> None:
        to = config.postgresql
        to.host, to.port, to.user = (_quoted(each) for each in (self.settings.host, str(self.port), self.settings.user))
        to.dbname = self.settings.database
        to.skip_db_creation = True
        if password:
            to.password = _quoted(password)

    def _fill_mysql(self, config: ConnectionConfig, password: str) -> None:
        to = config.mysql
        if self.socket:
            to.socket = self.socket
        else:
            # To MySQL's client, localhost is the socket that was compiled in.
            to.host = "127.0.0.1" if self.settings.host == "localhost" else self.settings.host
            to.port = self.port
        to.user, to.database, to.password = self.settings.user, self.settings.database, password
        to.skip_db_creation = True
        if self.settings.tls:
            for name, value in self.settings.tls.model_dump(exclude_none=True).items():
                setattr(to.ssl_options, name, value)

    def __str__(self) -> str:
        one = self.settings
        where = one.host if self.socket else f"{one.host}:{self.port}"
        return f"{one.kind}://{one.user}@{where}/{one.database}"


def _quoted(value: str) -> str:
    """A value of PostgreSQL's connection string, into which MLMD puts it as it is."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
