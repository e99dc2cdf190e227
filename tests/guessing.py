"""What the page knows of the passage in the Guess tab, which differs from visit to visit."""

# keeps the answer as the page received it; run before the tab is opened
KEEP_ANSWERS = """
const parse = JSON.parse;
JSON.parse = (...args) => {
  const value = parse(...args);
  if (value?.letters && value?.models) window.answer = value;
  return value;
};
"""


def wrong_for(answer, i, count):
    """Return `count` wrong guesses for a letter."""
    symbol = answer["letters"][i][2]
    return [other for other in answer["symbols"] if other != symbol and other != " "][:count]
