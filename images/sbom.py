"""Adds the Debian packages of an image to the CycloneDX list of its Python packages: stdin to stdout.

Runs in a build stage as `sbom.py NAME`, with the dpkg status of the image that is built beside it.
"""

import json
import sys
from pathlib import Path


def debian_components(status: str) -> list[dict[str, str]]:
    """What dpkg's status file says is installed, as CycloneDX components."""
    found = []
    for paragraph in status.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and line[0] != " ")
        if fields.get("Status", "").endswith(" installed"):
            name, version = fields["Package"], fields["Version"]
            purl = f"pkg:deb/debian/{name}@{version.replace(':', '%3A')}?arch={fields['Architecture']}"
            found.append({"type": "library", "name": name, "version": version, "purl": purl, "bom-ref": purl})
    return found


def main() -> None:
    """`sbom.py NAME`: NAME is what the list is of."""
    bom = json.load(sys.stdin)
    bom["metadata"]["component"] = {"type": "container", "name": sys.argv[1], "bom-ref": sys.argv[1]}
    bom["components"] += debian_components(Path(__file__).with_name("dpkg-status").read_text())
    json.dump(bom, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
