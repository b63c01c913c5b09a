"""A migrated, empty Airflow database, made once and copied for each fresh stack.

`./scanmill` makes it at set-up (`python -m scanmill.local.template`); where it is missing, the
first start does.
"""

import contextlib
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from scanmill.errors import FatalError
from scanmill.local import home as homes
from scanmill.local.home import Home

_MADE_BY = "made-by"


def prepare(home: Home, environment: Mapping[str, str]) -> bool:
    """Bring the stack's own database up to date, and tell whether that took a migration."""
    database, made_by = home.airflow / "airflow.db", home.airflow / _MADE_BY
    fresh = not _is_filled(database)
    if not fresh and made_by.exists() and made_by.read_text() == _key():
        return False
    if fresh:
        _clear(database)
        draft = database.with_suffix(".draft")
        shutil.copyfile(template(), draft)
        draft.chmod(0o600)
        draft.replace(database)
    else:
        _migrate(environment)
    homes.write_private(made_by, _key())
    return not fresh


def _is_filled(database: Path) -> bool:
    """Tell whether it is Airflow's; one that was deleted comes back empty when it is asked."""
    if not database.exists():
        return False
    with contextlib.closing(sqlite3.connect(database)) as connection:
        wanted = "SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'"
        return connection.execute(wanted).fetchone() is not None


def _clear(database: Path) -> None:
    """Remove what an empty database has beside it: its log would be played into the new one."""
    for ending in ("-wal", "-shm"):
        database.with_name(f"{database.name}{ending}").unlink(missing_ok=True)


def template() -> Path:
    """Return the template for what is installed, made now if there is none."""
    path = Path(sys.prefix) / "share" / "scanmill" / f"airflow-{_key()}.db"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        source = Path(scratch, "airflow.db")
        _migrate(_alone(Path(scratch), source))
        draft = Path(scratch, "template.db")
        with contextlib.closing(sqlite3.connect(source)) as database:
            # Folds the write-ahead log in, so that one file is all there is.
            database.execute("VACUUM INTO ?", (str(draft),))
        draft.replace(path)
    return path


def _alone(folder: Path, database: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if "AIRFLOW" not in name}
    return {
        **inherited,
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{database}",
    }


def _migrate(environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise FatalError(f"`airflow db migrate` ended with [{done.returncode}]: {said}")


def _key() -> str:
    lock = homes.REPOSITORY / "locks" / "scanmill.lock"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    return f"{version('apache-airflow')}-{digest}"


if __name__ == "__main__":
    template()
