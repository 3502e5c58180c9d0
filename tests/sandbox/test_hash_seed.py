"""Programs hash texts by a seed that is the same in every run, and that can be another."""

from __future__ import annotations

from graders_sandbox import Sandbox

HASH = "def grade(sample, item):\n    return hash('a text') % 1_000_003\n"


def test_hash_seed_is_fixed_and_can_be_chosen() -> None:
    """Two sandboxes agree on the order of a set; a sibling with another seed does not, under the same limits."""
    with Sandbox() as one, Sandbox() as two, one.sibling(hash_seed=7) as other:
        values = [sandbox.run(HASH, None, None).value for sandbox in (one, two, other)]

    assert values[0] is not None
    assert values[0] == values[1] != values[2]
    assert other.limits is one.limits
