"""Several builders at once: each batch is published once, and nothing is lost."""

import concurrent.futures
import dataclasses
import threading

import pytest

from drivers import (
    assert_books_are_closed,
    drop,
    read_batch,
    texts_published,
)
from engines.scripted import picture, prose
from scanmill.dataset import manifests
from scanmill.steps import building, judging, planning
from scanmill.store import Store

pytestmark = pytest.mark.usefixtures("open_gates")


class RivalStore(Store):
    """A store in which somebody else does something just before our first swap."""

    def __init__(self, bucket, rival):
        super().__init__(bucket)
        self._rival = rival

    def swap(self, key, body, *, etag):
        rival, self._rival = self._rival, lambda: None
        rival()
        super().swap(key, body, etag=etag)


@pytest.fixture
def at_once(monkeypatch):
    """Let a builder that lost a swap build again at once."""
    monkeypatch.setattr(building.build_snapshot.retry, "sleep", lambda _: None)


def judged_batches(mill, *drops):
    """Plan each drop as a batch, read and judge them all, and build none."""
    batches = []
    for files in drops:
        for key, content in files.items():
            drop(mill, key, content)
        batches += planning.plan_batches(mill)
    for batch in batches:
        read_batch(mill, batch)
        judging.judge_batch(mill, batch)
    return batches


def test_of_two_builders_the_one_that_loses_the_swap_builds_on_the_winner(mill, at_once):
    ours, theirs = judged_batches(
        mill,
        {"c/x/a.png": picture(prose(1)), "c/x/b.png": picture(prose(2))},
        {"c/x/c.png": picture(prose(2)), "c/y/d.png": picture(prose(3))},
    )
    rival = RivalStore(mill.store.bucket, lambda: building.build_snapshot(mill, theirs))

    snapshot = building.build_snapshot(dataclasses.replace(mill, store=rival), ours)

    assert snapshot.version == 2
    assert sorted(map(str, texts_published(mill, "c").values())) == sorted(
        str([prose(number)]) for number in (1, 2, 3)
    )
    assert_books_are_closed(mill)


def test_two_builders_of_one_batch_publish_it_once(mill, at_once):
    (batch,) = judged_batches(mill, {"c/x/a.png": picture(prose(1))})
    rival = RivalStore(mill.store.bucket, lambda: building.build_snapshot(mill, batch))

    snapshot = building.build_snapshot(dataclasses.replace(mill, store=rival), batch)

    assert snapshot.version == 1
    assert texts_published(mill, "c") == {"c/x/a.png": [prose(1)]}
    assert_books_are_closed(mill)


def test_builders_that_start_together_lose_nothing(mill, at_once):
    batches = judged_batches(mill, *[{f"c/x/{n}.png": picture(prose(n))} for n in range(3)])
    start = threading.Barrier(len(batches))

    def build(batch):
        start.wait()
        building.build_snapshot(mill, batch)

    with concurrent.futures.ThreadPoolExecutor(len(batches)) as pool:
        list(pool.map(build, batches))

    assert texts_published(mill, "c") == {f"c/x/{n}.png": [prose(n)] for n in range(3)}
    assert manifests.read_latest(mill.store, "c")[0].version == 3
    assert_books_are_closed(mill)
