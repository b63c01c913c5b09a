"""Faults of the store and of the engine are blamed on no image."""

import dataclasses

import pytest

from drivers import (
    assert_books_are_closed,
    drop,
    finish_batch,
    image_counts,
    images_at,
    objects,
    page_counts,
    read_batch,
    run_pipeline,
    s3,
    state,
    texts_published,
)
from engines.scripted import BrokenEngine, picture, prose
from one_of_each import BATCH
from scanmill import layout
from scanmill.errors import FatalError, ObjectDeniedError, RetryableError
from scanmill.models import BatchState, ImageFate, Reason
from scanmill.steps import planning
from scanmill.steps.auditing import audit
from scanmill.steps.healing import heal
from scanmill.store import Store

pytestmark = pytest.mark.usefixtures("open_gates")


class FailingStore(Store):
    """A store that fails like this whenever one of these keys is read."""

    def __init__(self, bucket, error, *keys):
        super().__init__(bucket)
        self._error = error
        self._keys = {layout.LANDING + key for key in keys}

    def read_version(self, key, version):
        if key in self._keys:
            raise self._error(f"[{key}]")
        return super().read_version(key, version)


def read_with(mill, error, *keys):
    (batch,) = planning.plan_batches(mill)
    store = FailingStore(mill.store.bucket, error, *keys)
    read_batch(dataclasses.replace(mill, store=store), batch)
    return batch


def test_one_object_that_is_denied_is_quarantined_when_its_mates_can_be_read(mill):
    drop(mill, "c/x/a.png", picture(prose(1)))
    drop(mill, "c/x/archived.png", picture(prose(2)))

    finish_batch(mill, read_with(mill, ObjectDeniedError, "c/x/archived.png"))

    (image,) = images_at(mill, "c/x/archived.png")
    assert (image["fate"], image["reason"]) == (ImageFate.QUARANTINED, Reason.OBJECT_UNREADABLE)
    assert texts_published(mill, "c") == {"c/x/a.png": [prose(1)]}
    assert_books_are_closed(mill)


def test_objects_that_are_all_denied_are_the_fault_of_our_rights(mill):
    keys = ["c/x/a.png", "c/x/b.png"]
    for key in keys:
        drop(mill, key, picture(prose(1)))

    with pytest.raises(FatalError, match="s3:GetObjectVersion"):
        read_with(mill, ObjectDeniedError, *keys)

    assert image_counts(mill) == {"landed": 2, "pending": 2}


def assert_nobody_was_blamed(mill):
    assert image_counts(mill) == {"landed": 2, "pending": 2}
    assert objects(mill, "quarantine/") == {}
    assert audit(mill) == []
    run_pipeline(mill)
    assert page_counts(mill) == {"found": 2, "published": 2}


def test_a_fault_of_the_store_is_blamed_on_no_image(mill):
    drop(mill, "c/x/a.png", picture(prose(1)))
    drop(mill, "c/x/b.png", picture(prose(2)))

    with pytest.raises(RetryableError):
        read_with(mill, RetryableError, "c/x/b.png")

    assert_nobody_was_blamed(mill)


@pytest.mark.parametrize("error", [RetryableError, ZeroDivisionError], ids=["fault", "bug"])
def test_an_engine_that_fails_is_blamed_on_no_image(mill, error):
    drop(mill, "c/x/a.png", picture(prose(1)))
    drop(mill, "c/x/b.png", picture(prose(2)))
    (batch,) = planning.plan_batches(mill)

    with pytest.raises(error):
        read_batch(mill, batch, BrokenEngine(error))

    assert_nobody_was_blamed(mill)


def test_an_image_above_the_limit_is_set_aside_without_being_fetched(new_mill):
    mill = new_mill(max_object_bytes=10)
    drop(mill, "c/x/a.png", picture(prose(1)))

    read_with(mill, AssertionError, "c/x/a.png")

    (image,) = images_at(mill, "c/x/a.png")
    assert image["reason"] == Reason.IMAGE_TOO_LARGE
    assert audit(mill) == []


def test_nothing_is_ever_written_or_deleted_below_landing(settled):
    heal(settled)
    listed = s3(settled).list_object_versions(Bucket=settled.store.bucket, Prefix=layout.LANDING)

    assert len(listed["Versions"]) == 5
    assert "DeleteMarkers" not in listed
    assert state(settled, BATCH) == BatchState.BUILT
