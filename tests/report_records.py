"""Records of a run's steps, as the steps leave them."""

import math
import random
from typing import Any

from shortlist.step_result import StepRecord, StepResult

KS = (5, 10, 20, 100)
BASES = {"path": 0.142, "retrieval": 0.121, "item_knn": 0.096, "popularity": 0.048}


def _interval(mean: float, half: float) -> dict[str, float]:
    return {"mean": round(mean, 6), "low": round(mean - half, 6), "high": round(mean + half, 6)}


def _table(base: float, half: float) -> dict[str, dict[str, float]]:
    factors = {"ndcg": 1.0, "recall": 1.2, "hit_rate": 2.4, "mrr": 1.6, "map": 0.7}
    return {
        f"{name}_at_{k}": _interval(base * factor * (1 + 0.35 * math.log2(k / 10)), half * factor)
        for name, factor in factors.items()
        for k in KS
    }


def evaluation(live: dict[str, Any] | None = None) -> dict[str, Any]:
    """evaluation.json of a good run."""
    slices = {
        "known_users": (1804, 1.1),
        "new_users": (197, 0.55),
        "head_items": (1560, 1.15),
        "tail_items": (930, 0.4),
    }
    return {
        "queries": 2001,
        "k": list(KS),
        "confidence": 0.95,
        "systems": {system: _table(base, 0.008) for system, base in BASES.items()},
        "coverage": {
            system: {str(k): round(min(1.0, share * k / 10), 4) for k in KS}
            for system, share in {"path": 0.21, "retrieval": 0.24, "item_knn": 0.3, "popularity": 0.002}.items()
        },
        "slices": {
            name: {
                "queries": count,
                "systems": {s: _table(b * factor, 0.35 / math.sqrt(count)) for s, b in BASES.items()},
            }
            for name, (count, factor) in slices.items()
        },
        "differences": {f"path_minus_{s}": _table(0.142 - b, 0.005) for s, b in BASES.items() if s != "path"}
        | {f"retrieval_minus_{s}": _table(0.121 - BASES[s], 0.005) for s in ("item_knn", "popularity")},
        "live": live,
        "unknowable_targets": {"targets": 7_120, "unknowable": 1_015, "share": 0.142556},
        "repeats": {"positives": 7_120, "repeats": 92, "share": 0.0129, "masked": True, "advice": None},
        "sampled": {
            "queries": 1_000,
            "negatives": 50,
            "k": [5, 10],
            "systems": {name: _table(0.5 + 0.1 * at, 0.01) for at, name in enumerate(("popularity", "path"))},
            "differences": {"path_minus_popularity": _table(0.1, 0.01)},
        },
        "rules": {
            "queries": 1_000,
            "k": 10,
            "variants": {
                name: {
                    "metrics": _table(0.14 - 0.01 * at, 0.005),
                    "coverage": 0.1 + 0.05 * at,
                    "diversity": 0.3 + 0.1 * at,
                    "novelty": 9.5 + at,
                    "milliseconds": 1.2 + 0.2 * at,
                }
                for at, name in enumerate(("none", "at_most", "diversity", "all"))
            },
            "differences": {
                name: _table(-0.01 * at, 0.004) for at, name in enumerate(("at_most", "diversity", "all"), 1)
            },
        },
        "objectives": objectives(),
        "lists": lists(),
        "sample_users": [
            {
                "user": str(1000 + i),
                "history_length": 3 * i,
                "history": [_item(row) for row in range(min(3 * i, 10))],
                "num_targets": 4,
                "by_popularity": i == 0,
                "lists": {
                    s: [_item(row) | {"hit": row == 20 + i} for row in range(20, 30)] for s in ("path", "retrieval")
                },
            }
            for i in range(10)
        ],
    }


def objectives() -> dict[str, Any]:
    """Of a recipe with the label `liked`: likes rise from 0.03 to 0.09 while plays fall from 0.14 to 0.1."""

    def point(share: float, weights: dict[str, float]) -> dict[str, Any]:
        metrics = {"positive": _table(0.14 - 0.04 * share**2, 0.008), "liked": _table(0.03 + 0.06 * share**0.5, 0.006)}
        return {"weights": weights, "metrics": metrics}

    return {
        "weights": {"positive": 1.0, "liked": 0.5},
        "labels": {
            "liked": {
                "queries": 634,
                "targets": 2_770,
                "systems": {system: _table(base / 3, 0.006) for system, base in BASES.items()},
            }
        },
        "tradeoffs": {
            "liked": {
                "queries": {"positive": 2_000, "liked": 633},
                "k": 10,
                "points": [point(at / 8, {"positive": 1 - at / 8, "liked": at / 8}) for at in range(9)],
                "recipe": point(1 / 3, {"positive": 1.0, "liked": 0.5}),
                "difference": {"positive": _table(-0.04, 0.008), "liked": _table(0.06, 0.008)},
            }
        },
    }


