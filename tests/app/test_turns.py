"""First attempts run side by side; what has failed before runs alone."""

import asyncio

from app.analyses.turns import Turns


class Track:
    """Who ran together with whom."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.now: set[str] = set()
        self.together: dict[str, int] = {}

    async def run(self, name: str, *, suspect: bool) -> None:
        async with self.turns.taken(suspect=suspect):
            self.now.add(name)
            for other in self.now:
                self.together[other] = max(self.together.get(other, 0), len(self.now))
            await asyncio.sleep(0.01)
            self.now.remove(name)


async def test_a_suspect_runs_alone_and_the_others_together() -> None:
    track = Track(Turns())

    await asyncio.gather(
        *(track.run(f"first {i}", suspect=False) for i in range(3)),
        track.run("suspect 1", suspect=True),
        track.run("suspect 2", suspect=True),
        *(track.run(f"later {i}", suspect=False) for i in range(3)),
    )

    assert track.together["suspect 1"] == track.together["suspect 2"] == 1
    assert track.together["first 0"] == track.together["later 0"] == 3


async def test_a_suspect_that_is_cancelled_in_line_holds_nobody_up() -> None:
    turns = Turns()
    track = Track(turns)
    async with turns.taken(suspect=False):
        waiting = asyncio.create_task(track.run("suspect", suspect=True))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await asyncio.wait_for(track.run("next", suspect=False), 1)

    assert "suspect" not in track.together
