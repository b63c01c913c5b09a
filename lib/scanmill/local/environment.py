"""The complete environment of the stack's processes, made from home, ports and secrets."""

import json
import os
import re
import shlex
from collections.abc import Mapping

from scanmill.local import home as homes
from scanmill.local.home import Home, Secrets, Stack
from scanmill.local.ports import LOOPBACK
from scanmill.local.reaper import PROGRAM_MARKER, STACK_MARKER

REGION = "us-east-1"
BUCKET = "scanmill"
QUEUE = "scanmill-landing"
ADMIN = "admin"
_ACCOUNT = "000000000000"

# Of the caller's environment these would lead the stack's processes to some other installation.
_FOREIGN = re.compile(r"AIRFLOW|AWS_|PYTHON(PATH|HOME)|SCANMILL_")
_DAGS_FOLDER = "AIRFLOW__CORE__DAGS_FOLDER"
# Both only in a stack that a drill has made for itself.
_PROXY_PORT = "SCANMILL_PROXY_PORT"
_DRILL_FOLDER = "SCANMILL_DRILL_FOLDER"
# Which installation, not how it works: never remembered from one start for the next.
_NOT_SETTINGS = {"SCANMILL_HOME", STACK_MARKER, PROGRAM_MARKER}


def user_settings(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what the caller set and what therefore wins: `SCANMILL_*` and the DAGs folder."""
    return {
        name: value
        for name, value in environ.items()
        if name == _DAGS_FOLDER or (name.startswith("SCANMILL_") and name not in _NOT_SETTINGS)
    }


def build(home: Home, stack: Stack, secrets: Secrets) -> dict[str, str]:
    """Return the variables with which settings, boto3 and Airflow's own commands find the stack."""
    return {
        "SCANMILL_HOME": str(home.root),
        **_aws(stack, secrets),
        **_scanmill(home, stack, secrets),
        **_airflow(home, stack, secrets),
        **_timing(),
        **stack.settings,
    }


def for_processes(home: Home, stack: Stack, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a supervised process, the stack's marker included.

    The marker stays out of `build`: what a person starts by hand with those variables must
    survive `./scanmill down`.
    """
    inherited = {name: value for name, value in os.environ.items() if not _FOREIGN.match(name)}
    return {
        **inherited,
        **variables,
        **marker(home),
        # setproctitle would write the title over the environment, and the marker with it.
        "SPT_NOENV": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",
        "TMPDIR": stack.scratch,
    }


def marker(home: Home) -> dict[str, str]:
    """Return what every process of this stack carries in its environment."""
    return {STACK_MARKER: os.path.realpath(home.root)}


def write_env_file(home: Home, variables: Mapping[str, str]) -> None:
    """Write the variables as a file for the shell: `. .scanmill/env`, then Airflow's commands."""
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in sorted(variables.items())]
    homes.write_private(home.env_file, "".join(lines))


def local_settings(stack: Stack) -> str:
    """Return `airflow_local_settings.py`, which every process of Airflow runs when it starts."""
    folder = stack.settings.get(_DRILL_FOLDER)
    drill = f"from scanmill.drill import hooks\n\nhooks.install({folder!r})\n" if folder else ""
    warm = "from scanmill.orchestration.warming import warm\n\nwarm()\n"
    return f"{warm}{drill}__all__ = []\n"


def api_url(stack: Stack) -> str:
    """Return the address of Airflow's UI and API."""
    return f"http://{LOOPBACK}:{stack.ports['api']}"


def store_url(stack: Stack) -> str:
    """Return the address of S3 and SQS."""
    return f"http://{LOOPBACK}:{stack.ports['store']}"


def _door(stack: Stack) -> str:
    """Return where clients find S3 and SQS: a proxy of the drill may stand before the store."""
    port = stack.settings.get(_PROXY_PORT)
    return f"http://{LOOPBACK}:{port}" if port else store_url(stack)


def _aws(stack: Stack, secrets: Secrets) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": _door(stack),
        "AWS_ACCESS_KEY_ID": secrets.access_key_id,
        "AWS_SECRET_ACCESS_KEY": secrets.secret_access_key,
        "AWS_SESSION_TOKEN": "",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        # Everything is on loopback, where no proxy of the machine has any business.
        "NO_PROXY": "*",
        "no_proxy": "*",
    }


