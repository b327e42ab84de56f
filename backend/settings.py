"""All settings of the service, read from the environment and from a `.env` file."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Literal

from platformdirs import user_data_path
from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from backend.errors import SettingsError

SECRET_HEADER = "X-Crowdlab-Secret"  # noqa: S105 - the name of a header
"""Header in which a webhook carries WEBHOOK_SECRET."""


def _names(name: str) -> AliasChoices:
    """Accept a setting under its familiar name and under the `CROWDLAB_` prefix."""
    return AliasChoices(name, f"CROWDLAB_{name}")


class Settings(BaseSettings):
    """Everything that a user can set.

    The names that users of label-studio-ml know (`LABEL_STUDIO_URL`,
    `LABEL_STUDIO_API_KEY`, `BASIC_AUTH_USER`, …) are kept; each is also read with
    the prefix `CROWDLAB_`.
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
        description="User name that Label Studio must send (HTTP Basic); empty turns it off.",
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
    redis_url: SecretStr = Field(
        SecretStr(""),
        validation_alias=_names("REDIS_URL"),
        description="Redis to use, such as redis://localhost:6379/0; empty starts an own one.",
    )
    data_dir: Path = Field(
        default_factory=lambda: user_data_path("crowdlab"),
        validation_alias="CROWDLAB_DATA_DIR",
        description="Folder of the embedded Redis server's data.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", validation_alias=_names("LOG_LEVEL"), description="How much the log says."
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
    method: Literal["crowdlab", "fusion"] = Field(
        "crowdlab",
        validation_alias="CROWDLAB_METHOD",
        description=(
            "How the consensus is found: crowdlab (classifier and annotators as a weighted "
            "ensemble) or fusion (hierarchical Dawid-Skene with calibrated scores)."
        ),
    )
    folds: int = Field(
        5,
        ge=2,
        le=50,
        validation_alias="CROWDLAB_FOLDS",
        description="Folds of the cross-validation that gives out-of-sample pred_probs.",
    )

    @field_validator("label_studio_url", "backend_url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        value = value.strip().rstrip("/")
        if value and not value.startswith(("http://", "https://")):
            raise ValueError(f"{value!r} is not an address; it must start with http:// or https://")
        return value

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: SecretStr) -> SecretStr:
        if (url := value.get_secret_value()) and not url.startswith(
            ("redis://", "rediss://", "unix://")
        ):
            raise ValueError("it must start with redis://, rediss:// or unix://")
        return value

    @field_validator("basic_auth_user", "basic_auth_pass", "webhook_secret")
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

    @cached_property
    def public_url(self) -> str:
        """Address of this service as Label Studio reaches it."""
        return self.backend_url or f"http://localhost:{self.port}"

    @property
    def protects_requests(self) -> bool:
        """Whether requests need credentials."""
        return bool(self.basic_auth_user or self.webhook_secret.get_secret_value())


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
        alias = info.validation_alias
        names = alias.choices if isinstance(alias, AliasChoices) else [alias]
        if name == field or name in names:
            return field
    raise KeyError(name)


def environment_name(field: str) -> str:
    """Name of the environment variable of a settings field."""
    info = Settings.model_fields.get(field)
    alias = info.validation_alias if info else field
    if isinstance(alias, AliasChoices):
        return str(alias.choices[0])
    return str(alias)


def example_environment() -> str:
    """Text of `.env.example`: every setting with its description and default."""
    lines = ["# Settings of the Crowdlab service. Copy to .env and change what you need."]
    for field, info in Settings.model_fields.items():
        default = info.default if info.default_factory is None else ""
        if isinstance(default, SecretStr):
            default = default.get_secret_value()
        lines += ["", f"# {info.description}", f"#{environment_name(field)}={default}"]
    return "\n".join(lines) + "\n"
