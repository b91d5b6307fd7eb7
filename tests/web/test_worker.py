"""The worker: one job at a time, a bounded queue, jobs that nobody waits for."""

from __future__ import annotations

import threading

import pytest

from seqvae_cli.web.worker import BusyError, ClientGoneError, Job, Worker


def test_jobs_run_in_order_on_one_thread() -> None:
    worker, threads, order = Worker(), set(), []

    def work(number: int) -> int:
        threads.add(threading.get_ident())
        order.append(number)
        return number

    jobs = [worker.submit(lambda _, number=number: work(number)) for number in range(5)]  # type: ignore[misc]
    assert [job.answer.result(10) for job in jobs] == order == [0, 1, 2, 3, 4]
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_a_full_queue_refuses_more() -> None:
    worker, begun, go = Worker(waiting=2), threading.Event(), threading.Event()

    def hold(_: Job) -> bool:
        begun.set()
        return go.wait(10)

    first = worker.submit(hold)
    assert begun.wait(10)
    waiting = [worker.submit(lambda _: 1), worker.submit(lambda _: 2)]
    with pytest.raises(BusyError):
        worker.submit(lambda _: 3)
    go.set()
    assert first.answer.result(10)
    assert [job.answer.result(10) for job in waiting] == [1, 2]


def test_a_job_that_nobody_waits_for_never_begins_and_an_error_ends_no_worker() -> None:
    worker, begun, go = Worker(), threading.Event(), threading.Event()
    done = []

    def hold(_: Job) -> None:
        begun.set()
        go.wait(10)

    worker.submit(hold)
    assert begun.wait(10)
    left = worker.submit(lambda _: done.append("left"))
    worker.cancel(left)
    failing = worker.submit(lambda _: 1 / 0)
    go.set()
    with pytest.raises(ClientGoneError):
        left.answer.result(10)
    with pytest.raises(ZeroDivisionError):
        failing.answer.result(10)
    assert worker.submit(lambda _: "on").answer.result(10) == "on"
    assert done == []


def test_who_leaves_makes_room_for_others() -> None:
    worker, begun, go = Worker(waiting=2), threading.Event(), threading.Event()

    def hold(_: Job) -> bool:
        begun.set()
        return go.wait(10)

    worker.submit(hold)
    assert begun.wait(10)
    for _ in range(10):
        left = worker.submit(lambda _: "left")
        worker.cancel(left)
        with pytest.raises(ClientGoneError):
            left.answer.result(0)
    stayed = worker.submit(lambda _: "stayed")
    go.set()
    assert stayed.answer.result(10) == "stayed"
