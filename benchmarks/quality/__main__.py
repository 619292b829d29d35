"""The bench's verbs. `make bench-quality` is `run`; the others are its parts.

    python -m benchmarks.quality run gowalla            # all of it for one data set
    python -m benchmarks.quality prepare                # raw files to .work/quality/data; needs no GPU
    python -m benchmarks.quality train --jobs 12        # validation runs; reads no raw file
    python -m benchmarks.quality pick                   # the best of each grid to recipes/bench/picked.json
    python -m benchmarks.quality train --part test      # what was picked, once a seed
    python -m benchmarks.quality report                 # docs/figures/quality.json, the table and the plot
    python -m benchmarks.quality show                   # the results so far, validation and test

`prepare` may run on one machine and `train` on another: take .work/quality/data there and .work/quality/results back.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from benchmarks.quality.jobs import Job, seeds_of
from benchmarks.quality.picks import NotPickedError, models_of, pick, picked_job, valid_jobs
from benchmarks.quality.protocol import all_data, load_protocol
from shortlist.progress import say

VERBS = ("run", "prepare", "train", "pick", "report", "show")


def main(given: Sequence[str] | None = None) -> int:
    os.environ.setdefault("SHORTLIST_DATA", "../shared/data")
    parser = argparse.ArgumentParser(
        prog="benchmarks.quality", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=VERBS)
    parser.add_argument("data", nargs="*", help=f"of {', '.join(all_data())}; all where none is named")
    parser.add_argument("--part", choices=("valid", "test"), default="valid", help="of train; test needs a pick")
    parser.add_argument("--models", help="comma between them; all of the protocol where none is named")
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
    verb: str = options.verb
    if verb in ("run", "prepare"):
        from benchmarks.quality.prepared import prepare_data  # noqa: PLC0415 -- needs polars, which training does not

        for name in data:
            for job in valid_jobs(name, ["shortlist"]):
                prepare_data(job)
    failed: list[Job] = []
    if verb == "run" or (verb == "train" and options.part == "valid"):
        failed += _train([job for name in data for job in valid_jobs(name, models)], options)
    if verb in ("run", "pick"):
        _pick(data, models)
    if verb == "run" or (verb == "train" and options.part == "test"):
        failed += _train([job for name in data for job in _picked_jobs(name, models)], options)
    if verb in ("run", "report"):
        from benchmarks.quality.report import report  # noqa: PLC0415 -- matplotlib is slow to import

        report(data)
    if verb == "show":
        from benchmarks.quality.report import show  # noqa: PLC0415 -- as above

        show(data)
    return 1 if failed else 0


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
