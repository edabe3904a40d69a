"""The guard in an event loop: it never waits there, and a cancelled task leaks nothing."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import mypy.api
import pytest
from unit.guard.guards import FarStore, book, call, held, limit, spent

from spendfuse.budget import Limits
from spendfuse.errors import SettingsError
from spendfuse.fuse_state import FuseState
from spendfuse.guard import (
    BudgetExceededError,
    FuseTrippedError,
    Guard,
    GuardDownError,
    MemoryStore,
    Reservation,
)
from spendfuse.guard.workers import Workers
from spendfuse.metering import PriceBook, attributed


def far_guard(*budgets, **options) -> tuple[Guard, FarStore]:
    store = FarStore()
    return Guard(list(budgets or [limit()]), store=store, prices=book(), **options), store


async def until(condition) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError(condition)


def test_a_far_store_is_asked_in_the_guard_s_own_threads() -> None:
    guard, store = far_guard()

    async def work() -> None:
        with attributed(team="search"):
            reservation = await guard.reserve_async("0.2")
        await reservation.settle_async("0.1")
        other = await guard.reserve_async("0.2")
        await other.release_async()
        async with guard.reserving("0.3"):
            call()
        await guard.settle_async((await guard.reserve_async("0.01")).id, "0.01")

    asyncio.run(work())

    assert all(each.startswith("spendfuse-guard") for each in store.threads)
    assert (spent(guard), held(guard)) == (0.1225, 0)


def test_a_near_store_is_asked_in_the_loop_itself() -> None:
    guard = Guard([limit()])

    async def work() -> None:
        reservation = await guard.reserve_async("0.2")
        await reservation.settle_async("0.1")
        async with guard.reserving("0.2"):
            call()
        await (await guard.reserve_async("0.2")).release_async()

    asyncio.run(work())

    assert spent(guard) == 0.1125
    assert guard._workers._executor is None


def test_a_loop_that_is_kept_waiting_for_a_far_store_is_told_once(caplog) -> None:
    async def work(guard: Guard) -> None:
        async with guard.reserving("0.1") as reservation:
            await reservation.settle_async("0.1")
        assert not caplog.text
        async with guard.reserve("0.1") as reservation:
            reservation.settle("0.1")

    asyncio.run(work(Guard([limit()])))
    assert not caplog.text
    guard, _ = far_guard()
    guard.reserve("0.1").settle("0.1")
    asyncio.run(work(guard))

    assert caplog.text.count("keeps an event loop waiting") == 1
    assert "reserve() keeps" in caplog.text
    assert "await reserve_async()" in caplog.text


def test_a_cost_that_a_loop_waits_for_is_told_too(caplog) -> None:
    guard, _ = far_guard()

    async def work() -> None:
        async with guard.reserving("0.1") as reservation:
            reservation.settle("0.1")

    asyncio.run(work())

    assert "settle() keeps an event loop waiting" in caplog.text


def test_attributes_around_go_along_into_the_thread() -> None:
    guard, _ = far_guard(limit(name="team", match={"team": "search"}))

    async def work():
        with attributed(team="search"):
            return await guard.reserve_async("0.2")

    assert asyncio.run(work()).hold.levels


def test_a_refusal_comes_out_of_the_thread() -> None:
    guard, store = far_guard()

    async def work() -> None:
        with pytest.raises(BudgetExceededError):
            await guard.reserve_async("2")
        store.is_down = True
        with pytest.raises(GuardDownError):
            await guard.reserve_async("0.1")

    asyncio.run(work())

    assert held_nothing(guard, store)


def held_nothing(guard: Guard, store: FarStore) -> bool:
    store.is_down = False
    return (spent(guard), held(guard)) == (0, 0)


def test_a_task_cancelled_while_it_reserves_leaves_nothing_held() -> None:
    guard, store = far_guard()

    async def work() -> None:
        store.answers.clear()
        task = asyncio.create_task(guard.reserve_async("0.2"))
        await until(lambda: held(guard) == 0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        store.answers.set()
        await until(lambda: held(guard) == 0)

    asyncio.run(work())

    assert spent(guard) == 0


def test_a_task_cancelled_in_the_moment_of_the_answer_leaves_nothing_held() -> None:
    guard, _ = far_guard()

    async def work() -> None:
        task = asyncio.create_task(guard.reserve_async("0.2"))
        await asyncio.sleep(0)
        # The loop stands still while the thread answers: answer and cancellation meet.
        deadline = time.monotonic() + 5
        while held(guard) == 0 and time.monotonic() < deadline:
            time.sleep(0.001)  # noqa: ASYNC251
        time.sleep(0.02)  # noqa: ASYNC251
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: held(guard) == 0)

    asyncio.run(work())

    assert spent(guard) == 0


def test_a_task_cancelled_before_its_turn_never_reserves() -> None:
    guard, store = far_guard()
    guard._workers._max_threads = 1

    async def work() -> None:
        store.answers.clear()
        first = asyncio.create_task(guard.reserve_async("0.2"))
        await until(lambda: held(guard) == 0.2)
        second = asyncio.create_task(guard.reserve_async("0.3"))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        store.answers.set()
        await first

    asyncio.run(work())
    guard._workers.close()

    assert held(guard) == 0.2
    assert guard.health().reserved == 1


def test_a_cancelled_second_attempt_leaves_the_first_one_s_hold() -> None:
    guard, store = far_guard()
    guard.reserve("0.2", hold_id="a")

    async def work() -> None:
        store.threads.clear()
        store.answers.clear()
        task = asyncio.create_task(guard.reserve_async("0.2", hold_id="a"))
        await until(lambda: store.threads)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        store.answers.set()

    asyncio.run(work())
    guard._workers.close()

    assert held(guard) == 0.2


def test_a_task_cancelled_while_it_settles_has_settled() -> None:
    guard, store = far_guard()

    async def work() -> None:
        reservation = await guard.reserve_async("0.2")
        store.answers.clear()
        task = asyncio.create_task(reservation.settle_async("0.1"))
        await until(lambda: spent(guard) == 0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        store.answers.set()

    asyncio.run(work())

    assert (spent(guard), held(guard)) == (0.1, 0)


def test_a_settle_that_waits_for_its_turn_survives_the_cancellation() -> None:
    guard, store = far_guard()
    guard._workers._max_threads = 1

    async def work() -> None:
        reservation = await guard.reserve_async("0.2")
        store.answers.clear()
        blocking = asyncio.create_task(guard.reserve_async("0.3"))
        await until(lambda: held(guard) == 0.5)
        task = asyncio.create_task(reservation.settle_async("0.1"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        store.answers.set()
        await blocking

    asyncio.run(work())
    guard._workers.close()

    assert spent(guard) == 0.1


@pytest.mark.parametrize(("step", "charged"), [("settle", 0.1), ("release", 0)])
def test_what_a_cancelled_task_has_said_beats_what_its_with_would_charge(
    caplog, step: str, charged: float
) -> None:
    guard, store = far_guard()
    guard._workers._max_threads = 1

    async def request() -> None:
        async with guard.reserving("0.2") as reservation:
            store.answers.clear()
            blocking.append(asyncio.create_task(guard.reserve_async("0.3")))
            await until(lambda: held(guard) == 0.5)
            # This waits for its turn in the only thread, and is cancelled there.
            if step == "settle":
                await reservation.settle_async("0.1")
            else:
                await reservation.release_async()

    async def work() -> None:
        task = asyncio.create_task(request())
        await until(lambda: blocking)
        await until(lambda: held(guard) == 0.5)
        await asyncio.sleep(0.02)
        task.cancel()
        store.answers.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        await blocking[0]

    blocking: list[asyncio.Task[Reservation]] = []
    asyncio.run(work())
    guard._workers.close()

    assert (spent(guard), held(guard)) == (charged, 0.3)
    assert not caplog.text


def test_a_task_cancelled_inside_ends_as_a_cancelled_call() -> None:
    guard, _ = far_guard()

    async def request() -> None:
        async with guard.reserving(model="gpt-4o", prompt=10_000, max_tokens=100):
            await asyncio.sleep(60)

    async def work() -> None:
        task = asyncio.create_task(request())
        await until(lambda: held(guard) > 0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(work())

    assert (spent(guard), held(guard)) == (0.025, 0)


def test_a_closed_coroutine_is_charged_though_it_may_not_await() -> None:
    guard, _ = far_guard()

    async def request() -> None:
        async with guard.reserving("0.2"):
            await asyncio.sleep(60)

    async def whole() -> None:
        task = asyncio.ensure_future(request())
        await until(lambda: held(guard) > 0)
        await asyncio.sleep(0.01)
        task.get_coro().close()
        task.cancel()

    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(whole())
    finally:
        loop.close()
    guard._workers.close()

    assert (spent(guard), held(guard)) == (0.2, 0)


def test_five_hundred_tasks_never_pass_the_limit() -> None:
    guard, _ = far_guard(limit(1))

    async def one() -> bool:
        try:
            async with guard.reserving("0.05") as reservation:
                await asyncio.sleep(0)
                await reservation.settle_async("0.05")
        except BudgetExceededError:
            return False
        return True

    async def all_of_them() -> list[bool]:
        return await asyncio.gather(*[one() for _ in range(500)])

    admitted = sum(asyncio.run(all_of_them()))

    assert (spent(guard), admitted) == (1, 20)


class _Refreshing:
    """A value that is read behind a network."""

    def __init__(self, value) -> None:
        self.value = value
        self.threads: list[str] = []

    def __call__(self):
        self.threads.append(threading.current_thread().name)
        return self.value

    def would_wait(self) -> bool:
        return True


def test_a_fuse_that_must_be_read_is_read_in_a_thread() -> None:
    fuse = _Refreshing(FuseState("app", "tripped"))
    guard = Guard([limit()], fuse=fuse)

    async def work() -> None:
        with pytest.raises(FuseTrippedError):
            await guard.reserve_async("0.1")
        with pytest.raises(FuseTrippedError):
            await guard.check_fuse_async()

    asyncio.run(work())

    assert len(fuse.threads) == 2
    assert all(each.startswith("spendfuse-guard") for each in fuse.threads)


def test_limits_that_must_be_read_are_read_in_a_thread() -> None:
    limits = _Refreshing(Limits((limit(),)))
    guard = Guard(limits)
    limits.threads.clear()

    asyncio.run(guard.reserve_async("0.1"))

    assert [each.rpartition("_")[0] for each in limits.threads] == ["spendfuse-guard"]


def test_the_price_book_is_opened_in_a_thread(monkeypatch) -> None:
    threads = []

    def standard() -> PriceBook:
        threads.append(threading.current_thread().name)
        return prices

    prices = book()
    monkeypatch.setattr(PriceBook, "standard", standard)

    asyncio.run(Guard([limit()]).reserve_async(model="gpt-4o", prompt=5))

    assert [each.rpartition("_")[0] for each in threads] == ["spendfuse-guard"]


def test_what_is_called_after_an_async_with_is_outside() -> None:
    guard = Guard([limit()])

    async def work() -> None:
        async with guard.reserving("0.2"):
            call()
        async with await guard.reserve_async("0.2"):
            call()
        call()

    asyncio.run(work())

    assert spent(guard) == 0.025


def test_a_closed_guard_says_so() -> None:
    guard, _ = far_guard()
    guard.close()

    with pytest.raises(SettingsError, match="closed"):
        asyncio.run(guard.reserve_async("0.1"))


def test_what_still_runs_when_the_guard_is_closed_is_charged_all_the_same() -> None:
    guard, _ = far_guard()

    async def work() -> None:
        by_hand = await guard.reserve_async("0.1")
        unused = await guard.reserve_async("0.1")
        async with guard.reserving("0.2"):
            call()
            guard.close()
        await by_hand.settle_async("0.05")
        assert await guard.release_async(unused)

    asyncio.run(work())

    assert (spent(guard), held(guard)) == (0.0625, 0)


def test_a_task_cancelled_while_the_guard_closes_leaves_nothing_held() -> None:
    guard, store = far_guard()

    async def work() -> None:
        store.answers.clear()
        task = asyncio.create_task(guard.reserve_async("0.2"))
        await until(lambda: held(guard) == 0.2)
        store.answers.set()
        guard.close()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(work())

    assert held(guard) == 0


def test_a_coroutine_closed_while_it_reserves_leaves_nothing_held() -> None:
    guard, store = far_guard()

    async def work() -> None:
        store.answers.clear()
        reserving = guard.reserve_async("0.2")
        reserving.send(None)
        await until(lambda: held(guard) == 0.2)
        reserving.close()
        store.answers.set()
        await until(lambda: held(guard) == 0)

    asyncio.run(work())

    assert spent(guard) == 0


def test_what_is_collected_in_the_middle_of_a_submit_waits_for_its_end() -> None:
    workers = Workers()
    done: list[str] = []

    class Collecting:
        """Stands for the garbage collector, which may run in the executor's own lock."""

        def submit(self, run, work):
            with self.lock:
                if not done:
                    done.append("collected")
                    workers.later(lambda: done.append("later"))
            return workers_of_its_own.submit(run, work)

        lock = threading.Lock()

    workers_of_its_own = ThreadPoolExecutor(1)
    workers._executor = Collecting()
    thread = threading.Thread(target=workers.submit, args=(lambda: done.append("work"),))
    thread.daemon = True
    thread.start()
    thread.join(20)
    workers_of_its_own.shutdown()

    assert done == ["collected", "work", "later"]


