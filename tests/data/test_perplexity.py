import math

import pytest

from charlm.data.perplexity import letters, unsure_between


def test_a_loss_is_said_as_the_number_of_letters_that_are_as_hard_to_choose_between():
    assert unsure_between(math.log(4.2), 65) == (
        "as unsure as between 4.2 letters; guessing blindly is 65"
    )
    assert unsure_between(math.log(4.2)) == "as unsure as between 4.2 letters"
    assert unsure_between(8.0, 8000).endswith("between 2,981 letters; guessing blindly is 8,000")


@pytest.mark.parametrize("size", [2, 9, 10, 65, 1234])
def test_blind_guessing_is_as_unsure_as_between_all_letters(size):
    said = letters(math.log(size))
    assert said == (f"{size}.0 letters" if size < 10 else f"{size:,} letters")


@pytest.mark.parametrize(
    ("loss", "said"), [(0, "1.0"), (math.log(9.94), "9.9"), (math.log(9.96), "10"), (1e9, "10,686")]
)
def test_figures_have_two_digits_or_more_and_end_somewhere(loss, said):
    assert letters(loss).startswith(said)
