"""Every error of Scanmill, grouped by what can be done about it.

    ScanmillError
    ├── PageError        set this image or page aside with a reason, go on with its mates
    ├── RetryableError   the world failed, not the data: the same task again, later
    ├── FatalError       no attempt can help: stop and tell a person
    │   ├── UsageError   wrong usage of a command: exit code 2
    │   ├── GateFailed   a gate held a batch: a person decides
    │   ├── NoSuchBucketError
    │   └── AlteredError bytes of ours are not as we wrote them
    └── ObjectGoneError, ObjectDeniedError, LostRaceError
                         answers of the store that its caller settles

Anything else that is raised is a bug: it is never caught and turns the task red.
"""

from scanmill.models import Reason

DISK_FAILED = 74
"""Exit status of a child that could not read or write: the disk's fault, not the file's."""

PAGE_NOTE = "page"
"""The file in its folder where a child leaves behind which page it is at, should it die there."""


class ScanmillError(Exception):
    """The root of every error raised on purpose."""


class PageError(ScanmillError):
    """An image or page that cannot be read: `reason` is for the books, `detail` for people."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class RetryableError(ScanmillError):
    """A fault of the world (store, disk, network) that is never blamed on an image."""


class FatalError(ScanmillError):
    """A fault that no retry can mend; the message says what a person has to do."""


class UsageError(FatalError):
    """A request that cannot be meant: unknown batch, missing file, bad option."""


class GateFailed(FatalError):  # noqa: N818 - a verdict, not a malfunction
    """A gate held the batch; everything is written, and `scanmill review` decides."""


class NoSuchBucketError(FatalError):
    """The bucket is not there."""


class AlteredError(FatalError):
    """Bytes of ours that were altered behind our back."""


class ObjectGoneError(ScanmillError):
    """The object or this version of it is not there."""


class ObjectDeniedError(ScanmillError):
    """The store refuses to hand out this object: forbidden or archived."""


class LostRaceError(ScanmillError):
    """A conditional PUT found that somebody else was first."""
