"""The one way in which tests wait: until an answer is the wanted one, and no longer than they say."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from support.waiting import eventually


def answers(*given: object) -> Callable[[], object]:
    """Gives them in turn, raising those that are errors; the last one for ever."""
    left: Iterator[object] = iter(given)

    def ask() -> object:
        answer = next(left, given[-1])
        if isinstance(answer, Exception):
            raise answer
        return answer

    return ask


def test_the_first_true_answer_is_given_back() -> None:
    assert eventually(answers(None, 0, "", "here"), "something comes") == "here"


def test_an_answer_may_be_wanted_though_it_is_not_true() -> None:
    assert eventually(answers(2, 1, 0), "none is left", wanted=lambda left: left == 0) == 0


def test_nobody_answering_is_not_yet_an_answer() -> None:
    assert eventually(answers(ConnectionRefusedError(), FileNotFoundError(), True), "somebody answers")


@pytest.mark.parametrize("error", [KeyError("name"), AssertionError("the process has ended")], ids=repr)
def test_any_other_error_ends_the_waiting(error: Exception) -> None:
    with pytest.raises(type(error), match=str(error.args[0])):
        eventually(answers(error, True), "somebody answers")


def test_in_vain_it_says_what_was_waited_for_and_what_came_last() -> None:
    with pytest.raises(AssertionError, match=r"waited 0\.05 s in vain: the file is there; the last answer: 'no'"):
        eventually(answers("maybe", "no"), "the file is there", 0.05, wanted=lambda answer: answer == "yes")


def test_in_vain_it_shows_the_error_that_came_last() -> None:
    with pytest.raises(AssertionError, match="the last answer: ConnectionRefusedError") as caught:
        eventually(answers(ConnectionRefusedError("port 9")), "somebody answers", 0.05)
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
