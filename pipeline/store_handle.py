"""ML Metadata as TFX's own functions take them. Imports TFX."""

from tfx.orchestration import metadata

from pipeline.store_address import StoreAddress
from pipeline.store_connection import connect


class StoreHandle(metadata.Metadata):
    """TFX's handle of a store; its connection is made by `connect` each time, and its own config has no password."""

    def __init__(self, address: StoreAddress):
        super().__init__(address.connection(secrets=False))
        self._address = address

    def __enter__(self) -> "StoreHandle":
        self._store = connect(self._address, patient=True)
        self._users += 1
        return self
