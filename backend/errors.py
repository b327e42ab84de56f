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
    """A request with a body or a parameter that is not allowed."""

    http_status = 400


class BodyTooLargeError(BadRequestError):
    """A request body over the limit."""

    http_status = 413


class EncodedBodyError(BadRequestError):
    """A compressed request body."""

    http_status = 415


class LabelStudioError(CrowdlabError):
    """Label Studio refused or failed a request."""

    http_status = 502


class LabelStudioUnreachableError(LabelStudioError):
    """Nothing that speaks Label Studio's API answers at the address."""


class LabelStudioBusyError(LabelStudioUnreachableError):
    """Label Studio is too slow for a request, fails inside, or asks to be left alone."""


class LabelStudioSparedError(LabelStudioUnreachableError):
    """Label Studio failed so often that nothing is asked of it for a while."""

    http_status = 503


class AuthenticationError(LabelStudioError):
    """Label Studio does not accept the token."""


class AddressRefusedError(LabelStudioError):
    """Label Studio's protection against requests to local networks refused our address."""


class ProjectNotFoundError(LabelStudioError):
    """The project does not exist, or the token's user cannot see it."""

    http_status = 404


class RequestRefusedError(LabelStudioError):
    """Label Studio found a request wrong, as where a task was deleted meanwhile."""


class UnknownVersionError(CrowdlabError):
    """A model version of which it is not known what it said."""

    http_status = 404


class UnknownProjectError(CrowdlabError):
    """A project that the service does not look after."""

    http_status = 404


class UnknownQuestionError(CrowdlabError):
    """A question, or a class of one, that the project does not have."""

    http_status = 404


class UnknownTaskError(CrowdlabError):
    """A task that is not in the project, as far as the service knows."""

    http_status = 404


class UnknownAnnotatorError(CrowdlabError):
    """Somebody who has given no label that counts."""

    http_status = 404


class ReviewPolicyError(CrowdlabError):
    """A policy for re-annotation that cannot be followed."""

    http_status = 400


class NotAcceptedError(CrowdlabError):
    """A consensus that cannot become ground truth, or is none."""

    http_status = 409


class UnsupportedProjectError(CrowdlabError):
    """The labeling config holds no control tag for which there is a consensus."""

    http_status = 422


class NothingToComputeError(CrowdlabError):
    """The project holds no label from which a consensus could follow."""

    http_status = 409


class StoreError(CrowdlabError):
    """Redis cannot be reached, started or used."""

    http_status = 503


class PredictionsError(CrowdlabError):
    """Predictions that somebody brings, or asks for, and that cannot be used."""

    http_status = 400


class UnknownSourceError(PredictionsError):
    """Predictions that nobody has uploaded or borrowed."""

    http_status = 404


class PredictionsTooLargeError(PredictionsError):
    """A file of predictions over the limit."""

    http_status = 413


class StateFileError(CrowdlabError):
    """A file of saved state cannot be written or read."""

    http_status = 400


class ExportFileError(CrowdlabError):
    """A file to export into cannot be written."""

    http_status = 400


LOCK_LOST = (
    "This process was stopped for so long that another one has taken its place; what it was about "
    "to do is left to that one."
)


class LockLostError(StoreError):
    """Another process took the place of this one, which had been stopped for long."""


class ProjectBusyError(CrowdlabError):
    """Another process works on the same project."""

    http_status = 409


class PortInUseError(CrowdlabError):
    """The address that the service was told to listen on is taken."""
