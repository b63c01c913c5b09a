"""Files that are made, or found, to break whoever opens them."""

import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path

from scanmill.drill import hostile
from scanmill.drill.fault import Fault
from scanmill.drill.scene import Scene
from scanmill.errors import UsageError

_MATES = 9
_MOST_MATES = 1000


def _drop_hostile(scene: Scene) -> None:
    """Upload every hostile file that we can make, with nine good pages for each."""
    with tempfile.TemporaryDirectory(prefix="scanmill-hostile-") as folder:
        for name, body in hostile.files().items():
            (Path(folder) / name).write_bytes(body)
        _drop_folder(scene, folder=Path(folder))


def _drop_folder(scene: Scene, *, folder: Path) -> None:
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    rejected = hostile.rejected(paths)
    mates = min(_MATES * len(paths), _MOST_MATES)
    for number, path in enumerate(paths):
        scene.put_foreign(path.name, path.read_bytes(), is_rejected=path in rejected)
        for _ in range(mates * number // len(paths), mates * (number + 1) // len(paths)):
            scene.put(scene.text())
    scene.began(len(paths))


def corpus(folder: str) -> Fault:
    """Return the fault of the files in a folder of the user's.

    Raises:
        UsageError: there is no such folder, or no file in it.
    """
    path = Path(folder)
    if not path.is_dir() or not any(one.is_file() for one in path.rglob("*")):
        raise UsageError(f"[{folder}] is no folder with files in it. Name another: --corpus DIR")
    return Fault(
        name="corpus",
        what=f"every file of [{path.name}], mixed with good pages",
        expected=_EXPECTED,
        inject=functools.partial(_drop_folder, folder=path),
    )


_EXPECTED = "one verdict for each; nothing broken counts as read; the good pages are unharmed"

FAULTS: Sequence[Fault] = (
    Fault(
        name="hostile_files",
        what="files made to break decoders, one among nine good pages",
        expected=_EXPECTED,
        inject=_drop_hostile,
    ),
)
