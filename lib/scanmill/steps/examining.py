"""Examines the installation: engine, bucket, queue, mail, Airflow; one result for each part."""

import dataclasses
import datetime as dt
import smtplib
from collections.abc import Callable, Iterator

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from scanmill import airflow_api, layout
from scanmill.airflow_api import AirflowApi
from scanmill.errors import LostRaceError, ScanmillError
from scanmill.ledger import heartbeats, outbox, receipts
from scanmill.models import EngineName, hash_id
from scanmill.ocr import choose_engine, is_installed
from scanmill.quality import RowRules, find
from scanmill.sandbox import walls
from scanmill.steps import Mill, relieving
from scanmill.steps.delivering import mail_server

_KEYED_ASSETS = ("image_batches", "pages", "dataset")
_COMPONENTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How one part is doing, and what to do about it."""

    name: str
    is_well: bool
    detail: str
    remedy: str = ""


def examine(mill: Mill) -> list[Result]:
    """Return a result for every part; one that cannot be examined is not well."""
    parts: dict[str, Callable[[Mill], Iterator[Result]]] = {
        "OCR engine": _engine,
        "isolation": _isolation,
        "rules": _rules,
        "bucket": _bucket,
        "conditional writes": _conditional_writes,
        "listing": _listing,
        "queue": _queue,
        "ledger": _ledger,
        "watchdog": _watchdog,
        "mail": _mail,
        "Airflow": _airflow,
    }
    results: list[Result] = []
    for name, look in parts.items():
        try:
            results += look(mill)
        except (ScanmillError, BotoCoreError, ClientError, OSError) as error:
            results.append(Result(name=name, is_well=False, detail=str(error)))
    return results


def _engine(mill: Mill) -> Iterator[Result]:
    """Make the engine for every collection that has its own languages, as a run would."""
    engine = choose_engine(mill.settings)
    wanted = {"": mill.settings.ocr_languages} | mill.settings.collection_languages
    for name in wanted:
        choose_engine(mill.settings.of_collection(name))
    info = engine.info
    yield Result(name="OCR engine", is_well=True, detail=f"{info.name} {info.version}")
    reads = ", ".join(f"{name or 'collections'}: {codes}" for name, codes in wanted.items())
    detail = f"{reads}; there are {', '.join(engine.languages)}"
    yield Result(name="languages", is_well=True, detail=detail)
    others = [name for name in EngineName if name != info.name and is_installed(name)]
    detail = ", ".join(others) or "none installed"
    yield Result(name="other engines", is_well=True, detail=detail)


def _isolation(_: Mill) -> Iterator[Result]:
    level = walls.bubblewrap()
    detail = (
        "bubblewrap: files are opened without network, home or secrets"
        if level
        else "limits alone; stronger with bubblewrap: apt-get install bubblewrap"
    )
    yield Result(name="isolation", is_well=True, detail=detail)


def _rules(mill: Mill) -> Iterator[Result]:
    RowRules.load(find(mill.settings, collection="", name="row_rules.json"))
    for name in ("pages_gate.json", "dataset_gate.json"):
        find(mill.settings, collection="", name=name)
    yield Result(name="rules", is_well=True, detail=str(mill.settings.expectations_dir))


def _bucket(mill: Mill) -> Iterator[Result]:
    yield Result(name="store", is_well=True, detail=mill.store.describe())
    is_versioned = mill.store.is_versioned()
    yield Result(
        name="bucket versioning",
        is_well=is_versioned,
        detail="on" if is_versioned else "off: an overwritten scan leaves no trace",
        remedy=f"aws s3api put-bucket-versioning --bucket {mill.store.bucket} "
        "--versioning-configuration Status=Enabled",
    )


def _conditional_writes(mill: Mill) -> Iterator[Result]:
    """Be a second writer, of a new key and of a changed one; a store that lets one pass loses."""
    key = f"doctor/{hash_id(dt.datetime.now(dt.UTC).isoformat())}"
    mill.store.create(key, b"first")
    _, etag = mill.store.read_tagged(key)
    mill.store.swap(key, b"second", etag=etag)
    writers: dict[str, Callable[[], object]] = {
        "If-None-Match": lambda: mill.store.create(key, b"third"),
        "If-Match": lambda: mill.store.swap(key, b"third", etag=etag),
    }
    for header, write in writers.items():
        try:
            write()
        except LostRaceError:
            yield Result(name=header, is_well=True, detail="enforced")
        else:
            detail = "a second writer was let through"
            remedy = "Use a store that enforces conditional writes: AWS S3 does."
            yield Result(name=header, is_well=False, detail=detail, remedy=remedy)


def _listing(mill: Mill) -> Iterator[Result]:
    """Turn pages between names that a store which walks folders meets in another order."""
    keys = [f"doctor/listing/{name}" for name in ("a/1", "a/2", "a-b/1", "a-b/2")]
    for key in keys:
        mill.store.create(key, b"")
    listed = {one.key for one in mill.store.list_versions("doctor/listing/", page_size=1)}
    left_out = [key for key in keys if key not in listed]
    yield Result(
        name="listing",
        is_well=not left_out,
        detail=f"leaves out {left_out}" if left_out else "whole",
        remedy="Uploads would be missed. Use a store that lists all versions: AWS S3 does.",
    )


def _queue(mill: Mill) -> Iterator[Result]:
    url = mill.settings.queue_url
    if not url:
        seconds = mill.settings.sweep_seconds
        detail = f"none, by choice; the sweep finds uploads within {seconds:g} s"
        yield Result(
            name="queue", is_well=seconds > 0, detail=detail, remedy="Set a queue or sweep."
        )
        return
    names = ["ApproximateNumberOfMessages", "QueueArn"]
    answer = boto3.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)
    waiting = answer["Attributes"]["ApproximateNumberOfMessages"]
    yield Result(name="queue", is_well=True, detail=f"{waiting} messages wait")
    told = boto3.client("s3").get_bucket_notification_configuration(Bucket=mill.store.bucket)
    arns = [entry["QueueArn"] for entry in told.get("QueueConfigurations", ())]
    yield Result(
        name="notifications",
        is_well=answer["Attributes"]["QueueArn"] in arns,
        detail="the bucket tells the queue of uploads" if arns else "the bucket tells nobody",
        remedy=f"Send s3:ObjectCreated:* under {layout.LANDING} to {url}",
    )


def _ledger(mill: Mill) -> Iterator[Result]:
    with mill.ledger.reading() as connection:
        images, pages = receipts.image_counts(connection), receipts.page_counts(connection)
        waiting = outbox.undelivered(connection)
    broken = receipts.imbalances(images, pages)
    detail = "; ".join(broken) or f"{images['landed']} images, {pages['found']} pages, balanced"
    yield Result(name="ledger", is_well=not broken, detail=detail, remedy="./scanmill heal")
    failing = [message for message in waiting if message["tries"]]
    yield Result(
        name="outbox",
        is_well=not failing,
        detail=f"{len(waiting)} alerts wait" + (f": {failing[0]['error']}" if failing else ""),
        remedy="Mend the connection smtp_default; the alerts arrive by themselves then.",
    )


def _watchdog(mill: Mill) -> Iterator[Result]:
    with mill.ledger.reading() as connection:
        seconds = heartbeats.silence(connection, relieving.WATCHDOG)
    never = "never seen at work: nobody sends alerts"
    detail = never if seconds is None else f"at work {seconds:.0f} s ago"
    yield Result(
        name="watchdog",
        is_well=seconds is not None and seconds <= relieving.MUTE_SECONDS,
        detail=detail,
        remedy="./scanmill up starts one that is dead; one that hangs: end its process, another "
        "one takes its place. Without a local stack: keep `scanmill watchdog` running.",
    )


def _mail(mill: Mill) -> Iterator[Result]:
    if not mill.settings.smtp_connection:
        detail = "no connection smtp_default: alerts reach nobody by e-mail"
        remedy = "Set AIRFLOW_CONN_SMTP_DEFAULT."
        yield Result(name="mail", is_well=False, detail=detail, remedy=remedy)
        return
    remedy = (
        "Mend the connection smtp_default: host, port, login, disable_ssl, disable_tls. "
        "An authority of your own goes into SSL_CERT_FILE."
    )
    try:
        with mail_server(mill.settings) as smtp:
            code, _ = smtp.noop()
            host, port, *_ = smtp.sock.getpeername() if smtp.sock else ("", 0)
    except (OSError, smtplib.SMTPException) as error:
        yield Result(name="mail", is_well=False, detail=str(error), remedy=remedy)
        return
    yield Result(
        name="mail", is_well=code == 250, detail=f"{host}:{port} answers {code}", remedy=remedy
    )


def _airflow(mill: Mill) -> Iterator[Result]:
    if not mill.settings.airflow_url:
        detail = "SCANMILL_AIRFLOW_URL is not set: not examined"
        yield Result(name="Airflow", is_well=True, detail=detail)
        return
    health = airflow_api.health(mill.settings)
    for name in _COMPONENTS:
        state = (health.get(name) or {}).get("status") or "absent"
        remedy = "./scanmill up starts what is missing; its log is in the logs folder"
        is_well = state == "healthy"
        yield Result(name=f"Airflow {name}", is_well=is_well, detail=state, remedy=remedy)
    with AirflowApi(mill.settings) as airflow:
        if mill.settings.queue_url:
            yield _watcher(airflow)
        yield _plain_schedules(airflow)


def _watcher(airflow: AirflowApi) -> Result:
    """A second declaration of the asset, without its watcher, would have taken it away."""
    watchers = [watcher["name"] for watcher in airflow.asset("landing")["watchers"]]
    return Result(
        name="watcher",
        is_well=bool(watchers),
        detail=f"[{', '.join(watchers)}] listens to the queue" if watchers else "nobody listens",
        remedy="Declare the asset landing nowhere else: import scanmill.orchestration.assets",
    )


def _plain_schedules(airflow: AirflowApi) -> Result:
    """A DAG with a plain schedule on a keyed asset never runs, and nothing else says so."""
    dag_ids = {
        dag["dag_id"] for name in _KEYED_ASSETS for dag in airflow.asset(name)["scheduled_dags"]
    }
    deaf = sorted(d for d in dag_ids if not airflow.dag(d)["timetable_partitioned"])
    return Result(
        name="schedules",
        is_well=not deaf,
        detail=f"{', '.join(deaf)} will never run" if deaf else f"{len(dag_ids)} DAGs hear assets",
        remedy="Use schedule=PartitionedAssetTimetable(assets=...) in place of schedule=[...]",
    )
