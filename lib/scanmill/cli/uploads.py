"""The command that uploads: `drop`."""

import concurrent.futures
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import boto3
import click
from botocore.exceptions import BotoCoreError, ClientError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from scanmill import layout
from scanmill.cli.opening import open_mill
from scanmill.cli.showing import people
from scanmill.errors import FatalError, RetryableError, UsageError
from scanmill.steps import Mill

_AT_ONCE = 8
_MULTIPART_BYTES = 100_000_000  # below this the etag is the MD5 of the bytes


@click.command()
@click.argument(
    "paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option("--collection", help="The dataset they belong to; the folder's name by default.")
@click.option("--again", is_flag=True, help="Upload also what is there already, as a new version.")
def drop(paths: Sequence[Path], *, collection: str | None, again: bool) -> int:
    """Upload files or folders; the folders inside become labels."""
    troubles: list[str] = []
    files = list(_files(paths, collection, troubles))
    _refuse_collisions(files)
    if files:
        upload(open_mill(), files, again=again)
    if troubles:
        raise UsageError(
            f"{len(troubles)} of {len(files) + len(troubles)} entries were not uploaded, first "
            f"{troubles[0]}. Mend it and drop the folder again."
        )
    if not files:
        raise UsageError(f"There is no file in [{paths[0]}].")
    return 0


def upload(mill: Mill, files: Sequence[tuple[Path, str]], *, again: bool = False) -> int:
    """Upload files to their keys with a progress bar; return how many were new.

    Raises:
        RetryableError: an upload failed; running it again uploads what is missing.
    """
    landed = {} if again else _landed(mill)
    new = [(path, key) for path, key in files if again or landed.get(key) != _etag(path)]
    if len(new) < len(files):
        people.print(f"  {len(files) - len(new)} of {len(files)} are there already.")
    client = _client()
    columns = ("[progress.description]{task.description}",)
    bar = Progress(
        *map(TextColumn, columns),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=people,
    )
    with bar, concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
        task = bar.add_task("  uploading", total=len(new))
        for files in _in_order(new):
            jobs = [pool.submit(_put, client, mill.store.bucket, path, key) for path, key in files]
            for job in concurrent.futures.as_completed(jobs):
                job.result()
                bar.advance(task)
    return len(new)


def _in_order(files: Sequence[tuple[Path, str]]) -> tuple[list[tuple[Path, str]], ...]:
    """Return metadata, then the rest: labels must be there before the first scan is read."""
    metadata = [(path, key) for path, key in files if layout.is_metadata(key)]
    return metadata, [(path, key) for path, key in files if not layout.is_metadata(key)]


def _files(
    paths: Sequence[Path], collection: str | None, troubles: list[str]
) -> Iterator[tuple[Path, str]]:
    """Yield (file, key): a folder's files keep their place in it, and the folder names the rest.

    Whatever cannot be uploaded is noted in `troubles`.
    """
    for path in paths:
        _require(path)
        root = path.resolve()
        folder = root if root.is_dir() else root.parent
        name = collection or folder.name
        if "/" in name or not name:
            raise UsageError(f"[{name}] is no name of a collection. Give one: --collection NAME")
        for file in _below(root, troubles) if root.is_dir() else [root]:
            key = f"{layout.LANDING}{name}/{file.relative_to(folder).as_posix()}"
            if trouble := _trouble(file, key):
                troubles.append(f"[{_shown(file)}]: {trouble}")
            else:
                yield file, key


def _require(path: Path) -> None:
    try:
        path.stat()
    except FileNotFoundError as error:
        raise UsageError(f"There is no file or folder [{path}].") from error
    except OSError as error:  # a name too long, or a folder above it that is closed to us
        raise UsageError(f"[{path}] cannot be looked at: {error.strerror}.") from error


def _below(root: Path, troubles: list[str]) -> Iterator[Path]:
    """Yield every entry below a folder that is none, by name; folders that are linked count too."""

    def note(error: OSError) -> None:
        troubles.append(f"[{_shown(Path(error.filename))}]: {error.strerror}")

    for place, folders, names in os.walk(root, onerror=note, followlinks=True):
        here = Path(place)
        above = {here.resolve(), *here.resolve().parents}
        for name in sorted(folders):
            if (here / name).resolve() in above:
                troubles.append(f"[{_shown(here / name)}]: it links to a folder that it is in")
                folders.remove(name)
        folders.sort()
        yield from (here / name for name in sorted(names))


def _trouble(file: Path, key: str) -> str:
    """Say why a file cannot be uploaded; empty when it can."""
    if not _is_utf8(key):
        return "its name is not UTF-8, as S3 keys must be"
    if not file.is_file():
        return "it is no file: perhaps a link to nowhere"
    return "" if os.access(file, os.R_OK) else "we may not read it"


def _shown(path: Path) -> str:
    return path.as_posix().encode(errors="replace").decode()


def _refuse_collisions(files: Sequence[tuple[Path, str]]) -> None:
    """Two files must not become versions of one key: the first would count as overwritten."""
    first: dict[str, Path] = {}
    for path, key in files:
        if first.setdefault(key, path) != path:
            raise UsageError(
                f"[{first[key]}] and [{path}] would both become [{key}]. Drop the folder above "
                "them, or give them different collections."
            )


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _client() -> Any:
    try:
        return boto3.client("s3")
    except ValueError as error:
        raise FatalError(f"AWS_ENDPOINT_URL cannot be used: {error}") from error


def _landed(mill: Mill) -> dict[str, str]:
    """Return the etag of every key's current object."""
    versions = mill.store.list_versions(layout.LANDING)
    return {v.key: v.etag for v in versions if v.is_latest and not v.is_delete_marker}


def _etag(path: Path) -> str:
    if path.stat().st_size >= _MULTIPART_BYTES:
        return ""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def _put(client: Any, bucket: str, path: Path, key: str) -> None:
    try:
        with path.open("rb") as body:
            client.put_object(Bucket=bucket, Key=key, Body=body)
    except (BotoCoreError, ClientError, OSError) as error:
        raise RetryableError(
            f"[{path}] was not uploaded: {error}. Run it again: what is there is left out."
        ) from error


COMMANDS = (drop,)