def test_closing_waits_for_what_runs() -> None:
    guard, store = far_guard()
    reservation = guard.reserve("0.2")

    async def work() -> None:
        store.answers.clear()
        task = asyncio.create_task(reservation.settle_async("0.1"))
        await until(lambda: spent(guard) == 0.1)
        threading.Timer(0.05, store.answers.set).start()
        guard.close()
        assert store.answers.is_set()
        await task

    asyncio.run(work())

    assert spent(guard) == 0.1


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_threads_and_ids_of_its_own() -> None:
    guard, _ = far_guard()
    parent = asyncio.run(guard.reserve_async("0.1")).id
    reader, writer = os.pipe()

    child = os.fork()
    if child == 0:
        try:
            reservation = asyncio.run(asyncio.wait_for(guard.reserve_async("0.1"), 5))
            os.write(writer, reservation.id.encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    in_child = os.read(reader, 1000).decode()
    os.close(reader)

    assert in_child
    assert in_child.partition("-")[0] != parent.partition("-")[0]


def test_the_store_s_kind_is_asked_of_the_store() -> None:
    assert Guard([limit()], store=MemoryStore())._would_wait(opens_book=False) is False


@pytest.mark.parametrize("name", ["reserve_async", "reserving"])
def test_every_way_to_reserve_says_what_it_takes(name: str) -> None:
    def arguments(method):
        return list(inspect.signature(method).parameters.values())

    assert arguments(getattr(Guard, name)) == arguments(Guard.reserve)


def test_a_type_checker_sees_what_every_way_to_reserve_takes(tmp_path) -> None:
    app = tmp_path / "app.py"
    app.write_text(
        "from spendfuse.guard import Guard, Reservation\n"
        "async def main(guard: Guard) -> Reservation:\n"
        "    guard.reserve('0.05', user='u', team='t')\n"
        "    async with guard.reserving('0.05', user=7) as held:\n"
        "        await held.settle_async('0.01')\n"
        "    guard.reserving('0.05', max_tokens='many')\n"
        "    return await guard.reserve_async('0.05', max_tokens='many')\n"
    )

    said, _, _ = mypy.api.run(["--strict", "--cache-dir", ".mypy_cache", str(app)])

    assert [line.partition(" error: ")[0] for line in said.splitlines()[:-1]] == [
        f"{app}:6:",
        f"{app}:7:",
    ]
