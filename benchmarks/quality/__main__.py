"""The bench's verbs. `make bench-quality` is `run`; the others are its parts.

    python -m benchmarks.quality run gowalla            # all of it for one data set
    python -m benchmarks.quality prepare                # raw files to .work/quality/data; needs no GPU
    python -m benchmarks.quality train --jobs 12        # validation runs; reads no raw file
    python -m benchmarks.quality train ml-1m --set retrieval.dropout=0.5 --set retrieval.dim=128
    python -m benchmarks.quality pick                   # the best of each grid to recipes/bench/picked.json
    python -m benchmarks.quality train --part test      # what was picked, once a seed
    python -m benchmarks.quality ablate ml-100k         # each part of our recipe left out or exchanged, on validation
    python -m benchmarks.quality report                 # docs/figures/quality.json, the table and the plot
    python -m benchmarks.quality show                   # the results so far, validation and test

`prepare` may run on one machine and `train` on another: take .work/quality/data there and .work/quality/results back.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

import yaml

from benchmarks.quality.ablation import ablation_jobs, all_ablations
from benchmarks.quality.jobs import OURS, Job, data_folder, seeds_of
from benchmarks.quality.picks import NotPickedError, models_of, pick, picked_job, valid_jobs
from benchmarks.quality.protocol import all_data, load_protocol
from shortlist.progress import say

VERBS = ("run", "prepare", "train", "pick", "ablate", "report", "show")


def main(given: Sequence[str] | None = None) -> int:
    os.environ.setdefault("SHORTLIST_DATA", "../shared/data")
    parser = argparse.ArgumentParser(
        prog="benchmarks.quality", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=VERBS)
    parser.add_argument(
        "data", nargs="*", help=f"of {', '.join(all_data())}; all where none is named, to ablate those of ablation.yaml"
    )
    parser.add_argument("--part", choices=("valid", "test"), default="valid", help="of train; test needs a pick")
    parser.add_argument("--models", help="comma between them; all of the protocol where none is named")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="try our recipe changed")
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of each")
    options = parser.parse_args(given)
    try:
        return _carry_out(options)
    except (ValueError, OSError) as error:
        say(f"error: {error}")
        return 1


def _carry_out(options: argparse.Namespace) -> int:
    data = options.data or all_data()
    models = options.models.split(",") if options.models else None
    verb, part = options.verb, options.part
    if verb == "ablate":
        jobs = [job for name in options.data or all_ablations() for job in ablation_jobs(name)]
        return 1 if _prepare(jobs) or _train(jobs, options) else 0
    if options.set and (verb not in ("prepare", "train") or part == "test"):
        raise ValueError("--set is for `prepare` and the validation part of `train`: a test is of the recipe as it is")
    failed: list[Job] = []
    if verb in ("run", "prepare"):
        missing = _prepare(_valid_jobs(data, [OURS], options.set))
        if missing and (options.data or verb == "prepare"):
            return 1
        data = [name for name in data if name not in missing]
    elif not options.data:
        data = [
            name for name in data if all((data_folder(job) / "data.json").exists() for job in valid_jobs(name, [OURS]))
        ]
    if verb == "run" or (verb == "train" and part == "valid"):
        failed += _train(_valid_jobs(data, models, options.set), options)
    if verb in ("run", "pick"):
        _pick(data, models)
    if verb == "run" or (verb == "train" and part == "test"):
        failed += _train([job for name in data for job in _picked_jobs(name, models)], options)
    if verb in ("run", "report", "show"):
        from benchmarks.quality.report import report, show  # noqa: PLC0415 -- the training half does without

        (show if verb == "show" else report)(data)
    return 1 if failed else 0


def _prepare(jobs: Sequence[Job]) -> set[str]:
    """The data sets that could not be prepared; the others are."""
    from benchmarks.quality.prepared import prepare_data  # noqa: PLC0415 -- needs Polars, which training does not

    missing = set()
    for job in jobs:
        try:
            prepare_data(job)
        except (ValueError, OSError) as error:
            say(f"error: {job.data}: {error}")
            missing.add(job.data)
    return missing


def _valid_jobs(data: Sequence[str], models: Sequence[str] | None, changed: Sequence[str]) -> list[Job]:
    """The grids of the models; with `changed`, our recipe with these fields changed."""
    if not changed:
        return [job for name in data for job in valid_jobs(name, models)]
    changes: dict[str, Any] = {}
    for one in changed:
        field, _, value = one.partition("=")
        changes[field] = yaml.safe_load(value)
    return [Job(name, OURS, load_protocol(name).seeds[0], "valid", changes) for name in data]


def _train(jobs: list[Job], options: argparse.Namespace) -> list[Job]:
    from benchmarks.quality.pool import run_jobs  # noqa: PLC0415 -- only these verbs start processes

    return run_jobs(jobs, processes=options.jobs, threads=options.threads)


def _pick(data: Sequence[str], models: Sequence[str] | None) -> None:
    for name in data:
        for model in models or models_of(name):
            try:
                chosen = pick(name, model)
            except ValueError as error:
                say(f"{name} {model}: nothing picked: {error}")
                continue
            say(f"{name} {model}: {chosen['settings'] or 'as it is'}, {chosen['metric']} {chosen['value']:.4f}")


def _picked_jobs(data: str, models: Sequence[str] | None) -> list[Job]:
    protocol, jobs = load_protocol(data), []
    for model in models or models_of(data):
        try:
            jobs += [picked_job(data, model, seed) for seed in seeds_of(protocol, model)]
        except NotPickedError as error:
            if models:
                raise
            say(f"warning: {error}")
    return jobs


if __name__ == "__main__":
    sys.exit(main())
