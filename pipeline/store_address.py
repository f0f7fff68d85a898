"""Where ML Metadata is kept, and how to connect to it; whoever opens a store asks here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # the configuration is read by commands that never open a store
    from ml_metadata.proto.metadata_store_pb2 import ConnectionConfig

DEFAULT_FILE = "metadata.db"


class StoreAddress(Protocol):
    """A place for ML Metadata; as a string, it is what a person is told, without secrets."""

    def exists(self) -> bool:
        """Whether there is a store at all; to connect to write makes one."""

    def prepare(self) -> None:
        """Makes what must be there before a store can be."""

    def connection(self, *, readonly: bool = False) -> ConnectionConfig:
        """What MLMD's client takes, secrets among it: for this process alone, never to be written anywhere."""


@dataclass(frozen=True)
class SqliteFile:
    """A file: one writer at a time."""

    path: Path

    def exists(self) -> bool:
        return self.path.is_file()

    def prepare(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def connection(self, *, readonly: bool = False) -> ConnectionConfig:
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
    return SqliteFile(Path(orchestration.get("metadata_path") or root / DEFAULT_FILE))
