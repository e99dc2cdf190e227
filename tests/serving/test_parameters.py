"""The schema of what visitors send."""

import math

import pytest

from charlm.errors import CharlmError
from charlm.serving.limits import Limits
from charlm.serving.parameters import MAX_TOP_K, Choices, endpoint_parameters

PARAMETERS = endpoint_parameters(Limits(), "shakespeare")
GENERATE = PARAMETERS["generate"]


def check(name, value, parameters=GENERATE):
    return parameters[name].check(name, value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("max_new_chars", 0, "max_new_chars is 0; it must be a whole number from 1 to 5,000"),
        ("max_new_chars", -1, "max_new_chars is -1"),
        ("max_new_chars", 10**9, "max_new_chars is 1000000000; .* from 1 to 5,000"),
        ("max_new_chars", 10**4000, "max_new_chars is a number of about "),
        ("max_new_chars", 1.5, "max_new_chars is 1.5"),
        ("max_new_chars", True, "max_new_chars is True"),
        ("max_new_chars", "many", "max_new_chars is 'many'"),
        ("max_new_chars", [5], r"max_new_chars is \[5\]"),
        ("max_new_chars", {"path": "/etc/passwd"}, "max_new_chars is {.path"),
        ("temperature", -1, "temperature is -1; it must be a number from 0 to 100"),
        ("temperature", math.nan, "temperature is nan"),
        ("temperature", math.inf, "temperature is inf"),
        ("temperature", "1e999", "temperature is '1e999'"),
        ("temperature", "nan", "temperature is 'nan'"),
        ("temperature", "hot", "temperature is 'hot'"),
        ("top_p", 2, "top_p is 2; it must be a number from 0 to 1"),
        ("min_p", -0.1, "min_p is -0.1"),
        ("top_k", -5, "top_k is -5"),
        ("top_k", math.inf, "top_k is inf"),
        ("seed", -2, "seed is -2"),
        ("seed", 2**63, "seed is 9223372036854775808"),
        ("seed", "9" * 30, "seed is '999999999999999999999999999999'"),
        ("prompt", 7, "prompt is 7; it must be a text"),
        ("prompt", ["x"], r"prompt is \['x'\]; it must be a text"),
        ("prompt", "x" * 100_000, "prompt has 100,000 characters; at most 10,000"),
        ("prompt", "KING\ud800:", r"prompt is 'KING\\ud800:'; it must be valid Unicode"),
        ("model", "x" * 301, "model has 301 characters; at most 300"),
    ],
)
def test_an_invalid_value_raises_an_error_that_names_it(name, value, message):
    with pytest.raises(CharlmError, match=message) as raised:
        check(name, value)
    assert len(str(raised.value)) < 200
    str(raised.value).encode()  # is valid Unicode


@pytest.mark.parametrize(
    ("name", "value", "result"),
    [
        ("max_new_chars", 40.0, 40),
        ("max_new_chars", "40", 40),
        ("max_new_chars", " 40 ", 40),
        ("max_new_chars", None, 500),
        ("temperature", 1, 1.0),
        ("temperature", "0.5", 0.5),
        ("temperature", "", 0.8),
        ("top_k", 1e30, MAX_TOP_K),
        ("top_k", 2**63, MAX_TOP_K),
        ("seed", None, -1),
        ("seed", "", -1),
        ("seed", 2**63 - 1, 2**63 - 1),
        ("prompt", None, ""),
        ("model", None, "shakespeare"),
    ],
)
def test_what_clients_send_is_understood(name, value, result):
    checked = check(name, value)
    assert (checked, type(checked)) == (result, type(result))


def test_the_defaults_respect_the_limits():
    limits = Limits(max_new_chars=200)
    for parameters in endpoint_parameters(limits, "gpt").values():
        for name in parameters:
            check(name, check(name, None, parameters), parameters)
    assert check("max_new_chars", None, endpoint_parameters(limits, "gpt")["generate"]) == 200


def test_a_list_of_names_is_bounded():
    assert Choices(3).check("others", ["a", "b"]) == ["a", "b"]
    assert Choices(3).check("others", None) == []
    for value in ("abc", ["a"] * 4, [["a"]], {"a": 1}, [1]):
        with pytest.raises(CharlmError):
            Choices(3).check("others", value)
