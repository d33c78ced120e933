"""A thousand clients lose their server at once: none comes early, they come spread out, and no message is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import wsmash
from hostile.storm import Storm, peak

POLICY = wsmash.Reconnect(first_delay=3, max_delay=6)


@pytest.mark.case(117, 121)
@pytest.mark.usefixtures("local_engine")
@pytest.mark.parametrize("outage", [0.0, 1.0], ids=["back at once", "back after a second"])
def test_a_thousand_clients_lose_their_server(engine: str, outage: float, tmp_path: Path) -> None:
    """They come back at no more than twice the mean rate, within the cap, with what they sent meanwhile, once."""
    outcome = asyncio.run(Storm(tmp_path, 1000, POLICY, outage=outage, engine=engine).run())
    told = outcome.report(POLICY.first_delay)
    assert len(outcome.back) == len(outcome.planned) == 1000, told
    assert outcome.early == 0, told
    # As they meant to: on a busy machine a server may be late, and then accept many at once.
    assert peak(outcome.planned) <= 2 * outcome.mean(POLICY.first_delay), told
    assert max(outcome.back) <= POLICY.max_delay + 3, told  # a busy machine takes its time
    assert len(outcome.accepted) == 3000 and outcome.missing == set() == outcome.repeated, told


@pytest.mark.case(117)
def test_a_herd_is_noticed(tmp_path: Path) -> None:
    """Without jitter the same clients come all at once, and each of them is seen to be early where it is."""
    herd = wsmash.Reconnect(first_delay=0.5, jitter=lambda most: most)
    outcome = asyncio.run(Storm(tmp_path, 200, herd, messages=1).run())
    assert peak(outcome.planned) > 2 * outcome.mean(3)
    assert outcome.early == 0 and outcome.missing == set()
