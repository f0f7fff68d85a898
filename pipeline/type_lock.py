"""One client at a time registers a type: MLMD looks whether there is one, then writes, and nothing stops two at once.

Without it, two runs that begin together on a new database make each type twice, and lose what hangs on the second.
Seen with MLMD 1.21 on PostgreSQL 16: after 8 nodes had begun at once, three types were there twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from pipeline.database_server import DatabaseServer
from pipeline.server_faults import Away, away

# PostgreSQL's locks have numbers, which are the database's own: the CRC-32 of the name.
NAME, NUMBER = "tfx_bert.types", 3530487530
WAIT_SECONDS = 60


@contextmanager
def types_locked(server: DatabaseServer) -> Iterator[None]:
    """Holds the database's lock of types; the server lets go of it however the process ends.

    Raises:
      Away: it cannot be had.
    """
    with (_postgresql if server.settings.kind == "postgresql" else _mysql)(server):
        yield


@contextmanager
def _postgresql(server: DatabaseServer) -> Iterator[None]:
    import psycopg

    one = server.settings
    try:
        connection = psycopg.connect(
            host=one.host,
            port=server.port,
            user=one.user,
            password=server.password() or None,
            dbname=one.database,
            connect_timeout=10,
            options=f"-c lock_timeout={WAIT_SECONDS}s",
        )
    except psycopg.Error as error:
        raise _not_had(server, error) from None
    # A lock of the transaction, not of the session: poolers between us and the server know what to do with it.
    with closing(connection):
        try:
            connection.execute("select pg_advisory_xact_lock(%s)", [NUMBER])
        except psycopg.Error as error:
            raise _not_had(server, error) from None
        yield


@contextmanager
def _mysql(server: DatabaseServer) -> Iterator[None]:
    import pymysql

    one, tls = server.settings, server.settings.tls
    trust = {"ssl_ca": tls.ca, "ssl_cert": tls.cert, "ssl_key": tls.key} if tls else {"ssl_disabled": True}
    try:
        connection = pymysql.connect(
            host="127.0.0.1" if server.socket else one.host,
            unix_socket=server.socket,
            port=server.port,
            user=one.user,
            password=server.password(),
            database=one.database,
            connect_timeout=10,
            **trust,
        )
    except pymysql.Error as error:
        raise _not_had(server, error) from None
    with closing(connection), connection.cursor() as cursor:
        # MySQL's locks are the whole server's.
        cursor.execute("select get_lock(%s, %s)", (f"{NAME}.{one.database}"[:64], WAIT_SECONDS))
        row = cursor.fetchone()
        if row is None or row[0] != 1:
            raise _not_had(server, TimeoutError(f"someone else holds it since {WAIT_SECONDS} s"))
        yield


def _not_had(server: DatabaseServer, error: Exception) -> Away:
    return away(server, f"the lock of its types cannot be had: {str(error).strip().splitlines()[-1]}")
