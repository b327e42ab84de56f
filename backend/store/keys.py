"""Every Redis key, as a named template.

The project id is the hash tag, so that all keys of one project lie on one node of a
Redis Cluster and can change together.
"""

PREFIX = "crowdlab"

PROJECTS = f"{PREFIX}:projects"
"""Set: ids of all projects that the service looks after."""

_PROJECT = PREFIX + ":{{{project}}}:"

INFO = _PROJECT + "info"
"""String (JSON): title, labeling config, questions, sync state; see `ProjectInfo`."""
SUMMARY = _PROJECT + "summary"
"""String (JSON): what the last recompute found, per question; see `QuestionSummary`."""
PUBLICATION = _PROJECT + "publication"
"""String (JSON): model version in Label Studio; see `Publication`."""
ANNOTATOR_NAMES = _PROJECT + "annotator_names"
"""Hash: annotator id to e-mail address."""
LAST_ERROR = _PROJECT + "last_error"
"""String: why the last job of the project failed; absent if it did not."""
TABLE = _PROJECT + "table:{name}"
"""Hash: block number to typed arrays; see `TaskTable`."""
INBOX = _PROJECT + "inbox"
"""Stream: webhook events not yet applied."""
DEAD_LETTERS = _PROJECT + "dead_letters"
"""Stream: webhook events that could not be applied, and why."""
LOCK = _PROJECT + "lock"
"""String: held by the process that changes the project."""
SCHEDULED = _PROJECT + "scheduled:{kind}"
"""String with expiry: a job of this kind is queued and has not begun."""
