"""Runs ministack, by its own environment's Python, with one fault of it mended.

ministack 1.5.33 does not honour `encoding-type=url` when it lists versions: one key with a control
character makes the answer unreadable XML, and nothing in the bucket can be listed any more.
"""

import contextvars
import sys
import urllib.parse
from typing import Any

_is_asked: contextvars.ContextVar[bool] = contextvars.ContextVar("is_asked", default=False)
_NAMES = {"Key", "KeyMarker", "NextKeyMarker", "Prefix", "Delimiter"}


def mend(s3: Any) -> None:
    """Make the listing of versions encode keys when it is asked to, as S3 does."""
    list_versions, xml_body = s3._list_object_versions, s3._xml_body  # noqa: SLF001

    def _list_versions(bucket: str, query: dict[str, Any]) -> Any:
        token = _is_asked.set("encoding-type" in query)
        try:
            return list_versions(bucket, query)
        finally:
            _is_asked.reset(token)

    def _body(root: Any) -> bytes:
        if _is_asked.get():
            for element in root.iter():
                if element.tag in _NAMES and element.text:
                    element.text = urllib.parse.quote(element.text, safe="/")
            root.append(root.makeelement("EncodingType", {}))
            root[-1].text = "url"
        body: bytes = xml_body(root)
        return body

    s3._list_object_versions, s3._xml_body = _list_versions, _body  # noqa: SLF001


if __name__ == "__main__":
    sys.path.pop(0)  # this folder, whose modules are none of ministack's
    from ministack.app import main
    from ministack.services import s3

    mend(s3)
    main()
