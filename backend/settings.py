"""All settings of the service, read from the environment and from a `.env` file."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from platformdirs import user_data_path
from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from backend.errors import SettingsError
from backend.features.fetch import AllowedHosts, FetchLimits

SECRET_HEADER = "X-Crowdlab-Secret"  # noqa: S105 - the name of a header
"""Header in which a webhook carries WEBHOOK_SECRET."""


def _names(name: str) -> AliasChoices:
    """Accept a setting under its familiar name and under the `CROWDLAB_` prefix."""
    return AliasChoices(name, f"CROWDLAB_{name}")


class _SecretFiles(PydanticBaseSettingsSource):
    """Secrets that lie in files, as orchestrators mount them: `NAME_FILE` is the path of one."""

    def __init__(self, settings_cls: type[BaseSettings], variables: Mapping[str, str | None]):
        super().__init__(settings_cls)
        self._variables = {name.upper(): value for name, value in variables.items()}

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Text of the file that is named for a field, without the line end; None if none is."""
        names = _names_of(field_name, field) if field.annotation is SecretStr else []
        is_given = any(self._variables.get(name) for name in names)
        for name in () if is_given else names:
            if path := self._variables.get(f"{name}_FILE"):
                return _read_secret(f"{name}_FILE", Path(path)), name, False
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """All secrets that lie in files, by the names of their settings."""
        found = (
            self.get_field_value(field, name)
            for name, field in self.settings_cls.model_fields.items()
        )
        return {name: value for value, name, _ in found if value is not None}


def _read_secret(name: str, path: Path) -> str:
    try:
        return path.read_text().strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise SettingsError(
            f"The secret's file {path}, named by {name}, cannot be read: {reason}.",
            f"Let {name} name a text file that the user of this process may read.",
        ) from None


