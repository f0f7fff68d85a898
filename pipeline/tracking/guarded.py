"""A tracker at arm's length: the run waits for none of its calls, and none of its faults reaches the run."""

import logging
import queue
import threading
from collections.abc import Callable

_LOGGER = logging.getLogger("tfx_bert.tracking")
_AFTER_ABANDONING = 5.0
_LOGGED_FAULTS = 20


class Guarded:
    """Makes calls one by one in a thread of its own; the first fault is told in a line, the first few go to the log.

    Attributes:
      fault: what was told, None while nothing went wrong.
    """

    def __init__(self, title: str, say: Callable[[str], None]):
        self._title, self._say = title, say
        self._calls: queue.SimpleQueue[tuple[Callable[[], None], bool] | None] = queue.SimpleQueue()
        self._faults = 0
        self._thread = threading.Thread(target=self._work, name="tracker", daemon=True)
        self._thread.start()
        self.fault: str | None = None

    def later(self, call: Callable[[], None], *, vital: bool = False) -> None:
        """Makes a call after those before it; returns at once. Where a `vital` one fails, none is made after it."""
        self._calls.put((call, vital))

    def now(self, call: Callable[[], None]) -> None:
        """Makes a call in this thread: for what must not happen beside the run's own work."""
        try:
            call()
        except Exception as error:
            self._tell(error)

    def close(self, seconds: float, abandon: Callable[[], None]) -> bool:
        """Waits until all calls are made, but no longer than `seconds`: then calls `abandon` and returns False."""
        self._calls.put(None)
        self._thread.join(seconds)
        if not self._thread.is_alive():
            return True
        self._tell(TimeoutError(f"did not end within {seconds:g} s"))
        self.now(abandon)
        self._thread.join(_AFTER_ABANDONING)
        return False

    def _work(self) -> None:
        while waiting := self._calls.get():
            call, vital = waiting
            try:
                call()
            except BaseException as error:  # a library may even call sys.exit
                self._tell(error)
                if vital:
                    return

    def _tell(self, error: BaseException) -> None:
        self._faults += 1
        if self._faults <= _LOGGED_FAULTS:
            _LOGGER.warning("%s: %s", self._title, error, exc_info=error)
        if self.fault is None:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            self.fault = lines[0]
            self._say(f"{self._title}: {self.fault}; the run goes on")
