"""MLflow's own server, with artifacts at an address: `python mlflow_server.py PORT DATABASE ARTIFACTS`."""

import os
import sys

from werkzeug.serving import run_simple

if __name__ == "__main__":
    port, database, artifacts = sys.argv[1:]
    os.environ |= {
        "_MLFLOW_SERVER_FILE_STORE": database,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": artifacts,
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
    }
    from mlflow.server import app

    run_simple("127.0.0.1", int(port), app, threaded=True)