class Settings(BaseSettings):
    """Everything that a user can set.

    The names that users of label-studio-ml know (`LABEL_STUDIO_URL`,
    `LABEL_STUDIO_API_KEY`, `BASIC_AUTH_USER`, …) are kept; each is also read with
    the prefix `CROWDLAB_`. A secret `NAME` can also be in a file whose path is in
    `NAME_FILE`; `NAME` itself, unless empty, comes before it.
    """

    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", env_ignore_empty=True, populate_by_name=True
    )

    label_studio_url: str = Field(
        "http://localhost:8080",
        validation_alias=AliasChoices("LABEL_STUDIO_URL", "LABEL_STUDIO_HOST"),
        description="Address of Label Studio as this service reaches it.",
    )
    label_studio_api_key: SecretStr = Field(
        SecretStr(""),
        validation_alias=AliasChoices("LABEL_STUDIO_API_KEY", "LABEL_STUDIO_ACCESS_TOKEN"),
        description=(
            "Personal access token of a Label Studio user "
            "(Label Studio: Account & Settings > Personal Access Token)."
        ),
    )
    label_studio_timeout: float = Field(
        120.0,
        gt=0,
        validation_alias="LABEL_STUDIO_TIMEOUT",
        description="Seconds to wait for one answer of Label Studio.",
    )
    label_studio_writes_per_second: int = Field(
        50,
        ge=0,
        validation_alias="LABEL_STUDIO_WRITES_PER_SECOND",
        description=(
            "Most changes per second that all workers together ask of Label Studio; 0 for no limit."
        ),
    )
    backend_url: str = Field(
        "",
        validation_alias=_names("BACKEND_URL"),
        description=(
            "Address of this service as Label Studio reaches it; empty means http://localhost:PORT."
        ),
    )
    host: str = Field(
        "127.0.0.1",
        validation_alias=_names("HOST"),
        description="Network address to listen on; 0.0.0.0 for all.",
    )
    port: int = Field(
        9090, ge=1, le=65535, validation_alias=_names("PORT"), description="Port to listen on."
    )
    workers: int = Field(
        1, ge=1, validation_alias=_names("WORKERS"), description="gunicorn worker processes."
    )
    threads: int = Field(
        8, ge=1, validation_alias=_names("THREADS"), description="Threads per gunicorn worker."
    )
    basic_auth_user: str = Field(
        "",
        validation_alias=_names("BASIC_AUTH_USER"),
        description=(
            "User name that Label Studio must send (HTTP Basic), and people who open the pages; "
            "empty turns it off."
        ),
    )
    basic_auth_pass: SecretStr = Field(
        SecretStr(""),
        validation_alias=_names("BASIC_AUTH_PASS"),
        description="Password that goes with BASIC_AUTH_USER.",
    )
    webhook_secret: SecretStr = Field(
        SecretStr(""),
        validation_alias=_names("WEBHOOK_SECRET"),
        description=(
            "Secret that webhooks must carry in the header X-Crowdlab-Secret; "
            "`crowdlab connect` sets it in Label Studio. Empty turns it off."
        ),
    )
    api_token: SecretStr = Field(
        SecretStr(""),
        validation_alias="CROWDLAB_API_TOKEN",
        description=(
            "Bearer token for the API. Pages and API then ask for it, or for the BASIC_AUTH "
            "credentials; a browser takes it as the password, with any user name. Empty turns it "
            "off."
        ),
    )
    failed_logins_per_minute: int = Field(
        20,
        ge=0,
        validation_alias="CROWDLAB_FAILED_LOGINS_PER_MINUTE",
        description=(
            "Wrong credentials that an address may show in a minute; then it is refused until the "
            "minute has passed. 0 for no limit."
        ),
    )
    trusted_proxies: int = Field(
        0,
        ge=0,
        le=10,
        validation_alias="CROWDLAB_TRUSTED_PROXIES",
        description=(
            "Reverse proxies before this service, each of which adds the address that it was "
            "called from to X-Forwarded-For."
        ),
    )
    browser_url: str = Field(
        "",
        validation_alias="CROWDLAB_PUBLIC_URL",
        description=(
            "Address at which browsers reach the pages, if a reverse proxy passes on another host "
            "than they ask for."
        ),
    )
    metrics_token: SecretStr = Field(
        SecretStr(""),
        validation_alias=_names("METRICS_TOKEN"),
        description=(
            "Bearer token with which /metrics and /ready can be read; they then ask for it, "
            "or for the BASIC_AUTH credentials. Empty turns it off."
        ),
    )
    redis_url: SecretStr = Field(
        SecretStr(""),
        validation_alias=_names("REDIS_URL"),
        description="Redis to use, such as redis://localhost:6379/0; empty starts an own one.",
    )
    data_redis_url: SecretStr = Field(
        SecretStr(""),
        validation_alias="CROWDLAB_DATA_REDIS_URL",
        description=(
            "Redis or Redis Cluster for the projects' data, such as redis://node:7000; empty means "
            "REDIS_URL. RQ's queue needs a single server, REDIS_URL."
        ),
    )
    ca_file: Path | None = Field(
        None,
        validation_alias="CROWDLAB_CA_FILE",
        description=(
            "Certificates (PEM) of the authorities that those of Label Studio and Redis may be "
            "signed by, where this machine does not trust them anyway."
        ),
    )
    dask_scheduler: str = Field(
        "",
        validation_alias=_names("DASK_SCHEDULER"),
        description=(
            "Dask scheduler, such as tcp://host:8786, on whose workers large projects are "
            "computed; they need the service's environment with REDIS_URL. Empty computes "
            "everything here."
        ),
    )
    dask_above_labels: int = Field(
        5_000_000,
        ge=0,
        validation_alias=_names("DASK_ABOVE_LABELS"),
        description="Questions with more labels than this are computed on DASK_SCHEDULER.",
    )
    data_dir: Path = Field(
        default_factory=lambda: user_data_path("crowdlab"),
        validation_alias="CROWDLAB_DATA_DIR",
        description="Folder of the embedded Redis server's data.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", validation_alias=_names("LOG_LEVEL"), description="How much the log says."
    )
    log_format: Literal["console", "json"] = Field(
        "console",
        validation_alias=_names("LOG_FORMAT"),
        description="Form of the log: console (for people) or json (one object per line).",
    )
    max_body_mb: int = Field(
        256,
        ge=1,
        validation_alias="CROWDLAB_MAX_BODY_MB",
        description=(
            "Megabytes that a request of Label Studio may have; it sends all selected tasks in one."
        ),
    )
    page_size: int = Field(
        500,
        ge=1,
        le=10_000,
        validation_alias="CROWDLAB_PAGE_SIZE",
        description="Tasks asked of Label Studio in one request.",
    )
    reconcile_seconds: int = Field(
        60,
        ge=5,
        validation_alias="CROWDLAB_RECONCILE_SECONDS",
        description="Seconds between two looks for changes that no event told of.",
    )
    full_sync_seconds: int = Field(
        21_600,
        ge=60,
        validation_alias="CROWDLAB_FULL_SYNC_SECONDS",
        description=(
            "Seconds between two full pulls of a project, which find what neither events nor "
            "changed tasks tell, such as the deletion of a user."
        ),
    )
    recompute_delay_seconds: int = Field(
        30,
        ge=0,
        validation_alias="CROWDLAB_RECOMPUTE_DELAY_SECONDS",
        description=(
            "Seconds from a change to the full recompute (classifier, weights, every task); "
            "the changed task's own consensus follows at once."
        ),
    )
    amend_limit: int = Field(
        200,
        ge=0,
        validation_alias="CROWDLAB_AMEND_LIMIT",
        description=(
            "Up to this many changed predictions are changed one by one; "
            "more are published as a new model version."
        ),
    )
    score_tolerance: float = Field(
        0.01,
        ge=0,
        le=1,
        validation_alias="CROWDLAB_SCORE_TOLERANCE",
        description=(
            "Predictions whose score has moved by no more than this are left as they are; "
            "those of changed tasks and changed consensus labels always follow."
        ),
    )
    publish_seconds: int = Field(
        600,
        ge=0,
        validation_alias="CROWDLAB_PUBLISH_SECONDS",
        description=(
            "Seconds between two model versions that the service publishes by itself; Label "
            "Studio is slow meanwhile. In between, the most changed predictions are changed."
        ),
    )
    show_names: bool = Field(
        True,
        validation_alias="CROWDLAB_SHOW_NAMES",
        description=(
            "Whether pages, API, terminal and exports name annotators by their e-mail addresses; "
            "off, they are called by their ids in Label Studio."
        ),
    )
    keep_versions: int = Field(
        5,
        ge=0,
        le=100,
        validation_alias="CROWDLAB_KEEP_VERSIONS",
        description=(
            "Of how many replaced model versions to keep what they said, for `crowdlab rollback`."
        ),
    )
    method: Literal["crowdlab", "fusion"] = Field(
        "crowdlab",
        validation_alias="CROWDLAB_METHOD",
        description=(
            "How the consensus is found: crowdlab (classifier and annotators as a weighted "
            "ensemble) or fusion (hierarchical Dawid-Skene with calibrated scores)."
        ),
    )
    min_iou: float = Field(
        0.4,
        gt=0,
        le=1,
        validation_alias="CROWDLAB_MIN_IOU",
        description=(
            "Least intersection over union of two people's boxes for them to be the same object."
        ),
    )
    min_likeness: float = Field(
        0.9,
        gt=0,
        le=1,
        validation_alias="CROWDLAB_MIN_LIKENESS",
        description=(
            "Least likeness to the consensus of an answer that agrees with it, where answers are "
            "no classes: F1 of sets, spans, boxes and key points, share of unedited characters of "
            "texts."
        ),
    )
    max_point_distance: float = Field(
        0.05,
        gt=0,
        le=1,
        validation_alias="CROWDLAB_MAX_POINT_DISTANCE",
        description=(
            "Farthest that two people's key points are apart, in parts of the image's diagonal, "
            "for them to be the same object."
        ),
    )
    training_seconds: float = Field(
        60.0,
        gt=0,
        validation_alias="CROWDLAB_TRAINING_SECONDS",
        description=(
            "CPU seconds that training a project's classifiers may take, cross-validation "
            "included; those that would take longer are not tried, or are trained on a sample."
        ),
    )
    folds: int = Field(
        5,
        ge=2,
        le=50,
        validation_alias="CROWDLAB_FOLDS",
        description="Folds of the cross-validation that gives out-of-sample pred_probs.",
    )

    number_keys: str = Field(
        "",
        validation_alias="CROWDLAB_NUMBER_KEYS",
        description=(
            "Keys of the tasks' data under which numbers, or lists of numbers, stand that "
            "classifiers may learn from although annotators are not shown them, such as "
            "price,embedding."
        ),
    )
    embedding_key: str = Field(
        "",
        validation_alias="CROWDLAB_EMBEDDING_KEY",
        description=(
            "Key of the tasks' data under which a feature vector stands, a list of numbers as "
            "long in every task, from which classifiers learn; such as embedding."
        ),
    )
    pred_probs_key: str = Field(
        "",
        validation_alias="CROWDLAB_PRED_PROBS_KEY",
        description=(
            "Key of the tasks' data under which a classifier's probabilities stand: one number "
            "per class in the labeling config's order, or an object from class to number; such "
            "as pred_probs."
        ),
    )
    text_model: Path | None = Field(
        None,
        validation_alias="CROWDLAB_TEXT_MODEL",
        description=(
            "Folder of a static model of model2vec, whose vectors of texts classifiers learn from "
            "as well; needs the extra `models`. Nothing is downloaded."
        ),
    )
    image_model: Path | None = Field(
        None,
        validation_alias="CROWDLAB_IMAGE_MODEL",
        description=(
            "ONNX file of a model that gives an image a vector, from which classifiers learn as "
            "well; needs the extra `models`."
        ),
    )
    max_upload_mb: int = Field(
        64,
        ge=1,
        le=2048,
        validation_alias="CROWDLAB_MAX_UPLOAD_MB",
        description=(
            "Megabytes that a file of predictions may have; unpacked, it may have four times as "
            "many."
        ),
    )
    label_studio_public_url: str = Field(
        "",
        validation_alias="LABEL_STUDIO_PUBLIC_URL",
        description=(
            "Address of Label Studio as browsers reach it, if another; images and sounds at it "
            "are fetched from LABEL_STUDIO_URL."
        ),
    )
    allowed_hosts: str = Field(
        "",
        validation_alias="CROWDLAB_ALLOWED_HOSTS",
        description=(
            "Hosts from which images and sounds of tasks may be fetched besides Label Studio, "
            "such as media.example.com,minio:9000; a host in a private network needs its address "
            "or network, too, such as 172.16.0.0/12."
        ),
    )
    max_content_mb: int = Field(
        20,
        ge=1,
        le=1000,
        validation_alias="CROWDLAB_MAX_CONTENT_MB",
        description="Megabytes that an image or sound may have to be described for classifiers.",
    )
    fetch_seconds: float = Field(
        20.0,
        gt=0,
        validation_alias="CROWDLAB_FETCH_SECONDS",
        description="Seconds that fetching one image or sound may take.",
    )
    fetch_concurrency: int = Field(
        4,
        ge=1,
        le=64,
        validation_alias="CROWDLAB_FETCH_CONCURRENCY",
        description="Images and sounds that one project fetches at the same time.",
    )

    @field_validator("label_studio_url", "backend_url", "browser_url", "label_studio_public_url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        value = value.strip().rstrip("/")
        if value and not value.startswith(("http://", "https://")):
            raise ValueError(f"{value!r} is not an address; it must start with http:// or https://")
        return value

    @field_validator("allowed_hosts")
    @classmethod
    def _check_hosts(cls, value: str) -> str:
        AllowedHosts.parse(value)
        return value

    @field_validator("redis_url", "data_redis_url")
    @classmethod
    def _check_redis_url(cls, value: SecretStr) -> SecretStr:
        if (url := value.get_secret_value()) and not url.startswith(
            ("redis://", "rediss://", "unix://")
        ):
            raise ValueError("it must start with redis://, rediss:// or unix://")
        return value

    @field_validator("text_model")
    @classmethod
    def _check_folder(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_dir():
            raise ValueError("it is no folder; models are read from disk, never downloaded")
        return value

    @field_validator("image_model")
    @classmethod
    def _check_file(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError("it is no file; models are read from disk, never downloaded")
        return value

    @field_validator("ca_file")
    @classmethod
    def _check_certificates(cls, value: Path | None) -> Path | None:
        if value is not None:
            try:
                ssl.create_default_context(cafile=value)
            except (OSError, ssl.SSLError) as error:
                raise ValueError(f"it holds no certificates that can be read: {error}") from None
        return value

    @field_validator(
        "basic_auth_user", "basic_auth_pass", "webhook_secret", "metrics_token", "api_token"
    )
    @classmethod
    def _check_ascii(cls, value: str | SecretStr) -> str | SecretStr:
        text = value if isinstance(value, str) else value.get_secret_value()
        if not (text.isascii() and text.isprintable()):
            raise ValueError(
                "it may hold only letters, digits and signs of plain ASCII, as Label Studio "
                "sends others in another encoding"
            )
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper_case(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("log_format", mode="before")
    @classmethod
    def _lower_case(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment, then `.env`; in each a value before its file."""
        assert isinstance(env_settings, EnvSettingsSource)
        assert isinstance(dotenv_settings, DotEnvSettingsSource)
        return (
            init_settings,
            env_settings,
            _SecretFiles(settings_cls, env_settings.env_vars),
            dotenv_settings,
            _SecretFiles(settings_cls, dotenv_settings.env_vars),
        )

    @cached_property
    def public_url(self) -> str:
        """Address of this service as Label Studio reaches it."""
        return self.backend_url or f"http://localhost:{self.port}"

    @property
    def number_key_list(self) -> list[str]:
        """`number_keys` and `embedding_key`, one by one."""
        names = [*self.number_keys.split(","), self.embedding_key]
        return [key for key in (one.strip() for one in names) if key]

    @property
    def max_upload_bytes(self) -> int:
        """`max_upload_mb` in bytes."""
        return self.max_upload_mb * 1024 * 1024

    @property
    def fetch_limits(self) -> FetchLimits:
        """How much of tasks' contents may be fetched, and from where."""
        return FetchLimits(
            AllowedHosts.parse(self.allowed_hosts),
            self.max_content_mb * 1024 * 1024,
            self.fetch_seconds,
            self.fetch_concurrency,
        )

    @property
    def max_body_bytes(self) -> int:
        """`max_body_mb` in bytes."""
        return self.max_body_mb * 1024 * 1024

    @property
    def protects_requests(self) -> bool:
        """Whether webhooks need credentials."""
        return bool(self.basic_auth_user or self.webhook_secret.get_secret_value())

    @property
    def protects_pages(self) -> bool:
        """Whether pages and API need credentials."""
        return bool(self.basic_auth_user or self.api_token.get_secret_value())

    @property
    def data_url(self) -> str:
        """Address of the Redis that holds the projects' data; empty if it is embedded."""
        return self.data_redis_url.get_secret_value() or self.redis_url.get_secret_value()

    @property
    def label_studio_origin(self) -> str:
        """Scheme, host and port of Label Studio."""
        parts = urlsplit(self.label_studio_url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def load_settings(**overrides: object) -> Settings:
    """Read the settings, with `overrides` by field name before the environment.

    Raises
    ------
    SettingsError
        A value is not allowed, and the message names the setting; or the `.env` file cannot
        be read as text.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except UnicodeDecodeError as error:
        path = Settings.model_config["env_file"]
        raise SettingsError(
            f"The file {path} is not UTF-8 text: {error.reason} at byte {error.start}.",
            "Save it in the encoding UTF-8.",
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        field = _field_of(str(first["loc"][0]))
        name = environment_name(field)
        reason = first["msg"].removeprefix("Value error, ")
        is_secret = Settings.model_fields[field].annotation is SecretStr
        value = "" if is_secret else f" {first['input']!r}"
        raise SettingsError(
            f"The setting {name} has a value that is not usable{value}: {reason}.",
            f"Correct {name} in the environment or in the .env file.",
        ) from None


def _field_of(name: str) -> str:
    """Settings field for a name that pydantic reports: the field's own or an alias."""
    for field, info in Settings.model_fields.items():
        if name == field or name in _names_of(field, info):
            return field
    raise KeyError(name)


def _names_of(field: str, info: FieldInfo) -> list[str]:
    """Names under which a field is read from the environment, the first one first."""
    alias = info.validation_alias or field
    names = alias.choices if isinstance(alias, AliasChoices) else [alias]
    return [str(name) for name in names]


def environment_name(field: str) -> str:
    """Name of the environment variable of a settings field."""
    info = Settings.model_fields.get(field)
    return _names_of(field, info)[0] if info else field


def example_environment() -> str:
    """Text of `.env.example`: every setting with its description and default."""
    lines = [
        "# Settings of the Crowdlab service. Copy to .env and change what you need.",
        "# A secret NAME can be in a file instead: NAME_FILE is its path.",
    ]
    for field, info in Settings.model_fields.items():
        default = info.default if info.default_factory is None else ""
        if isinstance(default, SecretStr):
            default = default.get_secret_value()
        default = "" if default is None else default
        lines += ["", f"# {info.description}", f"#{environment_name(field)}={default}"]
    return "\n".join(lines) + "\n"
