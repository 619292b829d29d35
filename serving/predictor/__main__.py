"""python -m shortlist.serving.predictor: serves the rankers of one or more releases with TorchServe until a signal."""

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from shortlist.answer.release import find_release
from shortlist.serving.loopback import bypass_proxies
from shortlist.serving.parent_watcher import end_with_stdin
from shortlist.serving.ports import check_port
from shortlist.serving.predictor.torchserve import Options, PredictorError, TorchServe


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 after a signal, 1 when TorchServe failed, 2 for an error that the user can fix."""
    parser = argparse.ArgumentParser("python -m shortlist.serving.predictor", description=__doc__)
    parser.add_argument(
        "--release",
        required=True,
        action="append",
        help="the folder of a release, or a root of releases; also s3://; repeat it to serve a second release",
    )
    parser.add_argument(
        "--cache_dir", type=Path, default=Path(".work/cache"), help="the folder of downloads from s3://"
    )
    parser.add_argument("--host", default=Options.host, help="address to listen on; 0.0.0.0 in a container")
    parser.add_argument("--port", type=int, default=Options.port)
    parser.add_argument("--model_name", default=Options.model_name, help="the name in the path /v1/models/NAME:predict")
    parser.add_argument("--workers", type=int, default=Options.workers, help="number of scoring processes")
    parser.add_argument("--ready_file", type=Path, help="created when all releases are loaded, removed at the end")
    parser.add_argument(
        "--drain_seconds", type=float, default=0.0, help="seconds to serve after SIGTERM, until no requests arrive"
    )
    parser.add_argument("--end_with_stdin", action="store_true", help="end when the standard input is closed")
    given = parser.parse_args(arguments)
    if given.end_with_stdin:
        end_with_stdin()
    bypass_proxies()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    try:
        check_port(given.port, "--port", given.host)
        # Two locations may be the same release.
        folders = list(dict.fromkeys(find_release(where, given.cache_dir) for where in given.release))
        for folder in folders:
            if not (folder / "ranking").is_dir():
                raise ValueError(
                    f"{folder}: this release has no ranking/, so that there is no model to serve; run only the "
                    "transformer, or set ranking.enabled in the recipe and run it again"
                )
        options = Options(given.host, given.port, given.model_name, given.workers)
        with TorchServe(folders, options) as server:
            sys.stdout.write(
                f"predictor ready: http://{given.host}:{given.port}/v1/models/{given.model_name}:predict\n"
            )
            sys.stdout.flush()
            if given.ready_file:
                given.ready_file.touch()
            try:
                server.wait()
            except _Leave:
                time.sleep(given.drain_seconds)
                raise
    except (ValueError, OSError) as error:
        sys.stderr.write(f"predictor: {error}\n")
        return 2
    except PredictorError as error:
        sys.stderr.write(f"predictor: {error}\n")
        return 1
    except _Leave:
        return 0
    finally:
        if given.ready_file:
            given.ready_file.unlink(missing_ok=True)
    return 0


class _Leave(BaseException):
    """A signal requested this process to end."""


def _leave(number: int, _: FrameType | None) -> None:
    # A second signal must not interrupt the cleanup.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise _Leave(number)


if __name__ == "__main__":
    sys.exit(main())
