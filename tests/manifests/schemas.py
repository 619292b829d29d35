"""The JSON schemas that kubeconform checks manifests by, made from the published sources of those who own the kinds.

    python tests/manifests/schemas.py FOLDER

downloads the pinned Go modules (no module proxy is known to serve ready schemas) and writes one file a kind, strict:
a field that a kind does not have is an error.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

KUBERNETES = "k8s.io/kubernetes@v1.34.4"
CRDS = {
    "github.com/kserve/kserve@v0.20.0": "config/crd/full/*.yaml",
    "sigs.k8s.io/gateway-api@v1.5.1": "config/crd/standard/*.yaml",
    "github.com/envoyproxy/gateway@v1.6.0": "charts/gateway-helm/crds/generated/*_securitypolicies.yaml",
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": "example/prometheus-operator-crd/*_p[or]*s.yaml",
}
_REFERENCE = re.compile(r'"#/definitions/([^"]+)"')
_EITHER = {"oneOf": [{"type": "string"}, {"type": "integer"}]}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    swagger = json.loads((source(KUBERNETES) / "api/openapi-spec/swagger.json").read_text())
    definitions = strict(swagger["definitions"])
    for name in [name for name in definitions if "x-kubernetes-group-version-kind" in definitions[name]]:
        schema = {"$ref": f"#/definitions/{name}", "definitions": needed(name, definitions)}
        for kind in definitions[name]["x-kubernetes-group-version-kind"]:
            write(folder, kind["group"], kind["version"], kind["kind"], schema)
    for module, pattern in CRDS.items():
        for crd in custom_kinds(source(module), pattern):
            for version in crd["spec"]["versions"]:
                schema = strict(version["schema"]["openAPIV3Schema"])
                write(folder, crd["spec"]["group"], version["name"], crd["spec"]["names"]["kind"], schema)


def needed(name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """A definition and all that it refers to."""
    found, names = {}, [name]
    while names:
        one = names.pop()
        if one not in found:
            found[one] = definitions[one]
            names += _REFERENCE.findall(json.dumps(definitions[one]))
    return found


def source(module: str) -> Path:
    """The unpacked folder of a Go module."""
    done = subprocess.run(
        ["go", "mod", "download", "-json", module], capture_output=True, text=True, check=False, cwd="/"
    )
    found = json.loads(done.stdout or "{}")
    if "Dir" not in found:
        raise SystemExit(f"{module}: {found.get('Error') or done.stderr}")
    return Path(found["Dir"])


class Loader(yaml.CSafeLoader):
    """An equals sign is a word."""


Loader.add_constructor("tag:yaml.org,2002:value", lambda loader, node: loader.construct_scalar(node))


def custom_kinds(folder: Path, pattern: str) -> Iterator[dict[str, Any]]:
    paths = sorted(folder.glob(pattern))
    if not paths:
        raise SystemExit(f"{folder}: no file is called {pattern}")
    for path in paths:
        for document in yaml.load_all(path.read_text(), Loader):
            if document and document.get("kind") == "CustomResourceDefinition":
                yield document


def strict(schema: Any) -> Any:
    """OpenAPI as JSON schema: no unknown fields, numbers or names where Kubernetes takes both."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string") or schema.get("format") == "int-or-string":
        return _EITHER
    # Formats are Go's; a property may be called format as well.
    kept = {key: value for key, value in schema.items() if not (key == "format" and isinstance(value, str))}
    changed = {key: strict(value) for key, value in kept.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        changed.setdefault("additionalProperties", False)
    return changed


def write(folder: Path, group: str, version: str, kind: str, schema: Any) -> None:
    path = folder / f"{kind}_{group or version}_{version}.json".lower()
    path.write_text(json.dumps(schema))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
