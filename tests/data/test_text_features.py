from charlm.data.text_features import TextFeatures

PLAY = (
    """ROMEO:
Good morrow to you both, my gentle lord.

JULIET:
What news from court, and what of all our friends?

"""
    * 6
    + "Some line:\nthat stands here once.\n"
)


def test_a_text_is_like_itself():
    found = TextFeatures(PLAY).compare(PLAY)
    assert found == {"words": 1.0, "lines": 1.0, "speaker": "JULIET"}


def test_noise_is_not_like_it():
    found = TextFeatures(PLAY).compare("xqz kjw\nvv\nq:\nzzz\n" * 5)
    assert (found["words"], found["speaker"]) == (0.0, "")
    assert found["lines"] < 0.5


def test_the_share_of_words_counts_letters():
    features = TextFeatures(PLAY)
    assert features.compare("news xxxx")["words"] == 0.5
    assert features.compare("GOOD, friends!")["words"] == 1.0
    assert features.compare("12 34")["words"] == features.compare("")["words"] == 0.0


def test_the_first_and_last_line_may_be_cut():
    features = TextFeatures(PLAY)
    assert features.compare("ROMEO:\nx\nJULIET:")["speaker"] == ""
    assert features.compare("x\nROMEO:\nx")["speaker"] == "ROMEO"
    assert features.compare("x\nSome line:\nx")["speaker"] == "", "it occurs once"


def test_few_lines_say_nothing():
    line = "What news from court, and what of all our friends?\n"
    features = TextFeatures(PLAY)
    assert features.compare("\n" + 3 * line)["lines"] == 0.0
    assert features.compare("\n" + 4 * line)["lines"] == 1.0
    assert features.compare("\n" + 3 * line + "ab\n" + line)["lines"] == 0.8


def test_any_alphabet_has_words_and_speakers():
    play = "РОМЕО:\nДобрый день, мой друг.\n\n" * 6
    found = TextFeatures(play).compare("\n" + play)
    assert (found["words"], found["speaker"]) == (1.0, "РОМЕО")
    assert TextFeatures("今日は良い天気です。\n" * 9).compare("\n良い天気\n")["speaker"] == ""
