"""Shannon's guessing game: the entropy of a text, from how many guesses each letter takes.

C. E. Shannon, "Prediction and Entropy of Printed English", Bell System Technical Journal 30 (1951).
"""

import math
from collections import Counter

import torch

from charlm.inspection.scores import log_probabilities


def entropy_bounds(ranks):
    """Return (lower, upper) bounds of a text's entropy in bits per letter.

    `ranks`: of each letter, the number of guesses that it took, from 1; one or more. With q_i, the
    share of letters that took i guesses, Shannon's bounds (1951, equation 17) are

        upper = -sum_i q_i log2 q_i
        lower = sum_i i (q_i - q_{i+1}) log2 i

    The upper bound holds since the ranks determine the text for the same guesser, the lower one
    if the likelier letter is always guessed first. The shares then fall as i grows. Those of a
    short text may rise by chance, and then the lower bound may exceed the upper one, so they are
    smoothed first, as Shannon smoothed his: see `falling`.
    """
    counts = Counter(ranks)
    q = falling([counts[i] / len(ranks) for i in range(1, max(ranks) + 1)])
    upper = -sum(share * math.log2(share) for share in q)
    pairs = enumerate(zip(q, [*q[1:], 0], strict=True), start=1)
    lower = sum(i * (share - following) * math.log2(i) for i, (share, following) in pairs)
    return lower, max(lower, upper)  # which differ by rounding if all shares are equal


def falling(shares):
    """Return the closest shares that do not rise: neighbours that do get their mean.

    This is the isotonic regression by least squares, computed by pooling adjacent violators.
    """
    pools = []  # [mean, length], with falling means
    for share in shares:
        pools.append([share, 1])
        while len(pools) > 1 and pools[-2][0] < pools[-1][0]:
            (before, n), (after, m) = pools[-2:]
            pools[-2:] = [[(n * before + m * after) / (n + m), n + m]]
    return [mean for mean, length in pools for _ in range(length)]


def symbol_of(char):
    """Return the symbol to guess for a character: its lower case, or a space; "" for any other.

    Shannon's alphabet for English: 26 letters and the space. A letter whose lower case is several
    characters is guessed as it is. Punctuation, digits and line breaks are not guessed: a line
    break says nothing that the end of its line does not, and no key is the natural one for it.
    """
    if char == " " or not char.isalpha():
        return char if char == " " else ""
    return char.lower() if len(char.lower()) == 1 else char


def symbols_of(tokenizer):
    """Return the distinct symbols of a vocabulary, sorted; the space first."""
    return tuple(sorted({symbol_of(char) for char in tokenizer.chars} - {""}))


@torch.inference_mode()
def guesses(model, tokenizer, text, places):
    """Return (ranks, bits) of the symbols at `places` in a text of known characters, as lists.

    A guesser knows that a letter or a space comes, since what else comes is shown, and need not say
    whether it is a capital. So the model's probabilities are summed over the characters of each
    symbol, and divided by their sum over all symbols. The rank is 1 for the likeliest symbol;
    bits are -log2 of the true one's probability.
    """
    columns = {symbol: i for i, symbol in enumerate(symbols_of(tokenizer))}
    known = [(i, columns.get(symbol_of(char))) for i, char in enumerate(tokenizer.chars)]
    pairs = torch.tensor([pair for pair in known if pair[1] is not None])  # (id, column)
    ids = tokenizer.encode(tokenizer.start_char + text)
    rows = torch.cat([part[0] for part in log_probabilities(model, ids)])[places]  # (n, V)
    rows = rows.double().exp()[:, pairs[:, 0]]
    odds = rows.new_zeros(len(places), len(columns)).index_add_(1, pairs[:, 1], rows)
    odds /= odds.sum(dim=1, keepdim=True)
    own = odds.gather(1, torch.tensor([[columns[symbol_of(text[i])]] for i in places]))
    ranks = 1 + (odds > own).sum(dim=1)
    bits = -own[:, 0].clamp(min=torch.finfo(own.dtype).tiny).log2()
    return ranks.tolist(), bits.tolist()
