"""Where runs are logged: the address that MLflow is given."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from shortlist.recipe import Tracking

DEFAULT_FOLDER = ".work/mlflow"
_CONNECT_SECONDS = 5.0


class TrackingError(ValueError):
    """A run cannot be logged; the message says why and what to do."""


@dataclass(frozen=True)
class Place:
    """A tracking server, a database, or a folder with a database and the artifacts."""

    uri: str
    folder: Path | None = None
    """The local folder; None for a server or a database of its own."""

    @property
    def artifacts(self) -> str | None:
        """The address of the artifacts of a new experiment; None if the server decides."""
        return None if self.folder is None else (self.folder / "artifacts").as_uri()

    @property
    def viewer(self) -> str:
        """How to look at the runs."""
        return self.uri if self.folder is None else f"mlflow server --backend-store-uri {self.uri}"

    def check(self) -> None:
        """Raises TrackingError if nothing listens at the address of a server."""
        parts = urlsplit(self.uri)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            return
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            socket.create_connection((parts.hostname, port), _CONNECT_SECONDS).close()
        except OSError as error:
            raise TrackingError(f"no MLflow server responds at {self.uri} ({error})") from error


def is_folder(uri: str) -> bool:
    """Whether an address is that of a local folder."""
    return "://" not in uri and not uri.startswith("databricks")


def place_of(tracking: Tracking) -> Place:
    """The place by the recipe, or by MLFLOW_TRACKING_URI, or the default folder; a folder is created."""
    uri = tracking.uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_FOLDER
    if not is_folder(uri):
        return Place(uri)
    folder = Path(uri).expanduser().absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return Place(f"sqlite:///{folder / 'mlflow.db'}", folder)
