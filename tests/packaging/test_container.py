"""The Containerfile: its own lines, carried out on this machine's root instead of its base image.

No container engine is at hand where this runs, so what is tried is all but the base image and the
engine itself: COPY, RUN, ENV, USER, ENTRYPOINT and CMD.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.machine import Machine, machine, why_none

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SOURCE = Path(__file__).resolve().parents[2]
CONTAINERFILE = SOURCE / ".packaging" / "Containerfile"


def instructions() -> list[tuple[str, str]]:
    """Return what the Containerfile says, line by line, without its comments."""
    text = re.sub(r"^#.*\n", "", CONTAINERFILE.read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines if line.strip()]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    pytest.importorskip("hatch_vcs", reason="building needs the dev extra")
    if why := why_none():
        pytest.skip(why)
    context = tmp_path_factory.mktemp("context")
    wheel = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(context / "dist")]
    subprocess.run(wheel, cwd=SOURCE, check=True, capture_output=True)
    with machine(tmp_path_factory.mktemp("machine")) as one:
        if one is None:
            pytest.skip("no overlay can be mounted here")
        one.done("ln", "-sf", "/usr/bin/python3", "/usr/local/bin/python")  # the base image's
        for word, rest in instructions():
            if word == "COPY":
                what, to = rest.split()
                one.done("sh", "-c", f"mkdir -p {to} && cp {context}/{what} {to}")
            elif word == "RUN":
                # Two programs start there: compiling all packages takes longer than they gain.
                one.done("env", "PIP_COMPILE=0", "sh", "-c", rest)
        yield one


def as_started(image: Machine, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a container does: with its environment and account."""
    said = dict(instructions())
    return image.run("setpriv", f"--reuid={said['USER']}", "--clear-groups", "env",
                     *said["ENV"].split(), "sh", "-c", command)  # fmt: skip


def test_the_program_starts_as_the_images_account(image: Machine) -> None:
    started = as_started(image, "id -un && bleedwatch --version")

    assert started.stdout.startswith("bleedwatch\nbleedwatch "), started.stderr


def test_the_images_configuration_can_be_used(image: Machine) -> None:
    checked = as_started(image, "bleedwatch config check")

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_state_folder_is_the_accounts_own(image: Machine) -> None:
    assert as_started(image, "touch /var/lib/bleedwatch/it").returncode == 0
    assert as_started(image, "touch /export/it").returncode != 0


def test_a_hosts_gpu_is_not_missed_by_an_image_that_cannot_use_it() -> None:
    assert "BLEEDWATCH_INFER__GPU=none" in dict(instructions())["ENV"].split()


def test_agent_and_console_are_what_an_image_starts() -> None:
    said = dict(instructions())

    assert (said["ENTRYPOINT"], said["CMD"]) == ('["bleedwatch"]', '["run"]')


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="hadolint is of the dev extra")
def test_the_linter_has_nothing_to_say() -> None:
    checked = subprocess.run(["hadolint", CONTAINERFILE], capture_output=True, check=False)

    assert (checked.returncode, checked.stdout) == (0, b"")
