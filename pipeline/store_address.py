"""Where ML Metadata is kept, and how to connect to it; whoever opens a store asks here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.database_server import DatabaseServer
from pipeline.settings.metadata import MetadataServer

if TYPE_CHECKING:  # the configuration is read by commands that never open a store
    from ml_metadata.proto.metadata_store_pb2 import ConnectionConfig

DEFAULT_FILE = "metadata.db"


class StoreAddress(Protocol):
    """A place for ML Metadata; as a string, it is what a person is told, without secrets.

    To open the store, pipeline.store_connection.connect.
    """

    @property
    def shared(self) -> bool:
        """Whether pipelines of other artifact roots may be in the same store."""

    @property
    def patience(self) -> float:
        """How long a run waits for a store that cannot be reached, in seconds."""

    def exists(self) -> bool:
        """Whether there is a store that anything was ever written to."""

    def prepare(self) -> None:
        """Makes what must be there before a run: a folder, or a database with MLMD's tables."""

    def connection(self, *, readonly: bool = False, secrets: bool = True) -> ConnectionConfig:
        """What MLMD's client takes.

        Args:
          secrets: with them, it is for this process alone, never to be written anywhere; without, it names the place.
        """


@dataclass(frozen=True)
class SqliteFile:
    """A file: one writer at a time."""

    path: Path
    shared = False
    patience = 0.0

    def exists(self) -> bool:
        return self.path.is_file()

    def prepare(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def connection(self, *, readonly: bool = False, secrets: bool = True) -> ConnectionConfig:
        from ml_metadata.proto import metadata_store_pb2

        config = metadata_store_pb2.ConnectionConfig()
        config.sqlite.filename_uri = str(self.path)
        modes = metadata_store_pb2.SqliteMetadataSourceConfig
        config.sqlite.connection_mode = modes.READONLY if readonly else modes.READWRITE_OPENCREATE
        return config

    def __str__(self) -> str:
        return str(self.path)


def address_from(orchestration: Mapping[str, Any], root: Path) -> StoreAddress:
    """The address by the settings of `orchestration`, as the configuration or a run's record has them.

    Args:
      root: the artifact root, where the store is unless the settings say otherwise.
    """
    server = orchestration.get("metadata")
    if server is not None:
        return DatabaseServer(MetadataServer.model_validate(server))
    return SqliteFile(Path(orchestration.get("metadata_path") or root / DEFAULT_FILE))
