"""# Audit ledger

Compares listing, ledger, parts, quarantine and snapshots, names what is off, and mends what can be
mended.

**Starts** every `SCANMILL_AUDIT_SECONDS`.
**Publishes** the `pages` asset for batches that were judged good and not built: a lost event heals.
**If it fails** the books do not balance even after healing, or the audit could not run. The mail
names every finding; `./scanmill audit` shows them again.
"""

from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowSkipException

from scanmill.orchestration.assets import PAGES
from scanmill.orchestration.defaults import DAG_DEFAULTS, at_audit_interval


@dag(schedule=at_audit_interval(), max_active_runs=1, doc_md=__doc__, **DAG_DEFAULTS)
def audit_ledger():
    audit() >> heal()
    ring_for_builds()  # waits for nothing: a lost event must heal also when the audit fails


@task
def audit() -> int:
    """Count what is off between the bucket and the books."""
    from scanmill.steps import Mill, auditing

    return len(auditing.audit(Mill.from_settings()))


@task
def heal() -> int:
    """Put back what we wrote once, enter what the books lack, then audit again."""
    from scanmill.steps import Mill, healing

    return healing.heal(Mill.from_settings())


@task(outlets=[PAGES])
def ring_for_builds(outlet_events=None) -> int:
    """Announce the batches that were judged good and that nobody built."""
    from scanmill.steps import Mill, planning

    mill = Mill.from_settings()
    waiting = planning.batches_to_build(mill)
    if not waiting:
        raise AirflowSkipException("No batch waits to be built.")
    planning.note_built_for(mill, waiting)
    outlet_events[PAGES].add_partitions(waiting)
    return len(waiting)


audit_ledger()
