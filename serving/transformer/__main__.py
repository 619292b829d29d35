"""python -m shortlist.serving.transformer: serves a release over KServe's protocols until a signal."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from kserve import ModelServer, model_server
from kserve.protocol.rest.multiprocess.server import RESTServerProcess

from shortlist.answer.release import find_release
from shortlist.serving.loopback import bypass_proxies
from shortlist.serving.parent_watcher import end_with_stdin
from shortlist.serving.ports import check_port
from shortlist.serving.transformer.bodies import Bodies
from shortlist.serving.transformer.errors import ClosedRepository
from shortlist.serving.transformer.model import Transformer, prepare_server

_WORKER_SECONDS = 60.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 after a signal, 2 for an error that the user can fix."""
    parser = argparse.ArgumentParser(
        "python -m shortlist.serving.transformer",
        description=__doc__,
        parents=[model_server.parser],
        conflict_handler="resolve",
    )
    parser.add_argument("--release", required=True, help="a release's folder, or a root of releases; also s3://")
    parser.add_argument("--cache_dir", type=Path, default=Path(".work/cache"), help="where s3:// is downloaded to")
    parser.add_argument("--drain_seconds", type=float, default=0.0, help="how long to keep answering after SIGTERM")
    parser.add_argument(
        "--targets", type=Path, help="a folder whose target.json names the release to serve, and may be replaced"
    )
    parser.add_argument(
        "--availability",
        help="the availability file, in place of the recipe's serving.availability.path",
    )
    parser.add_argument("--end_with_stdin", action="store_true", help="end when the standard input is closed")
    parser.set_defaults(model_name="shortlist", log_config_file=str(Path(__file__).with_name("logging.yaml")))
    given = parser.parse_args(arguments)
    if given.end_with_stdin:
        end_with_stdin()
    bypass_proxies()
    # ONNX Runtime sends usage data to its publisher unless this is set before it is imported.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    # KServe reads this from its own parse of the command line.
    model_server.args.log_config_file = given.log_config_file
    # KServe kills a worker that is silent for 5 seconds; on a busy core it takes longer to import KServe.
    RESTServerProcess.is_alive.__defaults__ = (_WORKER_SECONDS,)
    try:
        check_port(given.http_port, "--http_port", "0.0.0.0")
        if given.enable_grpc:
            check_port(given.grpc_port, "--grpc_port", "0.0.0.0")
        folder = find_release(given.release, given.cache_dir)
        model = Transformer(
            given.model_name,
            folder,
            given.predictor_host,
            tls=given.predictor_use_ssl,
            drain_seconds=given.drain_seconds,
            targets=given.targets,
            availability=given.availability,
        )
        model.load()
        prepare_server(model, given.drain_seconds)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"transformer: {error}\n")
        return 2
    server = ModelServer(
        http_port=given.http_port,
        grpc_port=given.grpc_port,
        enable_grpc=given.enable_grpc,
        workers=given.workers,
        enable_latency_logging=False,
    )
    server.model_repository_extension = ClosedRepository(server.registered_models)
    server.dataplane = Bodies(server.registered_models)
    server.start([model])
    return 0


if __name__ == "__main__":
    sys.exit(main())
