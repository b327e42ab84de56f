"""The parts of the service, put together from the settings."""

from __future__ import annotations

from functools import cached_property

from redis import Redis

from backend.features.fetch import ContentFetcher
from backend.features.models import Models, load_models
from backend.jobs.queue import JobQueue
from backend.label_studio.breaker import Breaker
from backend.label_studio.client import LabelStudioClient
from backend.label_studio.pace import Pace
from backend.metrics import Metrics
from backend.settings import Settings
from backend.store.cluster import DataRedis
from backend.store.project import ProjectStore, known_projects


class Service:
    """Settings, store, job queue and Label Studio.

    Parameters
    ----------
    settings
        Settings of the service.
    redis
        Connection that returns bytes, to the server of the queue.
    data
        Connection that returns bytes, to what holds the projects' data; None if that is `redis`.
    """

    def __init__(self, settings: Settings, redis: Redis, data: DataRedis | None = None) -> None:
        self.settings = settings
        self.redis = redis
        self.data = redis if data is None else data

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
            ca_file=self.settings.ca_file,
            breaker=self.breaker,
            pace=Pace(self.redis, self.settings.label_studio_writes_per_second),
        )

    def content_fetcher(self) -> ContentFetcher:
        """Make what reads the images and sounds of tasks.

        Raises
        ------
        SettingsError, AuthenticationError
            There is no usable token.
        """
        return ContentFetcher(
            self.settings.label_studio_url,
            self.label_studio.authorization,
            self.settings.fetch_limits,
            self.settings.label_studio_public_url,
            ca_file=self.settings.ca_file,
        )

    @cached_property
    def models(self) -> Models:
        """Models on disk that contents are described by, loaded when they are first needed."""
        return load_models(self.settings.text_model, self.settings.image_model)

    @cached_property
    def breaker(self) -> Breaker:
        """Whether Label Studio is being spared after failures."""
        return Breaker(self.redis)

    def close(self) -> None:
        """Close the connection to Label Studio, if there is one."""
        if "label_studio" in self.__dict__:
            self.label_studio.close()

    @property
    def has_token(self) -> bool:
        """Whether there is a token for Label Studio."""
        return bool(self.settings.label_studio_api_key.get_secret_value())

    @cached_property
    def metrics(self) -> Metrics:
        """Records what happens, for /metrics."""
        return Metrics(self.redis)

    @cached_property
    def queue(self) -> JobQueue:
        """Queue of the jobs."""
        return JobQueue(self.redis, self.data)

    def store(self, project_id: int) -> ProjectStore:
        """One project's part of the store."""
        return ProjectStore(self.data, project_id)

    def projects(self) -> list[int]:
        """Ids of all projects that the service looks after, ascending."""
        return known_projects(self.data)
