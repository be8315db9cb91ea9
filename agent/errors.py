"""Every failure the agent can name, grouped by what happens next.

* AgentError                    code, message, hint
  x ConfigError                 refuse to start (exit 78)
  x AccessError                 a user or a password is not as it must be: told to who typed it
  x RequestRefused              a command cannot do what it was asked for, and has done nothing
  x FileRefused                 this file is left out, and said to be
    + NotWholeYet               not whole yet: looked at again when it changes, named if it never is
    + SliceRefused              in agent.assemble.header: its series ends *not analysed* with it
  x InputError                  the series ends *not analysed*, the daemon goes on
    + NotEligible               not a non-contrast head CT this protocol covers
    + IdentityError             slices disagree about patient, study or content: refused whole
    + GeometryError             positions do not form a usable grid
  x InferenceError              the series ends *not analysed*
    + BundleError               digest, manifest or network of a bundle is wrong: refuse to load
      - SignatureError          its manifest, or a plan's, is not signed, or by another key
    + PlanError                 a plan is not whole, not verified or does not fit: the CPU runs on
    + GpuError                  the GPU or its driver failed: the CPU takes over, the GPU restarts
    + BadOutputError            NaN, wrong shape, unknown class
  x FolderUnreachable           the export folder cannot be listed: shown, and tried again
  x StoreError                  the store cannot be opened, or is a newer one: refuse to start
  x StoreUnwritable             its disk is full or failing: shown, begun anew from what it has
"""

from __future__ import annotations

from typing import ClassVar


def legible(name: str) -> str:
    """Return a file's name as text that can be stored and shown: it may be any bytes."""
    text = name.encode(errors="backslashreplace").decode()
    return "".join(c if c.isprintable() else "�" for c in text)


class AgentError(Exception):
    """A failure with a stable ``code`` for logs and reports, and a ``hint`` for who must act."""

    code: ClassVar[str] = "agent"

    def __init__(self, message: str, *, hint: str = "") -> None:
        """Carry ``message`` (what happened, to what) and ``hint`` (what to do next)."""
        super().__init__(message)
        self.hint = hint


class ConfigError(AgentError):
    """The configuration, a protocol profile or an address cannot be used."""

    code = "config"


class AccessError(AgentError):
    """There is no such user, or one already, or a password will not do."""

    code = "access"


class RequestRefused(AgentError):
    """What a command was asked for cannot be done; nothing was."""

    code = "request_refused"


class FileRefused(AgentError):
    """One file cannot be a slice; the series it may belong to goes on without it."""

    code = "file_refused"


class NotWholeYet(FileRefused):
    """The file is still being written, or was left half-written."""

    code = "not_whole"


class InputError(AgentError):
    """The scanner handed over a series that cannot be analysed."""

    code = "input"


class NotEligible(InputError):
    """The series is not one the protocol profile covers."""

    code = "not_eligible"


class IdentityError(InputError):
    """Slices of one series disagree about patient, study or content."""

    code = "identity"


class GeometryError(InputError):
    """Slice positions, orientation or spacing do not form a usable grid."""

    code = "geometry"


class InferenceError(AgentError):
    """A network could not be run."""

    code = "inference"


class BundleError(InferenceError):
    """A bundle's manifest, digest or network is not what it must be."""

    code = "bundle"


class SignatureError(BundleError):
    """A manifest is not signed, or not by the configured key."""

    code = "signature"


class PlanError(InferenceError):
    """A TensorRT plan is not whole, not verified, or not one for this machine."""

    code = "plan"


class GpuError(InferenceError):
    """CUDA, the driver or TensorRT failed; its context can no longer be trusted."""

    code = "gpu"


class BadOutputError(InferenceError):
    """A network returned NaN, a wrong shape, or an unknown class."""

    code = "bad_output"


class FolderUnreachable(AgentError):
    """The export folder cannot be listed."""

    code = "folder_unreachable"


class StoreError(AgentError):
    """The store cannot be opened, or was written by a newer version."""

    code = "store"


class StoreUnwritable(AgentError):
    """The store cannot be read or written at present; what was not committed did not happen."""

    code = "store_unwritable"