def lists(**path: float) -> dict[str, Any]:
    """What the lists of a good run hold; `path` replaces statistics of the whole path."""
    good = {
        "untrained": 0.021,
        "one_vector": 0.003,
        "indistinct": 0.001,
        "tied": 0.002,
        "tied_lists": 0.01,
        "longest_tie": 2.1,
        "distinct": 0.992,
        "coverage": 0.21,
        "most_recommended": [_item(row) | {"share": round(0.3 / (row + 1), 4)} for row in range(10)],
    }
    popular = {"distinct": 0.41, "coverage": 0.002, "untrained": 0.0, "one_vector": 0.0, "indistinct": 0.0}
    return {
        "k": 10,
        "queries": 2001,
        "by_popularity": 12,
        "without_history": 3,
        "items": 20_000,
        "untrained_items": 0.206,
        "one_vector_items": 0.04,
        "untrained_targets": 0.034,
        "systems": {"path": good | path, "retrieval": good, "popularity": good | popular},
    }


def _item(row: int) -> dict[str, Any]:
    return {"id": str(10 * row), "title": f"Song {row}"}


def records(live: dict[str, Any] | None = None) -> list[StepRecord]:
    """A whole run over a log of music."""
    dice = random.Random(3)
    epochs = list(range(1, 9))
    decay = [5.9 - 1.9 * (1 - math.exp(-e / 2.5)) for e in epochs]
    days = [int(4200 + 18 * d + 900 * math.sin(d * 2 * math.pi / 7) + dice.gauss(0, 180)) for d in range(60)]
    return [
        _record("ingest", 4.1, 410, {"events": 300_000}, {"events": 300_000, "items": 20_000, "users": 2_000}),
        _record(
            "validate",
            6.8,
            690,
            {"events": 300_000, "items": 20_000},
            {"events": 298_511, "items": 20_000, "quarantined_events": 1_489, "quarantined_items": 0},
            {"quarantined_share": 0.00496},
            rules=[
                _rule("events", "user_id", "user_id is missing", 301),
                _rule("events", "played_ratio_pct", "played_ratio_pct is not in 0..100", 744),
                _rule("events", "time", "time is after now", 12),
                _rule("events", "item_id", "item_id is not in the items table", 0),
                _rule("events", None, "the same user_id, item_id, time came before", 432),
            ],
            limits=[
                {"rule": "events.rows", "asked": "at least 10", "observed": 298_511},
                {"rule": "events.user_id type", "asked": "Int64 or String", "observed": "Int64"},
            ],
            columns=[
                {"table": "events", "column": "user_id", "null_share": 0.001003, "not_finite": 0},
                {"table": "items", "column": "energy", "null_share": 0.021, "not_finite": 3},
            ],
            events_per_user=[{"from": 2**i, "to": 2 ** (i + 1) - 1, "count": n} for i, n in enumerate(_BELL)],
            events_per_item=[{"from": 2**i, "to": 2 ** (i + 1) - 1, "count": int(9000 * 0.6**i)} for i in range(11)],
            events_per_day={"days_per_point": 1, "first_day": "2024-03-01", "events": days},
        ),
        _record(
            "prepare",
            9.3,
            880,
            {"events": 298_511},
            {"train_samples": 224_110, "valid_samples": 31_200, "test_samples": 33_001, "left_out_samples": 10_200}
            | {"items": 20_000, "users": 2_000, "valid_queries": 1_944, "test_queries": 2_001},
            split={
                "kind": "temporal",
                "train_start": "2024-03-01 00:00:00",
                "train_end": "2024-04-15 23:59:59",
                "valid_start": "2024-04-16 00:00:00",
                "valid_end": "2024-04-22 23:59:59",
                "test_start": "2024-04-23 00:00:00",
                "test_end": "2024-04-29 23:59:59",
            },
            leakage={"samples": 298_511, "queries": 3_945},
            popular_half_life="14 days",
        ),
        _record(
            "train_retrieval",
            48.2,
            1_320,
            {"train_positives": 151_020},
            {},
            {"best_epoch": 6.0, "examples_per_second": 28_114.0, "epochs": 8.0},
            leakage={"windows": 0, "drawable_items": 19_204},
            curves={
                "epoch": epochs,
                "loss": [round(loss + dice.gauss(0, 0.02), 4) for loss in decay],
                "learning_rate": [1e-3] * 8,
                "seconds": [5.5] * 8,
                "ndcg_at_10": [0.061, 0.092, 0.108, 0.115, 0.119, 0.121, 0.1207, 0.1203],
                "recall_at_10": [0.07, 0.1, 0.12, 0.13, 0.14, 0.144, 0.143, 0.143],
            },
            stopped_early=False,
            parameters=2_914_304,
        ),
        _record("export", 7.7, 1_010, {}, {"items": 20_000, "items_never_trained": 4_120}),
        _record(
            "build_index",
            3.4,
            640,
            {"items": 20_000},
            {"items": 20_000},
            factory="IVF512_HNSW32,SQ8",
            num_items=20_000,
            nprobe=16,
            num_queries=1_000,
            queries_from="validation",
            curve=[
                {
                    "nprobe": n,
                    "recall_at_10": round(1 - 0.5 * math.exp(-n / 6), 4),
                    "recall_at_100": round(1 - 0.55 * math.exp(-n / 8), 4),
                    "queries_per_second": round(21_000 / (1 + n / 5), 1),
                }
                for n in (1, 2, 4, 8, 16, 32, 64, 128)
            ],
        ),
        _record(
            "train_ranking",
            21.9,
            1_190,
            {"queries": 1_944},
            {},
            {"best_epoch": 4.0, "heldout_ndcg_at_10_ranked": 0.139, "heldout_ndcg_at_10_retrieved": 0.122}
            | {"heldout_difference": 0.017, "heldout_difference_low": 0.009, "heldout_difference_high": 0.025}
            | {"calibration_error_before": 0.41, "calibration_error_after": 0.003},
            enabled=True,
            kept="the trained ranker",
            reliability=[[0.005 * i, round(0.005 * i + dice.gauss(0, 0.003), 4), 960.0] for i in range(1, 16)],
            curves={
                "epoch": [1, 2, 3, 4, 5],
                "loss": [3.91, 3.62, 3.51, 3.45, 3.42],
                "ndcg_at_10": [0.128, 0.136, 0.14, 0.1415, 0.1409],
            },
            parameters=88_210,
        ),
        _record("evaluate", 12.6, 930, {"queries": 2_001}, {}, evaluation=evaluation(live)),
        _record(
            "publish",
            1.2,
            210,
            {},
            {"files": 21},
            {"published": 1.0},
            decision={
                "published": True,
                "release": "1f0c9a7be3d24856",
                "reason": "no release was live; ndcg_at_10 differs from popularity's by +0.0940 [+0.0890, +0.0990]",
                "verdict": {
                    "accepted": True,
                    "reason": "no release was live; ndcg_at_10 differs from popularity's by +0.0940",
                    "metric": "ndcg_at_10",
                    "outcome": "better",
                    "reference": "popularity",
                    "compared_with": None,
                    "difference": _interval(0.094, 0.005),
                    "warnings": [],
                },
                "forced_by": None,
                "live": "1f0c9a7be3d24856",
                "url": ".work/releases/music",
            },
            manifest={
                "files": {
                    name: {"sha256": f"{dice.getrandbits(256):064x}", "size": dice.randrange(100, 9_000_000)}
                    for name in (
                        "features/schema.json",
                        "index/index.faiss",
                        "retrieval/query_tower.onnx",
                        "recipe.yaml",
                    )
                },
                "lineage": {"recipe_sha256": "ab" * 32, "code": "0.1.0+51ac0b32dd90", "data": "cd" * 32},
            },
        ),
    ]


_BELL = (3, 9, 21, 60, 160, 390, 620, 480, 190, 50, 17)


def _rule(table: str, column: str | None, rule: str, failed: int) -> dict[str, Any]:
    return {
        "table": table,
        "column": column,
        "rule": rule,
        "checked": 300_000,
        "failed": failed,
        "share": failed / 300_000,
    }


def _record(
    step: str,
    seconds: float,
    memory: float,
    rows_in: dict[str, int],
    rows_out: dict[str, int],
    metrics: dict[str, float] | None = None,
    **details: Any,
) -> StepRecord:
    result = StepResult(rows_in=rows_in, rows_out=rows_out, metrics=metrics or {}, details=details)
    return StepRecord(step=step, seconds=seconds, peak_memory_mb=memory, result=result)
