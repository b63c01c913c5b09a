"""Three bugs for copies of the DAG files; each strikes in the collection of one fault only."""

from scanmill.ocr.tesseract import TesseractEngine
from scanmill.orchestration.running import current_batch
from scanmill.steps import building

LOSES, DOUBLES, CONFUSES = "kill_watchdog", "deleted", "event_doubled"

_write_shard = building._write_shard
_recognize = TesseractEngine.recognize


def plant():
    building._write_shard = write_shard
    TesseractEngine.recognize = recognize


def write_shard(mill, collection, split, batch_id, table):
    """Write a shard without its last row, or with its first one twice."""
    if collection == as_collection(LOSES):
        table = table.slice(0, table.num_rows - 1)
    if collection == as_collection(DOUBLES):
        table = table.take([0, *range(table.num_rows)])
    return _write_shard(mill, collection, split, batch_id, table)


def recognize(engine, rasters, **how):
    """Give every page the text of another one."""
    readings = _recognize(engine, rasters, **how)
    is_struck = current_batch().startswith(as_collection(CONFUSES))
    return readings[::-1] if is_struck else readings


def as_collection(fault):
    return fault.replace("_", "-")
