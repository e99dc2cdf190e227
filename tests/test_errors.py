import pytest

from charlm.errors import QUOTED, name_files, quote, without_directories


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


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("cannot write /a b/c/d.txt: No space", "cannot write d.txt: No space"),
        ("x (/t/p/big.txt is another; /w/t.txt, too)", "x (big.txt is another; t.txt, too)"),
        ("n_embd / n_head is 3; 1/2 of user/repo", "n_embd / n_head is 3; 1/2 of user/repo"),
        ("name is '/etc/passwd'; it must", "name is '/etc/passwd'; it must"),
        (
            "there is no model in /srv/charlm/checkpoints; train",
            "there is no model in checkpoints; train",
        ),
    ],
)
def test_directories_of_the_server_are_left_out(message, shown):
    assert without_directories(message) == shown
