from charlm.rng import fold_in


def test_fold_in_gives_different_counters_different_seeds():
    seeds = {fold_in(s, a, b) for s in range(5) for a in range(20) for b in range(20)}
    assert len(seeds) == 2000
    assert fold_in(1, 23) != fold_in(12, 3)
