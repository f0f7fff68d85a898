"""Each way in which words and tags can disagree is named with its column, word and remedy."""

import pytest

from data.row_rules import Cells, RowRules
from data.tagged_rows import TaggedRows

ANY: RowRules = TaggedRows("tokens", "tags", None)
KNOWN = TaggedRows("words", "bio", ("person", "place"))


def fault_of(tokens: str, tags: str, rules: RowRules = ANY) -> str:
    verdict = rules.read([tokens, tags])
    assert isinstance(verdict, str), verdict
    return verdict


def test_types_come_in_the_order_in_which_they_first_appear() -> None:
    tokens = "Bonn hears Ada Lovelace , Ada and Rome"
    tags = "B-place O B-person I-person O B-person O B-place"
    assert ANY.read([tokens, tags]) == Cells((tokens, tags), tokens, ("place", "person"))


def test_a_sentence_without_entities_has_no_labels() -> None:
    assert ANY.read(["Nothing here", "O O"]) == Cells(("Nothing here", "O O"), "Nothing here", ())


def test_runs_of_spaces_and_outer_ones_are_one_separator_or_none() -> None:
    assert ANY.read(["  Ada   went  ", " B-person O"]) == Cells(("Ada went", "B-person O"), "Ada went", ("person",))


def test_other_spaces_belong_to_their_word() -> None:
    tokens = "New\u00a0York 3\u200910 \u3000 \u2028 x"
    verdict = ANY.read([tokens, "B-place O O O O"])
    assert verdict == Cells((tokens, "B-place O O O O"), tokens, ("place",))


def test_two_entities_of_one_type_may_stand_side_by_side() -> None:
    verdict = KNOWN.read(["Ada Bob Rome", "B-person B-person B-place"])
    assert isinstance(verdict, Cells)
    assert verdict.labels == ("person", "place")


def test_a_type_may_hold_hyphens() -> None:
    verdict = ANY.read(["The Hobbit", "B-creative-work I-creative-work"])
    assert isinstance(verdict, Cells)
    assert verdict.labels == ("creative-work",)


@pytest.mark.parametrize("tokens", ["", "   ", "\t\n", "\u00a0"])
def test_a_row_without_words_is_a_fault(tokens: str) -> None:
    assert fault_of(tokens, "O") == f"column 'tokens' is empty: {tokens!r}"


@pytest.mark.parametrize(
    ("tokens", "tags", "counts"),
    [
        ("Ada went", "B-person", "column 'tokens' holds 2 words, column 'tags' 1 tag: "),
        ("Ada", "B-person O", "column 'tokens' holds 1 word, column 'tags' 2 tags: "),
        ("Ada went", "", "column 'tokens' holds 2 words, column 'tags' 0 tags: "),
    ],
)
def test_unequal_counts_are_both_named(tokens: str, tags: str, counts: str) -> None:
    assert fault_of(tokens, tags) == counts + "give each word one tag; words and tags are separated by spaces"


@pytest.mark.parametrize("tag", ["o", "person", "B", "I-", "B_person", "b-person", "X-person", "O\n"])
def test_a_tag_outside_bio_is_named_with_its_word(tag: str) -> None:
    assert fault_of("a Ada", f"O {tag}") == (
        f"tag {tag!r} of word 2 ('Ada') in column 'tags' is none of O, B-x and I-x, where x is the entity's type"
    )


@pytest.mark.parametrize("prefix", list("SELU"))
def test_tags_of_other_schemes_are_sent_to_the_converter(prefix: str) -> None:
    fault = fault_of("Ada went", f"{prefix}-person O")
    assert fault.startswith(f"tag '{prefix}-person' of word 1 ('Ada') in column 'tags' is none of O, B-x and I-x")
    assert fault.endswith("BILOU or IOBES scheme, which `tfx-bert data convert` turns into BIO from a CoNLL file")


@pytest.mark.parametrize("tags", ["I-place O O", "O I-place O", "B-person I-place O", "B-place O I-place"])
def test_an_inside_tag_that_continues_nothing_is_a_fault(tags: str) -> None:
    at = tags.split().index("I-place")
    assert fault_of("one two three", tags) == (
        f"tag 'I-place' of word {at + 1} ({('one', 'two', 'three')[at]!r}) in column 'tags' continues no entity "
        "of its type: write 'B-place' where an entity begins (`tfx-bert data convert` does so from a CoNLL file)"
    )


def test_an_unknown_type_is_named_with_the_known_ones() -> None:
    assert fault_of("met Acme", "O B-firm", KNOWN) == (
        "tag 'B-firm' of word 2 ('Acme') in column 'bio' is of an unknown type, 'firm' (known: 'person', 'place')"
    )


def test_types_that_were_found_are_asked_for_from_then_on() -> None:
    assert ANY.labels is None
    known = ANY.with_labels(("place",))
    assert known.labels == ("place",)
    assert known.columns == ("tokens", "tags")
    assert isinstance(known.read(["Rome", "B-place"]), Cells)
    assert "unknown type, 'person'" in fault_of("Ada", "B-person", known)
