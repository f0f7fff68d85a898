"""What goes wrong with a database server, in words; MLMD itself says the reason on stderr alone, or not at all."""

import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from data.errors import UserError
from pipeline.database_server import DatabaseServer

_MISSING = re.compile(r'database ".*" does not exist|Unknown database')
_FORBIDDEN = re.compile(r"permission denied|Access denied for user .* to database|command denied")
_REFUSED = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|role \".*\" (does not exist|is not permitted)"
    r"|Access denied|mysql_real_connect failed"
)
_AWAY = re.compile(
    r"could not connect|[Cc]onnection refused|starting up|shutting down|too many|connection slots|terminating"
    r"|server closed the connection|gone away|Lost connection|Can't connect"
    r"|PostgreSQL metadata source error: *$"  # a connection that it knows to be lost
)
_VERSION = re.compile(r"MLMD database version (\d+) is (greater|older) than library version (\d+)")
# As MLMD's log has it: a letter and the date, the time, the thread, the place.
_LOGGED = re.compile(r"^(?:[IWEF]\d{4} .*?\] |WARNING: Logging before InitGoogle)")
_CONNECTING = re.compile(r"\] (Connecting|Connection) to database|WARNING: Logging before InitGoogle")
_one_at_a_time = threading.Lock()


class Missing(UserError):
    """The server is there, the database is not."""


class Away(UserError):
    """The server cannot be reached, or lets no one in for the moment."""


def is_away(reason: str) -> bool:
    """Whether MLMD's words tell of a lost connection."""
    return bool(_AWAY.search(reason))


def of_version(place: object, reason: str) -> UserError | None:
    """The error of a store, on a server or not, whose tables another version of MLMD has made."""
    found = _VERSION.search(reason)
    if found is None:
        return None
    theirs, which, ours = found.groups()
    remedy = (
        "use the version of tfx-bert that made it, or one that is newer than this"
        if which == "greater"
        else "make a backup, then upgrade it, as pipeline/docs/metadata.md says (Upgrading)"
    )
    return UserError(f"{place}: ML Metadata's tables are of version {theirs}, this MLMD's of version {ours}: {remedy}")


def fault(server: DatabaseServer, reason: str) -> UserError | None:
    """The error that MLMD's words stand for; None where they stand for none that is known."""
    settings = server.settings
    if _MISSING.search(reason):
        return Missing(
            f"{server}: there is no database {settings.database!r} on the server: tfx-bert run makes it where the user"
            " may, and pipeline/docs/metadata.md says how to make it by hand"
        )
    if _FORBIDDEN.search(reason):
        return UserError(
            f"{server}: the user {settings.user!r} may not do that ({_last_words(reason)}): make the database for it as"
            f" pipeline/docs/metadata.md says, with {settings.user!r} as its owner"
        )
    if _REFUSED.search(reason):
        plugin = "; of MySQL's ways to log in, MLMD knows mysql_native_password alone"
        return UserError(
            f"{server}: the server does not let the user {settings.user!r} in ({_last_words(reason)});"
            f" {_password_from(server)}{plugin if settings.kind == 'mysql' else ''}"
        )
    if is_away(reason):
        return away(server, _last_words(reason))
    return of_version(server, reason)


def away(server: DatabaseServer, why: str) -> Away:
    return Away(
        f"{server}: the server cannot be reached ({why}): is it running, and are orchestration.metadata.host and port"
        " its own?"
    )


def unknown(server: DatabaseServer, reason: str) -> UserError:
    return UserError(f"{server}: ML Metadata cannot be opened: {_last_words(reason)}")


def _password_from(server: DatabaseServer) -> str:
    variable, file = server.settings.password_env, server.settings.password_file
    if variable or file:
        return f"the password is that of {f'the environment variable {variable}' if variable else file}"
    return "no password is set: orchestration.metadata.password_env names the environment variable that has it"


def _last_words(reason: str) -> str:
    """What the server, or else its client, says in one line of all that MLMD has logged and raised."""
    for pattern in (r"(?:FATAL|ERROR): +([^\n]+)", r"fe_sendauth: ([^\n]+)", r"errno: [^\n]+, error: ([^\n]+)"):
        found = re.search(pattern, reason)
        if found:
            return found[1]
    if "mysql_real_connect failed" in reason:
        return "it does not say why"
    return next((line.strip() for line in reason.split("\n") if line.strip()), "no reason was given")


@dataclass
class Said:
    """What MLMD wrote to stderr, without the places in its sources."""

    text: str = ""


@contextmanager
def what_mlmd_says() -> Iterator[Said]:
    """Catches what MLMD's C++ writes to descriptor 2 meanwhile; what others write goes where it would have gone."""
    said = Said()
    with _one_at_a_time, tempfile.TemporaryFile() as file:
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield said
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            file.seek(0)
            lines = file.read().decode("utf-8", "replace").splitlines(keepends=True)
            _keep(lines, said, kept)
            os.close(kept)


def _keep(lines: list[str], said: Said, stderr: int) -> None:
    logged = False
    for line in lines:
        begins = _LOGGED.match(line)
        # libpq's messages have several lines.
        logged = bool(begins) or (logged and (line[0].isspace() or line.startswith("LINE ")))
        if not logged:
            os.write(stderr, line.encode())
        elif not _CONNECTING.search(line):
            said.text += line[begins.end() :] if begins else line
