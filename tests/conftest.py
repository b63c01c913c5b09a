"""What every test may use: an environment of its own, a real local S3, an empty mill."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

_AIRFLOW_HOME = tempfile.mkdtemp(prefix="scanmill-airflow-")
atexit.register(shutil.rmtree, _AIRFLOW_HOME, ignore_errors=True)
for _name in [name for name in os.environ if name.startswith(("SCANMILL_", "AWS_", "AIRFLOW_"))]:
    if _name != "SCANMILL_REAL_SCANS":  # the tests' own: a folder for those that want one
        del os.environ[_name]
os.environ["AIRFLOW_HOME"] = _AIRFLOW_HOME  # before anything imports Airflow
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["HF_HOME"] = str(Path(_AIRFLOW_HOME) / "hf")  # before anything imports datasets
os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull

# E402 from here on: the environment above has to stand before anything else is imported.
import itertools  # noqa: E402

import boto3  # noqa: E402
import pytest  # noqa: E402

from drivers import point_at  # noqa: E402
from scanmill import report  # noqa: E402
from scanmill.ledger import Ledger  # noqa: E402
from scanmill.quality import runner  # noqa: E402
from scanmill.sandbox import walls  # noqa: E402
from scanmill.settings import Settings  # noqa: E402
from scanmill.steps import Mill  # noqa: E402
from unit.ministack_server import running_ministack  # noqa: E402
from unit.seaweedfs_server import running_seaweedfs  # noqa: E402

ROOT = Path(__file__).parents[1]
EXPECTATIONS = ROOT / "expectations"

_NUMBERS = itertools.count(1)
_BUBBLEWRAP = walls.bubblewrap

_STACK = "tests/stack/"
"""Tests of the running stack: one process runs them all, because there is one stack at a time."""


class _ByFile(LoadScopeScheduling):
    """Hands whole files to the processes that share the work, and the stack's files as one."""

    def _split_scope(self, nodeid):
        return _STACK if nodeid.startswith(_STACK) else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config, log):
    """Share the work by file: what a file's tests have in common is made once."""
    return _ByFile(config, log)


def pytest_generate_tests(metafunc):
    """Run the tests of a module that is marked so on each of the two stores."""
    if "aws" in metafunc.fixturenames and getattr(metafunc.module, "ON_BOTH_STORES", False):
        metafunc.parametrize("aws", ["endpoint", "seaweedfs"], indirect=True)


def pytest_collection_modifyitems(items):
    """Begin with the stack, which takes longest."""
    items.sort(key=lambda item: not item.nodeid.startswith(_STACK))


@pytest.fixture(autouse=True)
def _limits_alone(monkeypatch):
    """Stand behind limits alone, as where there is no bubblewrap: stubs want to be seen.

    What is true behind bubblewrap too is the business of test_sandbox and test_isolation.
    """
    monkeypatch.setattr(walls, "bubblewrap", lambda: None)


@pytest.fixture
def bubblewrapped(monkeypatch):
    """Stand behind bubblewrap."""
    monkeypatch.setattr(walls, "bubblewrap", _BUBBLEWRAP)
    if walls.bubblewrap() is None:
        pytest.skip("bubblewrap is not there, or may not make namespaces")


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory):
    """The address of an S3 store that lives as long as the session."""
    with running_ministack(tmp_path_factory.mktemp("store")) as url:
        yield url


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory):
    """The address of another S3 store, by other people."""
    with running_seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as url:
        yield url


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory):
    """A ledger just opened: a copy of it is the quick way to a new one."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    Ledger(f"sqlite:///{path}")._engine.dispose()  # writes everything into the one file
    return path


@pytest.fixture
def aws(request, monkeypatch):
    """The store, as the AWS environment names it: `endpoint`, or what `ON_BOTH_STORES` asks for."""
    url = request.getfixturevalue(getattr(request, "param", "endpoint"))
    point_at(url, monkeypatch)
    return url


@pytest.fixture
def new_mill(aws, empty_ledger, tmp_path):
    """Make mills, each with a bucket and a ledger of its own; settings may be changed."""

    def make(*, is_versioned=True, **settings):
        number = next(_NUMBERS)
        bucket = f"test-{number}"
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket=bucket)
        if is_versioned:
            wanted = {"Status": "Enabled"}
            s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=wanted)
        path = tmp_path / f"ledger-{number}.db"
        shutil.copy(empty_ledger, path)
        usual = {"expectations_dir": EXPECTATIONS, "ocr_workers": 1}
        return Mill.from_settings(
            Settings(bucket=bucket, ledger_url=f"sqlite:///{path}", **usual | settings)
        )

    return make


@pytest.fixture
def mill(new_mill):
    """An empty, versioned bucket with an empty ledger, and the usual settings."""
    return new_mill()


@pytest.fixture
def plain_reports(monkeypatch):
    """Make reports with one picture and one page of Data Docs: they cost more than all the rest.

    How these look is the business of test_report and test_quality.
    """

    def write(_run, _context, docs_dir):
        (docs_dir / "index.html").write_text("<p>Data Docs</p>")

    monkeypatch.setattr(runner._Run, "_write_docs", write)
    monkeypatch.setattr(report, "MOST_WORST_PAGES", 1)
