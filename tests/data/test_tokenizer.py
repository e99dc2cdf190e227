import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

import charlm
from charlm.data.tokenizer import CharTokenizer

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
SHAKESPEARE_LIKE = CharTokenizer.fit(
    "\n !$&',-.3:;?abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)


@given(TEXTS)
def test_a_text_survives_the_round_trip(text):
    tokenizer = CharTokenizer.fit(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert CharTokenizer.from_json(tokenizer.to_json()).chars == tokenizer.chars


@given(TEXTS, TEXTS)
def test_a_corpus_is_encoded_alike(vocabulary, text):
    tokenizer = CharTokenizer.fit(vocabulary)
    assert tokenizer.encode_corpus(vocabulary).tolist() == tokenizer.encode(vocabulary)
    if set(text) - set(vocabulary):
        with pytest.raises(ValueError, match="is not among this model's"):
            tokenizer.encode_corpus(text)
    else:
        assert tokenizer.encode_corpus(text).tolist() == tokenizer.encode(text)


@given(TEXTS)
def test_the_tokenizers_library_gives_the_same_ids(text):
    tokenizer = CharTokenizer.fit(text)
    library = Tokenizer.from_str(tokenizer.to_json())
    ids = tokenizer.encode(text)
    assert library.encode(text).ids == ids
    assert library.decode(ids) == text


@given(TEXTS, TEXTS)
def test_a_cleaned_prompt_can_always_be_encoded(vocabulary, prompt):
    tokenizer = CharTokenizer.fit(vocabulary)
    cleaned = tokenizer.clean(prompt)
    assert tokenizer.decode(tokenizer.encode(cleaned.text)) == cleaned.text
    assert not set(cleaned.dropped) & set(tokenizer.chars)
    assert tokenizer.clean(cleaned.text).dropped == ""


@pytest.mark.parametrize(
    ("prompt", "text", "dropped"),
    [
        ("ROMEO:\r\nO!\rAy\tme", "ROMEO:\nO!\nAy me", ""),
        ("“Thou’rt” — gone…", "'Thou'rt' -- gone...", ""),
        ("café NAÏVE Œuvre straße", "cafe NAIVE OEuvre strasse", ""),
        ("cafe\u0301", "cafe", ""),
        ("ﬁne\u00a0day", "fine day", ""),
        ("Hi 😀 there 😀", "Hi  there ", "😀"),
        ("a\0b[7]", "ab", "\0[7]"),
        ("😀", "", "😀"),
        ("", "", ""),
    ],
)
def test_a_prompt_is_rewritten_in_known_characters(prompt, text, dropped):
    assert SHAKESPEARE_LIKE.clean(prompt) == (text, dropped)


def test_known_characters_are_never_replaced():
    tokenizer = CharTokenizer.fit("é’\te—")
    assert tokenizer.clean("e\u0301’\t—😀") == ("é’\t—", "😀")
    for char in "\u1f71\u2126\ufb2a\u212b":  # Unicode's normal form replaces them
        assert CharTokenizer.fit(char + "α").clean(char) == (char, "")
        assert CharTokenizer.fit(char + "α").clean(char + "😀") == (char, "😀")


def test_the_other_case_is_an_equivalent():
    assert CharTokenizer.fit("abc").clean("ABC") == ("abc", "")


def test_unknown_characters_are_never_silently_encoded():
    with pytest.raises(ValueError, match="'😀' is not among"):
        SHAKESPEARE_LIKE.encode("Hi 😀")
    with pytest.raises(IndexError):
        SHAKESPEARE_LIKE.decode([-1])
    with pytest.raises(IndexError):
        SHAKESPEARE_LIKE.decode([10_000])


@pytest.mark.parametrize("vocab", [{"ab": 0}, {"a": 1}, {"a": 0, "b": 0}, {"a": "0"}, {}, [], None])
def test_anything_but_a_character_vocabulary_is_rejected(vocab):
    with pytest.raises(ValueError):
        CharTokenizer.from_json(json.dumps({"model": {"vocab": vocab}}))


def test_it_is_a_public_name():
    assert charlm.CharTokenizer is CharTokenizer
