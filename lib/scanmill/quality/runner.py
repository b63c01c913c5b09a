"""Runs a suite with Great Expectations and reaches a verdict of its own.

Great Expectations reports success or failure without regard to severity, passes what is compared
with None, and drops an expectation it does not know: each of these is settled here.
"""

import hashlib
import logging
import math
import numbers
import re
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from scanmill.errors import FatalError
from scanmill.inert import inert
from scanmill.models import Reason
from scanmill.quality import files
from scanmill.quality.suites import Expectation, Parameters, Suite, number
from scanmill.quality.verdicts import Check, Verdict

log = logging.getLogger(__name__)

_SHOWN_IDS = 20
_POSITION = "position"
"""Key in an expectation's meta: results come back in another order than the suite's."""


def judge(
    table: pa.Table,
    *,
    gate: str,
    suite_path: Path,
    rules_path: Path,
    parameters: Parameters,
    docs_dir: Path,
    run_name: str,
) -> Verdict:
    """Return the verdict of a suite on a table of measures and write its Data Docs."""
    if "text" in table.column_names:
        raise ValueError("A gate reads measures, never text.")
    suite = Suite.load(suite_path)
    suite.require(parameters)
    idle = _why_not_judged(table, gate=gate, suite=suite, parameters=parameters)
    judged = [index for index, reason in enumerate(idle) if reason is None]
    results: dict[int, Any] = {}
    if judged:
        run = _Run(suite, judged, parameters)
        results = run.on(table, docs_dir=docs_dir, run_name=run_name)
    checks = (
        _check(expectation, results.get(index), idle=idle[index], parameters=parameters)
        for index, expectation in enumerate(suite.expectations)
    )
    digest = hashlib.sha256(suite.content + b"\0" + files.read(rules_path)).hexdigest()
    return Verdict(gate=gate, suite=suite.name, suite_sha256=digest, checks=tuple(checks))


def _why_not_judged(
    table: pa.Table, *, gate: str, suite: Suite, parameters: Parameters
) -> list[str | None]:
    if gate == Reason.DATASET_GATE and table.num_rows == 0:
        return ["nothing new to publish"] * len(suite.expectations)
    return [each.why_not_judged(table, parameters) for each in suite.expectations]


