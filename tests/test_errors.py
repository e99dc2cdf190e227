import pytest

from charlm.errors import QUOTED, name_files, quote


class Broken:
    def __repr__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("x", "'x'"),
        ("a\nb\u2028\ud800", r"'a\nb\u2028\ud800'"),
        (-1.0, "-1.0"),
        (None, "None"),
        (True, "True"),
        (10**6000, "a number of about 5979 digits"),
        (Broken(), "<Broken instance at "),
    ],
    ids=type,
)
def test_a_value_is_quoted_on_one_line(value, quoted):
    assert quote(value).startswith(quoted)


@pytest.mark.parametrize(
    "value",
    [
        "x" * 10**6,
        b"\xff" * 999,
        10**400,
        [[[[[[]]]]]] * 999,
        {"a" * 999: "b" * 999},
        "\ud800" * 99,
    ],
)
def test_a_quotation_is_short_and_printable(value):
    text = quote(value)
    assert len(text) <= QUOTED
    assert text.isprintable()


def test_a_file_is_named_without_its_path():
    message = "/srv/models/x/config.json is damaged; see /srv/models/x"
    assert name_files(message, "/srv/models/x", "a/b") == "config.json of a/b is damaged; see a/b"
