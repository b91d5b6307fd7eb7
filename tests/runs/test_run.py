"""One run folder: its status, lock, metrics and tags."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest

from seqvae_cli.errors import DataError, MachineError, NotFoundError, UsageError
from seqvae_cli.runs import registry
from seqvae_cli.runs.run import NAME_RULE, Run
from tests.runs.folders import INVALID_NAMES, create, holder, listed

# Status and lock


def test_a_run_is_running_while_its_process_lives_and_interrupted_after_a_kill() -> None:
    run = create("x")
    assert run.status == "interrupted"  # no process holds it
    with holder(run) as process:
        assert registry.find("x").status == "running"
        assert run.locked()
        with pytest.raises(NotFoundError):
            registry.resumable()
        process.kill()
        process.wait(timeout=60)
        assert Run(run.path).info["status"] == "running"
        assert registry.find("x").status == "interrupted"
        assert not run.locked()
        assert registry.resumable().name == "x"
    with run.lock():
        assert run.status == "running" or run.info["status"] == "created"


def test_a_finished_run_keeps_its_status() -> None:
    run = create("x")
    with holder(run) as process:
        assert process.stdin
        process.stdin.close()
        assert process.wait(timeout=60) == 0
    assert registry.find("x").status == "finished"


def test_a_second_lock_fails_and_names_the_holder() -> None:
    run = create("x")
    with holder(run) as process:
        with pytest.raises(MachineError) as caught, run.lock():
            pytest.fail("two processes hold one lock")
        assert caught.value.exit_code == 5
        assert f"process {process.pid} on " in caught.value.message
        assert "run x" in caught.value.message
        assert caught.value.hint
    with run.lock():
        pass


def test_a_lock_is_released_after_an_error() -> None:
    run = create("x")
    for _ in range(2):
        with suppress(ZeroDivisionError), run.lock():
            assert run.locked()
            raise ZeroDivisionError
        assert not run.locked()


def test_concurrent_status_checks_do_not_see_each_other() -> None:
    run = create("x")
    run.update(status="running")
    with run.lock():
        pass
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            run.locked()

    others = [threading.Thread(target=look) for _ in range(2)]
    for other in others:
        other.start()
    try:
        seen = {Run(run.path).status for _ in range(300)}
    finally:
        stop.set()
        for other in others:
            other.join()
    assert seen == {"interrupted"}


# Metrics


def test_damaged_metrics_are_a_data_error() -> None:
    run = create("x")
    (run.path / "metrics.jsonl").write_text('{"epoch": 1}\n{"epoch": 2}\n')
    assert run.metrics() == [{"epoch": 1}, {"epoch": 2}]
    (run.path / "metrics.jsonl").write_text('{"epoch": 1}\n{"epo')
    with pytest.raises(DataError, match=r"metrics\.jsonl"):
        run.metrics()


def test_update_keeps_other_values_and_writes_to_disk() -> None:
    run = create("x")
    before = run.info
    run.start()
    run.update(epoch=3)
    again = Run(run.path).info
    assert again == run.info
    assert again["status"] == "running"
    assert {**before, **{k: again[k] for k in ("status", "failure", "updated", "epoch")}} == again


# Tags


def test_tags_are_sorted_unique_and_survive_updates() -> None:
    run = create("x")
    assert run.tags() == []
    assert run.tag(["b", "a", "b"]) == run.tags() == ["a", "b"]
    snapshot = Run(run.path)
    assert run.tag(["c"], remove=["a"]) == ["b", "c"]
    snapshot.update(status="finished")  # a training writes run.json from memory
    assert registry.find("x").tags() == ["b", "c"]
    assert run.tag(remove=["b", "c"]) == []


@pytest.mark.parametrize(
    "tag", [tag for tag in INVALID_NAMES if tag not in registry.RESERVED], ids=lambda tag: repr(tag)[:12]
)
def test_a_bad_tag_is_wrong_usage_with_the_rule(tag: str) -> None:
    run = create("x")
    for arguments in ({"add": ["good", tag]}, {"remove": [tag]}):
        with pytest.raises(UsageError) as caught:
            run.tag(**arguments)
        assert NAME_RULE in caught.value.hint
        assert caught.value.message.isprintable()
    assert run.tags() == []


def test_removing_an_unknown_tag_names_the_nearest_and_changes_nothing() -> None:
    run = create("x")
    run.tag(["paper", "old"])
    with pytest.raises(UsageError) as caught:
        run.tag(["new"], remove=["papre"])
    assert "'paper'" in caught.value.hint
    assert run.tags() == ["old", "paper"]


@pytest.mark.parametrize("data", ["{", "{}", "5", '["a", 5]', '["Two Words"]', '["\\u001b[31m"]'])
def test_damaged_tags_are_a_data_error_and_are_not_overwritten(data: str) -> None:
    run = create("x")
    (run.path / "tags.json").write_text(data)
    for act in (run.tags, lambda: run.tag(["a"])):
        with pytest.raises(DataError, match=r"tags\.json"):
            act()
    assert (run.path / "tags.json").read_text() == data
    assert listed() == ["x"]


def test_concurrent_tagging_loses_no_tag() -> None:
    run = create("x")
    tags = [f"t{i}" for i in range(8)]
    threads = [threading.Thread(target=Run(run.path).tag, args=([tag],)) for tag in tags]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert run.tags() == tags


def test_a_damaged_run_is_locked_without_a_known_holder() -> None:
    run = create("x")
    with holder(run):
        (run.path / "run.json").write_text("{")
        with pytest.raises(MachineError, match="run x is being trained by process"), run.lock():
            pytest.fail("two processes hold one lock")