class _Run:
    """One run of Great Expectations: a context in memory that lives as long as the run."""

    def __init__(self, suite: Suite, judged: list[int], parameters: Parameters) -> None:
        # 214 lines of INFO while it is imported, and one per expectation that is registered.
        logging.getLogger("great_expectations").setLevel(logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            import great_expectations

        self._gx: Any = great_expectations
        self._suite = suite
        wanted = frozenset[str]().union(*(suite.expectations[each].parameters for each in judged))
        self._parameters = {name: parameters[name] for name in wanted}
        self._entries = {index: self._entry(index) for index in judged}

    def on(self, table: pa.Table, *, docs_dir: Path, run_name: str) -> dict[int, Any]:
        """Return the results by position in the suite."""
        from great_expectations.core.run_identifier import RunIdentifier

        context = self._context(docs_dir)
        run = self._checkpoint(context).run(
            batch_parameters={"dataframe": table.to_pandas()},
            expectation_parameters=self._parameters,
            run_id=RunIdentifier(run_name=re.sub(r"[^A-Za-z0-9._-]+", "-", run_name)),
        )
        self._write_docs(context, docs_dir)
        return {
            result.expectation_config.meta[_POSITION]: result
            for validation in run.run_results.values()
            for result in validation.results
        }

    def _entry(self, index: int) -> dict[str, Any]:
        """Return an entry for GX, proved to be one that it knows."""
        expectation = self._suite.expectations[index]
        entry = expectation.model_dump(by_alias=True, exclude_none=True)
        entry["meta"] = entry["meta"] | {_POSITION: index}
        place = f"[{self._suite.path}] entry {index + 1} ({expectation.type})"
        try:
            known = self._gx.ExpectationSuite(name="probe", expectations=[entry]).expectations
        except ValueError as error:  # pydantic's, raised by GX for wrong arguments
            message = inert(str(error), limit=300)
            raise FatalError(f"{place}: {message}. Correct the file.") from error
        if not known:  # GX only logs it and would let the batch pass without this check
            raise FatalError(f"{place}: Great Expectations knows no such expectation.")
        return entry

    def _context(self, docs_dir: Path) -> Any:
        from great_expectations.data_context.types.base import (
            DataContextConfig,
            InMemoryStoreBackendDefaults,
        )

        backend = {
            "class_name": "TupleFilesystemStoreBackend",
            "base_directory": str(docs_dir.absolute()),
        }
        site = {
            "class_name": "SiteBuilder",
            "show_how_to_buttons": False,
            "store_backend": backend,
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        }
        config = DataContextConfig(
            store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
            analytics_enabled=False,
            progress_bars={"globally": False},
            data_docs_sites={"site": site},
        )
        return self._gx.get_context(mode="ephemeral", project_config=config)

    def _checkpoint(self, context: Any) -> Any:
        entries = list(self._entries.values())
        suite = context.suites.add(
            self._gx.ExpectationSuite(name=self._suite.name, expectations=entries)
        )
        asset = context.data_sources.add_pandas("scanmill").add_dataframe_asset("rows")
        gx_batch = asset.add_batch_definition_whole_dataframe("batch")
        definition = context.validation_definitions.add(
            self._gx.ValidationDefinition(name=suite.name, data=gx_batch, suite=suite)
        )
        # SUMMARY: COMPLETE makes 30 MB of a bad batch of a million rows. No actions: one that
        # raises would end the run and look like bad data.
        result_format = {
            "result_format": "SUMMARY",
            "unexpected_index_column_names": ["page_id"],
            "partial_unexpected_count": _SHOWN_IDS,
        }
        checkpoint = self._gx.Checkpoint(
            name=suite.name, validation_definitions=[definition], result_format=result_format
        )
        return context.checkpoints.add(checkpoint)

    def _write_docs(self, context: Any, docs_dir: Path) -> None:
        """Write Data Docs; a full disk or a fault of GX must not look like bad data."""
        from great_expectations.exceptions import GreatExpectationsError

        try:
            context.build_data_docs()
            shutil.rmtree(docs_dir / "static" / "fonts", ignore_errors=True)
            for animation in docs_dir.rglob("*.gif"):
                animation.unlink()
        except (OSError, GreatExpectationsError) as error:
            log.warning("no data docs dir=%s error=%s", docs_dir, type(error).__name__)


def _check(
    expectation: Expectation,
    result: Any,
    *,
    idle: str | None,
    parameters: Parameters,
) -> Check:
    # A check that was to be judged and gave no result is one that could not be judged: critical.
    fault = None if idle else _fault(result)
    found: Mapping[str, Any] = result.result if result and not fault else {}
    ids = found.get("partial_unexpected_index_list") or ()
    return Check(
        expectation=expectation.type,
        column=expectation.column,
        what=expectation.meta.what,
        why=expectation.meta.why,
        severity=expectation.severity,
        success=bool(idle or (result and result.success and not fault)),
        raised=fault is not None,
        is_judged=idle is None,
        observed=idle or fault or _observed(found),
        limit=expectation.limit(parameters),
        failing_count=int(found["unexpected_count"]) if "unexpected_count" in found else None,
        failing_ids=tuple(each["page_id"] for each in ids if isinstance(each["page_id"], str)),
    )


def _fault(result: Any) -> str | None:
    """Return what an expectation raised; GX keeps it flat or under the name of each metric."""
    if result is None:
        return "Great Expectations gave no result."
    info = result.exception_info or {}
    for each in (info, *(value for value in info.values() if isinstance(value, dict))):
        if each.get("raised_exception"):
            return inert(str(each.get("exception_message")), limit=200)
    return None


def _observed(found: Mapping[str, Any]) -> str:
    """Return in words what a check saw."""
    if "unexpected_count" in found:
        total = found["element_count"] - found.get("missing_count", 0)
        bad = found["unexpected_count"]
        return f"{100 * bad / total:.1f} % ({bad} of {total})" if total else "no rows"
    value = found.get("observed_value")
    if not isinstance(value, numbers.Real) or math.isnan(value):
        return "no value"
    return number(round(float(value), 2))
