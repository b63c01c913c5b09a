"""# Reprocess images

Plans images of the books to be read again, with other settings. The form asks which and how;
`./scanmill reprocess` does the same from a terminal.

**Starts when** a person triggers it.
**Publishes** the `image_batches` asset, one partition per batch, as `ingest_images` does.
**If it fails** nothing was planned, or what was planned is announced by the next sweep. Clearing
the failed task plans the images once more, which is harmless.
"""

from airflow.sdk import Param, dag, task
from airflow.sdk.exceptions import AirflowSkipException

from scanmill.models import EngineName
from scanmill.orchestration.assets import IMAGE_BATCHES
from scanmill.orchestration.defaults import DAG_DEFAULTS


@dag(
    schedule=None,
    doc_md=__doc__,
    params={
        "reason": Param("", type="string", description="Set aside for this reason."),
        "key": Param("", type="string", description="A pattern of keys: receipts/*/00?.tif"),
        "batch": Param("", type="string", description="Landed with this batch."),
        "stale": Param(
            default=False,
            type="boolean",
            description="Read by another engine, or with other settings.",
        ),
        "engine": Param(None, type=["null", "string"], enum=[None, *map(str, EngineName)]),
        "psm": Param(None, type=["null", "integer"], minimum=0, maximum=13),
        "lang": Param("", type="string", description="Tesseract languages, joined by +."),
        "because": Param("", type="string", description="Why; it stands in the books."),
    },
    **DAG_DEFAULTS,
)
def reprocess_images():
    plan_again()


@task(outlets=[IMAGE_BATCHES])
def plan_again(params=None, dag_run=None, outlet_events=None) -> int:
    """Plan the chosen images to be read again, and announce the batches."""
    from scanmill.steps import Mill, planning, reprocessing

    mill = Mill.from_settings()
    planned = reprocessing.reprocess(
        mill,
        reprocessing.Choice(
            **{name: params[name] for name in ("reason", "key", "batch")},
            is_stale=params["stale"],
        ),
        settings={
            "ocr_engine": params["engine"],
            "ocr_psm": params["psm"],
            "ocr_languages": params["lang"],
        },
        asked_by=dag_run.triggering_user_name or "airflow",
        because=params["because"],
    )
    if not planned:
        raise AirflowSkipException("Nothing in the books is like that.")
    planning.note_announced(mill, planned)
    outlet_events[IMAGE_BATCHES].add_partitions(planned)
    return len(planned)


reprocess_images()
