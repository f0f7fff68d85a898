"""A suite of behaviour tests as it is written: plain values, checked in shape alone."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

MOST_CASES = 200
ONLY_INPUT = ""
"""The key of a text that is given without its input's name, where the task has one input."""
EXPECT = "expect"


def _as_text(value: Any) -> Any:
    """YAML reads an unquoted 0 as a number and an unquoted no as false."""
    if isinstance(value, bool):
        raise ValueError("YAML reads unquoted yes, no, true and false as booleans: put quotes around it")
    return str(value) if isinstance(value, int | float) else value


def _as_inputs(value: Any) -> Any:
    return value if isinstance(value, dict) else {ONLY_INPUT: value}


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Label = Annotated[str, BeforeValidator(_as_text)]
"""An answer in the form of `Answer.label`; that of having found nothing is empty."""
Text = Annotated[Label, Field(min_length=1)]
Texts = Annotated[list[Text], Field(min_length=1), BeforeValidator(_as_list)]
Inputs = Annotated[dict[str, Label], BeforeValidator(_as_inputs)]
"""A request: a text, or a text by input, beside which `expect` may stand."""
Lexicons = dict[str, Annotated[list[Text], Field(min_length=1)]]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


KINDS_OF_CHANGE = ("typos", "case", "punctuation", "swap", "replace", "add", "prepend")


class Change(_Part):
    """One way to change a text; texts that it leaves as they are make no case.

    swap, replace: whole words, case-sensitive, in every input; the others change the first input, or that which `input`
    names.
    """

    typos: int | None = Field(None, ge=1, description="so many times, two neighbouring letters of a word change places")
    seed: int = Field(0, description="of the typos")
    case: Literal["upper", "lower", "title"] | None = None
    punctuation: Literal["end", "all"] | None = Field(None, description="drops the marks at the end, or all of them")
    swap: Texts | None = Field(
        None, description="a lexicon, or a list of words: each of them becomes each of the others, a case each"
    )
    replace: dict[Text, Text] | None = Field(None, min_length=1, description="{old: new}, all together")
    add: Texts | None = Field(None, description="put at the end; of a list, a case each")
    prepend: Texts | None = Field(None, description="put before the text; of a list, a case each")
    input: str | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Change:
        given = [kind for kind in KINDS_OF_CHANGE if getattr(self, kind) is not None]
        if len(given) != 1:
            what = f"{' and '.join(given)} are given" if given else "nothing is given"
            raise ValueError(f"a change is one of {', '.join(KINDS_OF_CHANGE)}; {what}")
        return self


class _Test(_Part):
    """What tests of all kinds have."""

    name: Text
    max_failure_rate: float = Field(ge=0, le=1, description="the share of its cases that may fail")
    texts: list[Inputs] = []
    templates: list[Inputs] = Field([], description='"A {adj} film.": filled with every word of the lexicon adj')
    lexicons: Lexicons = Field({}, description="of this test alone, over those of the suite")
    max_cases: int | None = Field(None, ge=1, description="the suite's, unless given")


class MinimumFunctionality(_Test):
    """MFT: simple texts whose answer is beyond doubt."""

    kind: Literal["minimum_functionality"]
    expect: Label | None = Field(None, description="the answer to each text that does not bring its own `expect`")


class _Changing(_Test):
    rows: int | None = Field(None, ge=1, description="so many texts of the eval split, always the same")
    change: Change


class Invariance(_Changing):
    """INV: a change that must not change the answer.

    With a tolerance it is the probability of the answered label that counts: it may move by that much.
    """

    kind: Literal["invariance"]
    tolerance: float | None = Field(None, ge=0, le=1)


class Directional(_Changing):
    """DIR: a change after which a label's probability must not move the other way by more than the tolerance."""

    kind: Literal["directional"]
    label: Label
    expect: Literal["up", "down"]
    tolerance: float = Field(0.0, ge=0, le=1)


Test = MinimumFunctionality | Invariance | Directional
TEST_CLASSES: dict[str, type[_Test]] = {
    "minimum_functionality": MinimumFunctionality,
    "invariance": Invariance,
    "directional": Directional,
}


class Suite(_Part):
    """Tests, and the lexicons that their templates and swaps name."""

    name: Text
    lexicons: Lexicons = {}
    max_cases: int = Field(MOST_CASES, ge=1, description="of a test that has more, so many are drawn, always the same")
    tests: list[Annotated[Test, Field(discriminator="kind")]] = Field(min_length=1)

    def lexicons_of(self, test: Test) -> Lexicons:
        return {**self.lexicons, **test.lexicons}

    @property
    def rows(self) -> int:
        """How many rows of the eval split are needed."""
        return max(rows_of(test) for test in self.tests)


def rows_of(test: Test) -> int:
    """How many rows of the eval split a test takes."""
    return 0 if isinstance(test, MinimumFunctionality) else test.rows or 0
