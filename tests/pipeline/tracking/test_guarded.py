"""A tracker at arm's length: order is kept, nothing it does reaches the caller, and nobody waits for ever."""

import logging
import sys
import threading

import pytest

from pipeline.tracking.guarded import Guarded

SECONDS = 30.0


def fail(message: str) -> None:
    raise ValueError(message)


def test_calls_are_made_in_order_in_a_thread_of_their_own() -> None:
    made: list[tuple[int, int]] = []
    guarded = Guarded("T", lambda line: None)
    for number in range(100):
        guarded.later(lambda number=number: made.append((number, threading.get_ident())))
    assert guarded.close(SECONDS, lambda: fail("abandoned"))
    assert [number for number, _ in made] == list(range(100))
    assert {thread for _, thread in made}.isdisjoint({threading.get_ident()})
    assert guarded.fault is None


def test_the_first_fault_is_told_in_a_line_the_rest_goes_to_the_log_and_calls_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[str] = []
    made: list[str] = []
    guarded = Guarded("T", told.append)
    guarded.now(lambda: fail("no network\nand much more"))
    guarded.later(lambda: fail("again"))
    guarded.later(lambda: sys.exit("a library may do that"))
    guarded.later(lambda: made.append("went on"))
    assert guarded.close(SECONDS, lambda: None)
    assert told == ["T: no network; the run goes on"]
    assert guarded.fault == "no network"
    assert made == ["went on"]
    logged = [record for record in caplog.records if record.name == "tfx_bert.tracking"]
    assert len(logged) == 3
    assert all(record.levelno == logging.WARNING and record.exc_info for record in logged)


def test_an_error_without_a_message_is_told_by_its_name() -> None:
    told: list[str] = []
    Guarded("T", told.append).now(lambda: fail(""))
    assert told == ["T: ValueError; the run goes on"]


def test_after_a_vital_call_has_failed_no_other_is_made() -> None:
    made: list[str] = []
    guarded = Guarded("T", lambda line: None)
    guarded.later(lambda: fail("did not begin"), vital=True)
    guarded.later(lambda: made.append("later"))
    assert guarded.close(SECONDS, lambda: None)
    assert made == []


def test_a_call_that_never_ends_is_abandoned_when_the_time_is_over() -> None:
    told: list[str] = []
    stop = threading.Event()
    guarded = Guarded("T", told.append)
    guarded.later(lambda: stop.wait() and None)
    assert not guarded.close(0.05, stop.set)
    assert stop.is_set()
    assert told == ["T: did not end within 0.05 s; the run goes on"]
