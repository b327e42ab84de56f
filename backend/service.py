"""The parts of the service, put together from the settings."""

from __future__ import annotations

from functools import cached_property

from redis import Redis

from backend.jobs.queue import JobQueue
from backend.label_studio.client import LabelStudioClient
from backend.settings import Settings
from backend.store.project import ProjectStore, known_projects


class Service:
    """Settings, store, job queue and Label Studio.

    Parameters
    ----------
    settings
        Settings of the service.
    redis
        Connection that returns bytes.
    """

    def __init__(self, settings: Settings, redis: Redis) -> None:
        self.settings = settings
        self.redis = redis

    @cached_property
    def label_studio(self) -> LabelStudioClient:
        """Connection to Label Studio, made when it is first needed.

        Raises
        ------
        SettingsError, AuthenticationError
            There is no usable token.
        """
        return LabelStudioClient(
            self.settings.label_studio_url,
            self.settings.label_studio_api_key.get_secret_value(),
            timeout=self.settings.label_studio_timeout,
        )

    def close(self) -> None:
        """Close the connection to Label Studio, if there is one."""
        if "label_studio" in self.__dict__:
            self.label_studio.close()

    @property
    def has_token(self) -> bool:
        """Whether there is a token for Label Studio."""
        return bool(self.settings.label_studio_api_key.get_secret_value())

    @cached_property
    def queue(self) -> JobQueue:
        """Queue of the jobs."""
        return JobQueue(self.redis)

    def store(self, project_id: int) -> ProjectStore:
        """One project's part of the store."""
        return ProjectStore(self.redis, project_id)

    def projects(self) -> list[int]:
        """Ids of all projects that the service looks after, ascending."""
        return known_projects(self.redis)
