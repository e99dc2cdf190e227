"""The steps at which a run keeps a snapshot of its weights."""

FIRST = 1 / 200  # of a run's steps: the first snapshot after step 0; before, it writes noise


def snapshot_schedule(steps, count):
    """Return `count` steps or fewer from 0 to `steps`, both included, spaced logarithmically.

    They are a function of the arguments, so a resumed run keeps the same ones. A count of 1 keeps
    the last step only, and 0 keeps none.
    """
    if count < 2:
        return {steps} if count else set()
    first, gaps = max(1, FIRST * steps), max(1, count - 2)
    return {0, steps, *(round(first * (steps / first) ** (i / gaps)) for i in range(count - 2))}
