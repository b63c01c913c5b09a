import contextlib
import dataclasses
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scanmill import sandbox
from scanmill.errors import FatalError
from scanmill.sandbox import walls
from waiting import is_soon

LIMITS = sandbox.Limits(memory_bytes=1 << 30, cpu_seconds=1, file_bytes=1 << 20)


def run_python(code, limits=LIMITS, **options):
    return sandbox.run([sys.executable, "-I", "-c", code], limits=limits, **options)


def is_alive(pid):
    """Tell whether a process runs; one that died and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def is_soon_dead(pid):
    return is_soon(lambda: not is_alive(pid))


def processes_with(word):
    """Return the processes that have this word on their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if word.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found


def test_a_good_program_gives_its_output_and_status():
    outcome = run_python("import sys; print('text'); sys.stderr.write('note'); sys.exit(3)")

    assert (outcome.status, outcome.output, outcome.errors) == (3, b"text\n", "note")
    assert not outcome.is_timeout


def test_a_segfault_is_reported_as_its_signal():
    outcome = run_python("import ctypes; ctypes.string_at(0)")

    assert outcome.status == -signal.SIGSEGV
    assert sandbox.ending(outcome.status) == "killed by SIGSEGV"


def test_a_loop_that_ignores_the_terminate_signal_ends_at_the_cpu_limit():
    outcome = run_python("import signal\nsignal.signal(15, signal.SIG_IGN)\nwhile True: pass")

    assert outcome.is_timeout
    assert outcome.status == -signal.SIGXCPU


def test_a_program_that_only_sleeps_ends_at_the_wall_clock(monkeypatch):
    monkeypatch.setattr(sandbox, "WALL_FACTOR", 0.5)

    outcome = run_python("import time; time.sleep(600)")

    assert outcome.is_timeout
    assert outcome.status == -signal.SIGKILL


def test_memory_beyond_the_limit_is_refused_to_the_program():
    outcome = run_python("bytearray(10**10)")

    assert outcome.status == 1
    assert "MemoryError" in outcome.errors


def test_a_flood_of_output_ends_at_the_file_limit():
    outcome = sandbox.run(["yes"], limits=LIMITS)

    assert len(outcome.output) <= LIMITS.file_bytes
    assert outcome.status == -signal.SIGXFSZ


def test_a_left_behind_grandchild_is_killed():
    outcome = sandbox.run(["sh", "-c", "sleep 600 & echo $!"], limits=LIMITS)

    assert outcome.status == 0
    assert is_soon_dead(int(outcome.output))


def test_no_secret_reaches_the_program(monkeypatch):
    for name in ("AWS_SECRET_ACCESS_KEY", "AIRFLOW_CONN_AWS_DEFAULT", "SCANMILL_ALERT_WEBHOOK"):
        monkeypatch.setenv(name, "top secret")

    outcome = sandbox.run(["env"], limits=LIMITS, environment={"OMP_THREAD_LIMIT": "1"})

    names = {line.split("=")[0] for line in outcome.output.decode().splitlines()}
    assert names == {"PATH", "LC_ALL", "TMPDIR", "OMP_THREAD_LIMIT", "SCANMILL_SCRATCH"}


WORKER = """
import sys
from pathlib import Path
from scanmill import sandbox
from scanmill.sandbox import walls

if sys.argv[1] == "limits":
    walls.bubblewrap = lambda: None
limits = sandbox.Limits(memory_bytes=1 << 30, cpu_seconds=60)
sandbox.run(["sh", "-c", sys.argv[2]], limits=limits)
"""
PROGRAMS = {
    "sleeps": "touch ready; exec sleep 654.25",
    "spins": "touch ready; : 654.25; while :; do :; done",
    "has a child": "sleep 654.25 & touch ready; wait",
    "has a child in a session of its own": "setsid sleep 654.25 & touch ready; exec sleep 654.25",
    "floods": "touch ready; exec yes 654.25",
}
LEVELS = ("limits", "bubblewrap")


@pytest.fixture(params=LEVELS)
def level(request):
    """Each level of isolation that this machine has."""
    if request.param == "bubblewrap":
        request.getfixturevalue("bubblewrapped")
    return request.param


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_a_worker_that_is_killed_leaves_no_process_and_no_file(level, program, tmp_path):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    argv = [sys.executable, "-c", WORKER, level, program]
    with subprocess.Popen(argv, env=environment) as worker:
        assert is_soon(lambda: list(tmp_path.glob("*/*/ready")))
        worker.kill()
        worker.wait()

    assert is_soon(lambda: not list(tmp_path.iterdir()))
    assert is_soon(lambda: not processes_with("654.25"))


def test_a_grandchild_in_a_session_of_its_own_ends_with_the_call(level):
    sandbox.run(["sh", "-c", "setsid sleep 653.75 & exec true"], limits=LIMITS)

    assert is_soon(lambda: not processes_with("653.75"))


def test_a_program_behind_bubblewrap_sees_no_network_no_home_and_no_secret_file(bubblewrapped):
    code = (
        "import os, socket\n"
        "print(sorted(os.listdir('/')), os.path.exists('/etc/passwd'), os.getpid() < 9)\n"
        "try: socket.create_connection(('127.0.0.1', 9)); print('connected')\n"
        "except OSError as error: print(error.errno)\n"
        "print(os.access('/usr', os.W_OK))\n"
    )
    limits = dataclasses.replace(LIMITS, cpu_seconds=5)
    lines = run_python(code, limits=limits).output.decode().splitlines()

    assert "home" not in lines[0]
    assert lines[0].endswith("False True")
    assert lines[1] in {str(errno.ECONNREFUSED), str(errno.ENETUNREACH)}
    assert lines[2] == "False"


def test_both_levels_tell_the_same_of_a_death(level):
    assert run_python("import ctypes; ctypes.string_at(0)").status == -signal.SIGSEGV
    assert run_python("while True: pass").is_timeout
    assert run_python("raise SystemExit(7)").status == 7


def test_missing_tools_stop_everything_and_name_the_remedy(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    walls._tools.cache_clear()

    with pytest.raises(FatalError, match="apt-get install util-linux"):
        sandbox.run(["true"], limits=LIMITS)
