"""# Recognize pages

Reads every page of one batch, slice by slice, and lets a Great Expectations gate judge the result.

**Starts when** a batch is announced on the `image_batches` asset: one run per batch.
**Publishes** the `pages` asset, same partition, only after the gate passed. A batch without one
readable page is settled and publishes nothing.
**If it fails** with `GateFailed` the batch is held: read the report and decide with
`./scanmill review`. With anything else, what was read is kept: clearing the failed tasks is always
safe, and the sweep starts a batch that stands still again.
"""

from airflow.sdk import PartitionedAssetTimetable, dag, task
from airflow.sdk.exceptions import AirflowSkipException

from scanmill.orchestration.assets import IMAGE_BATCHES, PAGES
from scanmill.orchestration.defaults import DAG_DEFAULTS, SLICES_AT_ONCE
from scanmill.orchestration.running import (
    ReportLink,
    current_batch,
    current_log_url,
    name_slice,
)

TRIES_TOGETHER = 2
"""After so many failures a slice is read image by image, to find the one that brings it down."""


@dag(
    schedule=PartitionedAssetTimetable(assets=IMAGE_BATCHES),
    max_active_runs=4,
    doc_md=__doc__,
    **DAG_DEFAULTS,
)
def recognize_pages():
    slices = list_slices()
    judged = judge_batch()
    judged.operator.operator_extra_links = (ReportLink("pages_gate"),)
    recognize_slice.expand(slice_number=slices) >> judged


@task
def list_slices() -> list[int]:
    """List the slices of the batch that are not read yet."""
    from scanmill.steps import Mill, recognizing

    return recognizing.list_slices(Mill.from_settings(), current_batch())


@task(
    doc_md="Read every image of one slice; what cannot be read is set aside with a reason.",
    map_index_template="{{ slice_name }}",
    max_active_tis_per_dag=SLICES_AT_ONCE,
)
def recognize_slice(slice_number: int, ti=None) -> dict[str, int]:
    from scanmill.ocr import choose_engine
    from scanmill.steps import Mill, recognizing

    name_slice(f"slice {slice_number}")
    mill = recognizing.for_batch(Mill.from_settings(), current_batch())
    counts = recognizing.recognize_slice(
        mill,
        choose_engine(mill.settings),
        batch_id=current_batch(),
        slice_number=slice_number,
        one_by_one=ti.try_number > TRIES_TOGETHER,
        log_url=current_log_url(),
    )
    tally = ", ".join(f"{count} {fate}" for fate, count in sorted(counts.items()))
    name_slice(f"slice {slice_number}: {tally}")
    return counts


@task(outlets=[PAGES], trigger_rule="all_done")
def judge_batch(outlet_events=None) -> dict[str, int]:
    """Judge the batch, write its report, and hold it when its text is bad."""
    from scanmill.steps import Mill, judging

    mill, batch_id = Mill.from_settings(), current_batch()
    counts = judging.judge_batch(mill, batch_id)
    if not judging.waits_to_be_built(mill, batch_id):
        raise AirflowSkipException("No page of this batch waits to be published.")
    outlet_events[PAGES].extra = counts
    return counts


recognize_pages()
