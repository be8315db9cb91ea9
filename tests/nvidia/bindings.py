"""TensorRT's real Python bindings, imported without TensorRT: what they have, and how it is called.

The wheels of the bindings are on PyPI, a megabyte each; the libraries that they are linked to are
NVIDIA's own index's. A handful of functions that nobody calls stands for these.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

WHEELS = {
    "8.6.1": "tensorrt-bindings",
    "10.3.0": "tensorrt-cu12-bindings",
    "10.16.1.11": "tensorrt-cu12-bindings",
    "11.4.0.106": "tensorrt-cu12-bindings",
}
OF_TENSORRT = re.compile(r"create\w+_INTERNAL|get\w+|initLibNvInferPlugins|_ZN\d+nv(uff|caffe)\w+")

DESCRIBE = """
import enum, inspect, json
import tensorrt_bindings as trt

def described(value):
    return {
        name: {"doc": inspect.getdoc(member) or "", "called": callable(member)}
        for name, member in inspect.getmembers(value)
    }

classes = {name: one for name, one in vars(trt).items() if inspect.isclass(one)}
print(json.dumps({
    "members": {name: described(one) for name, one in classes.items()},
    "enums": {
        name: {key: int(value) for key, value in one.__members__.items()}
        for name, one in classes.items() if isinstance(getattr(one, "__members__", None), dict)
    },
    "values": {name: int(vars(trt)[name]) for name in ("float32", "int32")},
}))
"""


def described(version: str, cache: Path) -> dict[str, Any]:
    """Say of every class what it has (``members``), of every enum its values (``enums``)."""
    folder = cache / version
    if not folder.exists():
        _download(f"{WHEELS[version]}=={version}", folder)
    (module,) = folder.glob("tensorrt_bindings/tensorrt.so")
    _write_libraries(module, folder)
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DESCRIBE], capture_output=True, text=True,
        check=False, env={"PYTHONPATH": str(folder), "LD_LIBRARY_PATH": str(folder)},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def signature(doc: str, name: str) -> tuple[int, int, str]:
    """Read of pybind11's words how many arguments a method needs, and takes, and what it gives."""
    calls = re.search(rf"^(?:1\. )?{name}\(self: [\w.]+(.*)\) -> (.+)$", doc, re.MULTILINE)
    assert calls, doc
    arguments = [one for one in re.split(r", (?=\w+: )", calls[1]) if one]
    return sum(" = " not in one for one in arguments), len(arguments), calls[2]


def _download(requirement: str, folder: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download",
         "--no-deps", "--only-binary", ":all:", "-d", folder, requirement], check=True,
    )  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as bindings:
        bindings.extractall(folder)


def _write_libraries(module: Path, folder: Path) -> None:
    needed = _listed("readelf", "-d", module, pattern=r"NEEDED.*\[(libnv[^]]+)\]")
    missing = _listed("nm", "-D", "--undefined-only", module, pattern=r"U (\w+)")
    source = folder / "libraries.c"
    source.write_text(
        "".join(f"int {one}(void) {{ return 0; }}\n" for one in missing if OF_TENSORRT.match(one))
    )
    for name in needed:
        command = [
            "gcc",
            "-shared",
            "-fPIC",
            "-w",
            f"-Wl,-soname,{name}",
            "-o",
            folder / name,
            source,
        ]
        subprocess.run(command, check=True)


def _listed(*command: str | Path, pattern: str) -> list[str]:
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return sorted(set(re.findall(pattern, said)))
