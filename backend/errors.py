"""Domain errors: what was wrong, where, and what to do.

They are raised deep and translated once: to an exit code in `backend.cli`, to an
HTTP status in `backend.web.app`, to a failed job in `backend.jobs`.
"""


class CrowdlabError(Exception):
    """Base of every error that a user can act on.

    Parameters
    ----------
    message
        What was wrong, naming the thing and its value.
    hint
        What to do about it; empty if the message says it all.
    """

    http_status = 500

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class SettingsError(CrowdlabError):
    """A setting is missing or has a value that cannot work."""


class BadRequestError(CrowdlabError):
    """A request body that the ML-backend contract does not allow."""

    http_status = 400


class LabelStudioError(CrowdlabError):
    """Label Studio refused or failed a request."""

    http_status = 502


class LabelStudioUnreachableError(LabelStudioError):
    """Nothing that speaks Label Studio's API answers at the address."""


class AuthenticationError(LabelStudioError):
    """Label Studio does not accept the token."""


class AddressRefusedError(LabelStudioError):
    """Label Studio's protection against requests to local networks refused our address."""


class ProjectNotFoundError(LabelStudioError):
    """The project does not exist, or the token's user cannot see it."""

    http_status = 404


class RequestRefusedError(LabelStudioError):
    """Label Studio found a request wrong, as where a task was deleted meanwhile."""


class UnsupportedProjectError(CrowdlabError):
    """The labeling config holds no control tag for which there is a consensus."""

    http_status = 422


class NothingToComputeError(CrowdlabError):
    """The project holds no label from which a consensus could follow."""

    http_status = 409


class StoreError(CrowdlabError):
    """Redis cannot be reached, started or used."""

    http_status = 503


class ProjectBusyError(CrowdlabError):
    """Another process works on the same project."""

    http_status = 409


class PortInUseError(CrowdlabError):
    """The address that the service was told to listen on is taken."""
