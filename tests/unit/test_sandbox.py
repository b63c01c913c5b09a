import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scanmill import sandbox
from scanmill.errors import FatalError

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
    for _ in range(200):
        if not is_alive(pid):
            return True
        time.sleep(0.05)
    return False


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
    assert names == {"PATH", "LC_ALL", "TMPDIR", "OMP_THREAD_LIMIT"}


def test_the_program_dies_with_its_parent():
    parent = (
        "import subprocess, sys\n"
        "from scanmill import sandbox\n"
        "limits = sandbox.Limits(memory_bytes=1 << 30, cpu_seconds=60)\n"
        "argv = sandbox.wrapped(['sh', '-c', 'echo $$; exec sleep 600'], limits=limits,"
        " environment={})\n"
        "subprocess.Popen(argv).wait()\n"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as process:
        pid = int(process.stdout.readline())
        process.kill()
        process.wait()

        assert is_soon_dead(pid)


def test_missing_tools_stop_everything_and_name_the_remedy(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    sandbox._tools.cache_clear()

    with pytest.raises(FatalError, match="apt-get install util-linux"):
        sandbox.run(["true"], limits=LIMITS)
