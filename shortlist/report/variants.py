"""A table of the lists with some of the rules or candidate sources, and the plot of their differences."""

from collections.abc import Callable, Mapping
from html import escape

from shortlist.report.charts import Whisker, whiskers
from shortlist.report.pieces import table
from shortlist.report.record import Table, Variant
from shortlist.report.systems import color_of, metric_name


def variants_table(
    variants: Mapping[str, Variant], k: int, title: str, name: Callable[[str], str], before: Mapping[str, str]
) -> str:
    """A line for each variant, under the `title` of what varies.

    `before` are the metrics that come before NDCG and recall at `k`, with their titles.
    """
    titles = dict(before) | {metric: metric_name(metric) for metric in (f"ndcg_at_{k}", f"recall_at_{k}")}
    rows = [
        [
            escape(name(variant)),
            *(f"{one.metrics[metric].mean:.4f}" for metric in titles),
            f"{100 * one.coverage:.1f}%",
            f"{one.diversity:.3f}",
            f"{one.novelty:.2f}",
            f"{one.milliseconds:.2f}",
        ]
        for variant, one in variants.items()
    ]
    head = [title, *titles.values(), "Coverage", "Diversity", "Novelty, bits", "ms a query"]
    return table(head, rows, range(1, len(head)), [])


def differences_plot(differences: Mapping[str, Table], metric: str, title: str, name: Callable[[str], str]) -> str:
    """The difference of each variant in a metric, with its interval."""
    shown = [
        Whisker(name(variant), color_of("path"), one[metric].mean, one[metric].low, one[metric].high)
        for variant, one in differences.items()
    ]
    return whiskers([(title, shown)], zero=True)
