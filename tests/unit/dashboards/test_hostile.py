"""Whatever is given for a parameter of a question is taken or refused in one line."""

import pytest

from dashboards.questions import Question, load_questions
from loader.warehouse.errors import UsageError
from loader.warehouse.text import one_line
from tests.hostile import TEXTS


@pytest.mark.parametrize("name", load_questions())
def test_a_value_is_taken_or_refused_by_the_name_of_its_parameter(name: str) -> None:
    question = load_questions()[name]
    for parameter in question.parameters:
        for text in TEXTS:
            if said := _refusal(question, parameter, text):
                assert said.startswith(f"{name}: {parameter} must be ")
                assert one_line(said).isprintable()


def _refusal(question: Question, parameter: str, text: str) -> str | None:
    try:
        question.bind({parameter: text})
    except UsageError as error:
        return str(error)
    return None
