"""The texts that the canary asks, and leaves beside a model for servers to warm up with."""

import pytest

from modules.canary import _spread, _warmup
from serving.canary import Traffic
from serving.server.tensors import to_array


def test_a_text_of_the_middle_length_comes_first_and_all_together_last() -> None:
    traffic = Traffic([["a"], ["bb"], ["ccc"], ["dddd"], ["eeeee"]], [])
    logs = list(_warmup(traffic, ["text"]))
    asked = [to_array(log.predict_log.request.inputs["text"]).tolist() for log in logs]
    assert asked[0] == [b"ccc"]
    assert sorted(asked[:-1]) == [[b"a"], [b"bb"], [b"ccc"], [b"dddd"], [b"eeeee"]]
    assert asked[-1] == [b"a", b"bb", b"ccc", b"dddd", b"eeeee"]


def test_the_only_text_is_asked_alone_and_as_a_batch() -> None:
    logs = list(_warmup(Traffic([["a", "b"]], []), ["question", "context"]))
    asked = [{name: to_array(t).tolist() for name, t in log.predict_log.request.inputs.items()} for log in logs]
    assert asked == [{"question": [b"a"], "context": [b"b"]}] * 2


@pytest.mark.parametrize(
    ("lengths", "count"),
    [([7], 1), ([5, 6, 7], 3), ([40] * 500, 16), ([12_000] * 500, 8), ([60_000] * 500, 4)],
    ids=["one", "few", "short", "long", "whole articles"],
)
def test_fewer_texts_are_asked_where_they_are_long(lengths: list[int], count: int) -> None:
    places = _spread(lengths)
    assert len(places) == len(set(places)) == count
    assert (places[0], places[-1]) == (0, len(lengths) - 1)
