"""A Great Expectations suite that is run over a table in chunks, with merged results.

Great Expectations only reads complete pandas frames. The result of a rule for a row does not depend on other rows
(helper columns contain what does), so that the results of chunks can be merged to the result of the table.
"""

import gc
from collections import Counter
from typing import Any

import great_expectations as gx
import numpy as np
from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult
from great_expectations.data_context.types.base import ProgressBarsConfig
from numpy.typing import NDArray

_FORMAT = {"result_format": "COMPLETE", "return_unexpected_index_query": False}
_EXAMPLES = 20
_LARGE = 100_000


class Suite:
    """The expectations of one table; each is identified by its position in the list."""

    def __init__(self, name: str, expectations: list[Any]) -> None:
        self.name = name
        self._expectations = [e.copy(update={"meta": {"rule": i}}) for i, e in enumerate(expectations)]
        self._merged: list[Any] = []

    def check(self, frame: Any) -> list[NDArray[np.int64]]:
        """Check one chunk, a pandas frame with index 0, 1, ...; returns the failing rows of each expectation."""
        # A context keeps references to its frames, so each chunk gets its own; creating one takes milliseconds.
        context = gx.get_context(mode="ephemeral")
        context.enable_analytics(False)
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        suite = context.suites.add(
            gx.ExpectationSuite(name=self.name, expectations=[e.copy() for e in self._expectations])
        )
        asset = context.data_sources.add_pandas("chunks").add_dataframe_asset(self.name)
        batch = asset.add_batch_definition_whole_dataframe("chunk").get_batch({"dataframe": frame})
        results = batch.validate(suite, result_format=_FORMAT).results
        results.sort(key=lambda result: result.expectation_config.meta["rule"])
        for result in results:
            failure = result.exception_info
            assert not failure.get("raised_exception"), (result.expectation_config.to_json_dict(), failure)
        del context, suite, asset, batch
        if len(frame) > _LARGE:
            # Contexts and frames form reference cycles; waiting for the garbage collector doubles the memory.
            gc.collect()
        failed = [np.asarray(result.result.get("unexpected_index_list") or [], np.int64) for result in results]
        for result in results:
            for lists in ("unexpected_list", "unexpected_index_list", "partial_unexpected_index_list"):
                result.result.pop(lists, None)
        self._merged = [_add(*pair) for pair in zip(self._merged, results, strict=True)] if self._merged else results
        return failed

    @property
    def results(self) -> list[Any]:
        """The ExpectationValidationResult of each expectation over all chunks so far."""
        return self._merged

    def report(self) -> Any:
        """The ExpectationSuiteValidationResult over all chunks so far, for the renderers of Great Expectations."""
        good = sum(result.success for result in self._merged)
        return ExpectationSuiteValidationResult(
            suite_name=self.name,
            success=good == len(self._merged),
            results=self._merged,
            statistics={
                "evaluated_expectations": len(self._merged),
                "successful_expectations": good,
                "unsuccessful_expectations": len(self._merged) - good,
                "success_percent": 100.0 * good / max(len(self._merged), 1),
            },
            meta={},
        )


def _add(first: Any, second: Any) -> Any:
    """The merged result of two results."""
    one, two = first.result, second.result
    total = {name: one.get(name, 0) + two.get(name, 0) for name in ("element_count", "unexpected_count")}
    missing = one.get("missing_count", 0) + two.get("missing_count", 0)
    examples = [*one["partial_unexpected_list"], *two["partial_unexpected_list"]][:_EXAMPLES]
    share = 100.0 * total["unexpected_count"] / max(total["element_count"], 1)
    present = 100.0 * total["unexpected_count"] / max(total["element_count"] - missing, 1)
    result = total | {"partial_unexpected_list": examples, "partial_unexpected_counts": _counts(examples)}
    if "missing_count" in one:
        result |= {
            "missing_count": missing,
            "missing_percent": 100.0 * missing / max(total["element_count"], 1),
            "unexpected_percent_total": share,
            "unexpected_percent_nonmissing": present,
        }
    return ExpectationValidationResult(
        success=first.success and second.success,
        expectation_config=first.expectation_config,
        result=result | {"unexpected_percent": present if "missing_count" in one else share},
    )


def _counts(examples: list[Any]) -> list[dict[str, Any]]:
    return [{"value": value, "count": count} for value, count in Counter(examples).most_common()]
