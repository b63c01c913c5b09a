"""Where the local stack keeps its state, and the two files that remember it."""

import base64
import dataclasses
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scanmill.errors import FatalError

MINISTACK, SEAWEEDFS = STORES = ("ministack", "seaweedfs")
"""The S3 servers that a local stack can have."""

REPOSITORY = Path(__file__).resolve().parents[3]


@dataclasses.dataclass(frozen=True, slots=True)
class Home:
    """The folder of one local stack; everything in it is for its owner's eyes only."""

    root: Path

    @property
    def stack_file(self) -> Path:
        """Ports, settings and what else must stay the same between two starts."""
        return self.root / "stack.json"

    @property
    def secrets_file(self) -> Path:
        """Passwords and keys, generated once."""
        return self.root / "secrets.json"

    @property
    def env_file(self) -> Path:
        """The environment of the stack, for people: `. .scanmill/env`."""
        return self.root / "env"

    @property
    def lock_file(self) -> Path:
        """Held by whoever starts or stops the stack."""
        return self.root / "lock"

    @property
    def logs(self) -> Path:
        """One rotating log for each program; Airflow's task logs below `airflow/`."""
        return self.root / "logs"

    @property
    def airflow(self) -> Path:
        """Airflow's own home: its database and the password file."""
        return self.root / "airflow"

    @property
    def airflow_settings(self) -> Path:
        """What every process of Airflow runs when it starts."""
        return self.airflow / "config" / "airflow_local_settings.py"

    @property
    def store(self) -> Path:
        """What the S3 server keeps."""
        return self.root / "store"

    @property
    def mail(self) -> Path:
        """The Maildir of every message that was sent."""
        return self.root / "mail"

    @property
    def ledger(self) -> Path:
        """The SQLite file of the ledger."""
        return self.root / "ledger.db"

    @property
    def tmp(self) -> Path:
        """Pid files and the configuration of the supervisor."""
        return self.root / "tmp"

    def make(self) -> None:
        """Create the folders that are missing, closed to others."""
        config = self.airflow_settings.parent
        for folder in (self.root, self.logs, self.airflow, config, self.store, self.tmp):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.root.chmod(0o700)


def locate(environ: Mapping[str, str] = os.environ) -> Home:
    """Return the home that `SCANMILL_HOME` names, or the one inside the repository."""
    return Home(Path(environ.get("SCANMILL_HOME") or REPOSITORY / ".scanmill").resolve())


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """What must not be guessed; `access_key_id` is no secret but belongs to its key."""

    admin_password: str
    jwt_secret: str
    api_secret: str
    fernet_key: str
    access_key_id: str
    secret_access_key: str

    @classmethod
    def generate(cls) -> "Secrets":
        """Return new ones."""
        return cls(
            admin_password=secrets.token_urlsafe(12),
            jwt_secret=secrets.token_urlsafe(48),
            api_secret=secrets.token_urlsafe(32),
            fernet_key=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            access_key_id=f"SCANMILL{secrets.token_hex(6).upper()}",
            secret_access_key=secrets.token_urlsafe(30),
        )


def load_secrets(home: Home, *, create: bool = False) -> Secrets:
    """Return the stack's secrets, generating them when asked to and there are none."""
    if create and not home.secrets_file.exists():
        write_private(home.secrets_file, json.dumps(dataclasses.asdict(Secrets.generate())))
    return Secrets(**_load(home.secrets_file))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """What `stack.json` remembers: ports, and the settings that the stack was started with."""

    ports: dict[str, int]
    settings: dict[str, str] = dataclasses.field(default_factory=dict)
    scratch: str = ""
    """Folder for sockets and temporary files, emptied at each start."""

    @property
    def store(self) -> str:
        """The S3 server that this stack has."""
        return self.settings.get("SCANMILL_LOCAL_STORE", MINISTACK)


def load_stack(home: Home) -> Stack | None:
    """Return what was remembered, or None when the stack was never started."""
    if not home.stack_file.exists():
        return None
    known = {field.name for field in dataclasses.fields(Stack)}
    remembered = _load(home.stack_file)  # perhaps by a version that remembered other things too
    return Stack(**{name: value for name, value in remembered.items() if name in known})


def save_stack(home: Home, stack: Stack) -> None:
    """Remember the stack."""
    write_private(home.stack_file, json.dumps(dataclasses.asdict(stack), indent=1) + "\n")


def write_private(path: Path, text: str) -> None:
    """Write a file whole or not at all, readable by its owner only."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with open(draft, "w", opener=_open_private, encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _load(path: Path) -> dict[str, Any]:
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FatalError(
            f"Cannot read [{path}]: {error}. Start anew: ./scanmill down, then remove it"
        ) from error
    return dict(loaded)