def _scanmill(home: Home, stack: Stack, secrets: Secrets) -> dict[str, str]:
    return {
        "SCANMILL_BUCKET": BUCKET,
        # SeaweedFS knows no queue: the sweep alone finds what lands.
        "SCANMILL_QUEUE_URL": (
            f"{store_url(stack)}/{_ACCOUNT}/{QUEUE}" if stack.store == homes.MINISTACK else ""
        ),
        "SCANMILL_LEDGER_URL": f"sqlite:///{home.ledger}",
        "SCANMILL_EXPECTATIONS_DIR": str(homes.REPOSITORY / "expectations"),
        "SCANMILL_INBOX_DIR": str(home.mail),
        "SCANMILL_AIRFLOW_URL": api_url(stack),
        "SCANMILL_AIRFLOW_USER": ADMIN,
        "SCANMILL_AIRFLOW_PASSWORD": secrets.admin_password,
        "SCANMILL_REPORT_URL": f"{api_url(stack)}/scanmill/reports/",
        "SCANMILL_ALERT_TO": "operators@localhost",
    }


def _airflow(home: Home, stack: Stack, secrets: Secrets) -> dict[str, str]:
    return {
        "AIRFLOW_HOME": str(home.airflow),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home.airflow}/airflow.db",
        **_core(home, stack, secrets),
        **_api(stack, secrets),
        **_logging(home, stack),
        **_connections(stack),
    }


def _core(home: Home, stack: Stack, secrets: Secrets) -> dict[str, str]:
    return {
        _DAGS_FOLDER: str(homes.REPOSITORY / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(home.airflow / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "scanmill.orchestration.executor.LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        # A paused consumer loses events for good.
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "scanmill.local.ports.hostname",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{api_url(stack)}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home.airflow / "passwords.json"),
        "AIRFLOW__CORE__FERNET_KEY": secrets.fernet_key,
    }


def _api(stack: Stack, secrets: Secrets) -> dict[str, str]:
    return {
        "AIRFLOW__API__HOST": LOOPBACK,
        "AIRFLOW__API__PORT": str(stack.ports["api"]),
        "AIRFLOW__API__BASE_URL": api_url(stack),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__EXPOSE_CONFIG": "False",
        "AIRFLOW__API__SECRET_KEY": secrets.api_secret,
        "AIRFLOW__API__LOG_FETCH_TIMEOUT_SEC": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.jwt_secret,
    }


def _logging(home: Home, stack: Stack) -> dict[str, str]:
    logs = home.logs / "airflow"
    return {
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(logs),
        "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": f"{logs}/dag_processor",
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(stack.ports["worker_log"]),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(stack.ports["trigger_log"]),
    }


def _connections(stack: Stack) -> dict[str, str]:
    smtp = {
        "conn_type": "smtp",
        "host": LOOPBACK,
        "port": stack.ports["mail"],
        "extra": {"disable_ssl": True, "disable_tls": True, "from_email": "scanmill@localhost"},
    }
    return {
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps({"conn_type": "aws"}),
        "AIRFLOW_CONN_SMTP_DEFAULT": json.dumps(smtp),
    }


def _timing() -> dict[str, str]:
    """Return intervals that suit two cores and one user: dead things are noticed in a minute."""
    return {
        # 5 s by default: shorter than SQLite's own patience with a lock, and tasks die unstarted.
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
        # 5 by default, some 7 s: tasks would fail unstarted while the api-server starts.
        "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "10",
        # 3 by default: every task dies when the api-server is away for 15 s.
        "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "10",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "10",
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "30",
        # New files are seen after this; a file that changed is parsed at once, others rarely.
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
    }
