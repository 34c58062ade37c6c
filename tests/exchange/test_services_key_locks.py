"""One holder a key, in the order of asking; nothing is kept behind the last one."""

import asyncio

from exchange.services.key_locks import KeyLocks


async def test_one_holder_a_key_and_others_do_not_wait() -> None:
    locks = KeyLocks()
    seen: list[str] = []

    async def work(key: str, name: str) -> None:
        async with locks.hold(key):
            seen.append(f"{name} in")
            await asyncio.sleep(0.01)
            seen.append(f"{name} out")

    await asyncio.gather(work("a", "first"), work("a", "second"), work("b", "other"))
    assert seen.index("first out") < seen.index("second in")
    assert seen.index("other in") < seen.index("first out")
    assert len(locks) == 0


async def test_who_gives_up_waiting_leaves_nothing_behind() -> None:
    locks = KeyLocks()
    async with locks.hold("a"):
        waiting = asyncio.ensure_future(_held(locks))
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert len(locks) == 0


async def _held(locks: KeyLocks) -> None:
    async with locks.hold("a"):
        return
