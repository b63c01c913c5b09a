"""What the drill does inside the processes of its scratch stack: it breaks them from within.

Airflow loads it through `airflow_local_settings.py` of the scratch stack, and nothing else does. It
listens at public doors only: boto3's events before a request is made, and SQLAlchemy's before a
commit. So every durable write of the pipeline is a failpoint by itself, and the product's code has
no mark of any of this.

The drill gives an order by writing a file named after a collection. The process that does that
order writes the evidence first.
"""

import ctypes
import dataclasses
import json
import os
import re
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import boto3
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from scanmill import layout, ocr
from scanmill.dataset.splits import SPLITS
from scanmill.ocr.tesseract import TesseractEngine
from scanmill.settings import Settings

PROGRAM = "reader"
MODELS = "models"
_ORDERS, _WRITES, _EVIDENCE = "orders", "writes", "evidence"
_NUMBER = re.compile(r"[0-9a-f]{16,}|\d+")
_SPLIT = re.compile(rf"/({'|'.join(SPLITS)})/")  # into which a document falls is chance


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to happen in a process that works on a collection.

    `at_write` names the durable write before which it happens, as `writes` has it; the empty
    word: as soon as a process touches the collection. `times`: in how many processes.
    """

    do: str
    at_write: str = ""
    times: int = 1
    seconds: float = 0.0
    folder: str = ""


def give(folder: Path, collection: str, order: Order) -> None:
    """Give an order to whoever works on this collection."""
    _atomically(folder / _ORDERS / collection, json.dumps(dataclasses.asdict(order)))


def withdraw(folder: Path, collection: str) -> None:
    """Take an order back; processes that began later are as ever."""
    (folder / _ORDERS / collection).unlink(missing_ok=True)


def evidence(folder: Path, collection: str) -> list[str]:
    """Return a line for each time that an order was done."""
    return _lines(folder / _EVIDENCE / collection)


def writes(folder: Path, collection: str) -> list[str]:
    """Return every durable write that was tried for a collection, in order."""
    return _lines(folder / _WRITES / collection)


def prepare(folder: Path) -> None:
    """Make the folders that orders, evidence and the notes of writes lie in."""
    for name in (_ORDERS, _WRITES, _EVIDENCE):
        (folder / name).mkdir(parents=True, exist_ok=True)


def install(folder: str) -> None:
    """Listen in this process and in all that it will fork."""
    process = _Process(Path(folder))
    boto3.setup_default_session()
    events = boto3.DEFAULT_SESSION.events
    events.register("before-parameter-build.s3", process.before_request)
    sa.event.listen(sa.Engine, "begin", process.at_begin)
    sa.event.listen(sa.Engine, "commit", process.before_commit)
    ocr.choose_engine = lambda settings: _engine(settings, Path(folder))


def _engine(settings: Settings, folder: Path) -> ocr.OcrEngine:
    program, models = str(folder / PROGRAM), folder / MODELS
    engine = TesseractEngine(settings, program=program, tessdata_folder=models)
    return ocr.with_second_chances(engine, settings)


class _Process:
    """Knows for which collection this process last spoke to the store, and what is ordered."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._collection = ""
        self._done: set[str] = set()

    def before_request(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        """Note whom a request to the store is about, and that it is a durable write."""
        key = params.get("Key") or params.get("Prefix") or ""
        self._collection = _collection_of(key) or self._collection
        if not self._collection:
            return
        self._obey(at_write="")
        # Data Docs are a score of files, which are made and replaced together: one stands for all.
        if model.name == "PutObject" and ("/docs/" not in key or key.endswith("docs/index.html")):
            name = _SPLIT.sub("/SPLIT/", key.replace(self._collection, "C"))
            name = _NUMBER.sub("N", name)
            self._before_write(f"put {name}")

    def at_begin(self, connection: Connection) -> None:
        """Leave the ledger no room, when that was ordered."""
        order = self._order()
        if order and order.do == "fill_ledger" and _is_ledger(connection):
            self._note(order)
            # SQLite answers with the pages that there are: not one more can be added.
            connection.exec_driver_sql("PRAGMA max_page_count = 1")

    def before_commit(self, connection: Connection) -> None:
        """Note that a transaction of the ledger is a durable write."""
        is_write = connection.get_execution_options().get("scanmill_writes")
        if is_write and self._collection:
            self._before_write("commit to the ledger")

    def _before_write(self, what: str) -> None:
        """Note the write: its task, its address or the ledger, and the how manieth of its kind."""
        path = self._folder / _WRITES / self._collection
        name = f"{_task()}: {what}"
        count = sum(line.startswith(f"{name} #") for line in _lines(path))
        _append(path, f"{name} #{count + 1}")
        self._obey(at_write=f"{name} #{count + 1}")

    def _obey(self, *, at_write: str) -> None:
        order = self._order()
        if order is None or order.at_write != at_write or order.do not in _DEEDS:
            return
        if self._collection in self._done or not self._note(order):
            return
        self._done.add(self._collection)
        _DEEDS[order.do](order)

    def _order(self) -> Order | None:
        try:
            text = (self._folder / _ORDERS / self._collection).read_text(encoding="utf-8")
        except OSError:
            return None
        return Order(**json.loads(text))

    def _note(self, order: Order) -> bool:
        """Write the evidence, and tell whether the order still wants to be done."""
        path = self._folder / _EVIDENCE / self._collection
        if len(_lines(path)) >= order.times:
            return False
        _append(path, f"{order.do} in {_task()} [{os.getpid()}]")
        return True


# --- deeds ---------------------------------------------------------------------------------------


def _kill(_: Order) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _kill_supervisor(_: Order) -> None:
    os.kill(os.getppid(), signal.SIGKILL)


def _segfault(_: Order) -> None:
    ctypes.string_at(0)  # a real one: the handler that Airflow leaves behind does not end it


def _hang(order: Order) -> None:
    time.sleep(order.seconds)


def _use_small_disk(order: Order) -> None:
    tempfile.tempdir = order.folder


def _change_clock(order: Order) -> None:
    import time_machine  # noqa: PLC0415 - only the drill has it

    time_machine.travel(time.time() + order.seconds).start()


_DEEDS = {
    "kill": _kill,
    "kill_supervisor": _kill_supervisor,
    "segfault": _segfault,
    "hang": _hang,
    "small_disk": _use_small_disk,
    "clock": _change_clock,
}


# --- helpers -------------------------------------------------------------------------------------


def _collection_of(key: str) -> str:
    """Return the collection that an address is about, or the empty word."""
    top, _, rest = key.partition("/")
    name = rest.partition("/")[0]
    if top == "batches":
        return (layout.split_batch_id(name) or ("", 0))[0]
    return name if top in {"datasets", "quarantine"} else ""


def _is_ledger(connection: Connection) -> bool:
    return str(connection.engine.url.database or "").endswith("ledger.db")


def _task() -> str:
    """Return the task that this process does."""
    return os.environ.get("AIRFLOW_CTX_TASK_ID", "no task")


def _append(path: Path, line: str) -> None:
    """Append one line, on disk before anything else happens."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, f"{line}\n".encode())
        os.fsync(file)
    finally:
        os.close(file)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def _atomically(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
