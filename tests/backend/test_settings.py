"""Settings from the environment."""

from pathlib import Path

import pytest

from backend.errors import SettingsError
from backend.settings import Settings, environment_name, example_environment, load_settings

ROOT = Path(__file__).parents[2]


def test_familiar_names_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_URL", "http://studio.example/ ")
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "key")
    monkeypatch.setenv("PORT", "1234")
    settings = load_settings()
    assert settings.label_studio_url == "http://studio.example"
    assert settings.label_studio_api_key.get_secret_value() == "key"
    assert settings.public_url == "http://localhost:1234"


def test_the_prefixed_name_works_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROWDLAB_PORT", "1235")
    assert load_settings().port == 1235


def test_arguments_come_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "1234")
    assert load_settings(port=99).port == 99
    assert load_settings(port=None).port == 1234


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PORT", "70000", "'70000'"),
        ("PORT", "many", "'many'"),
        ("LABEL_STUDIO_URL", "studio.example", "http:// or https://"),
        ("REDIS_URL", "localhost", "redis://"),
        ("LOG_LEVEL", "LOUD", "'LOUD'"),
        ("CROWDLAB_FOLDS", "1", "'1'"),
        ("BASIC_AUTH_USER", "jürgen", "'jürgen'"),
        ("BASIC_AUTH_PASS", "pässword", "plain ASCII"),
        ("WEBHOOK_SECRET", "geheimnis ß", "plain ASCII"),
        ("CROWDLAB_API_TOKEN", "schlüssel", "plain ASCII"),
        ("CROWDLAB_PUBLIC_URL", "crowdlab.example", "http:// or https://"),
        ("LABEL_STUDIO_PUBLIC_URL", "studio.example", "http:// or https://"),
        ("CROWDLAB_ALLOWED_HOSTS", "a.example,https://b.example", "'https://b.example' is neither"),
        ("CROWDLAB_FETCH_SECONDS", "0", "'0'"),
    ],
)
def test_an_unusable_value_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert name in raised.value.message
    assert said in raised.value.message


@pytest.mark.parametrize(
    ("name", "value"), [("REDIS_URL", "http://:hush@host"), ("BASIC_AUTH_PASS", "hush ü")]
)
def test_an_unusable_secret_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize("name", ["WEBHOOK_SECRET", "CROWDLAB_WEBHOOK_SECRET"])
def test_a_secret_can_be_in_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "secret"
    file.write_text("hush\n")
    monkeypatch.setenv(f"{name}_FILE", str(file))
    assert load_settings().webhook_secret.get_secret_value() == "hush"


def test_a_secret_itself_comes_before_its_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    file.write_text("from the file")
    monkeypatch.setenv("WEBHOOK_SECRET_FILE", str(file))
    monkeypatch.setenv("WEBHOOK_SECRET", "")
    monkeypatch.setenv("REDIS_URL_FILE", str(tmp_path / "missing"))
    monkeypatch.setenv("REDIS_URL", "redis://from-the-environment")
    settings = load_settings()
    assert settings.webhook_secret.get_secret_value() == "from the file"
    assert settings.redis_url.get_secret_value() == "redis://from-the-environment"


def test_the_env_file_can_name_a_secrets_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("hush")
    dotenv = tmp_path / ".env"
    dotenv.write_text(f"CROWDLAB_API_TOKEN_FILE={tmp_path / 'secret'}\n")
    monkeypatch.setitem(Settings.model_config, "env_file", dotenv)
    assert load_settings().api_token.get_secret_value() == "hush"


def test_only_secrets_are_read_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "port").write_text("1234")
    monkeypatch.setenv("PORT_FILE", str(tmp_path / "port"))
    assert load_settings().port == 9090


@pytest.mark.parametrize(
    ("content", "said"), [(None, "No such file"), (b"\xff\xfe", "not UTF-8 text")]
)
def test_a_secrets_file_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, said: str
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY_FILE", str(file))
    with pytest.raises(SettingsError, match=said) as raised:
        load_settings()
    assert str(file) in raised.value.message
    assert "LABEL_STUDIO_API_KEY_FILE" in raised.value.message


def test_an_unusable_secret_from_a_file_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    file.write_text("hush ß")
    monkeypatch.setenv("WEBHOOK_SECRET_FILE", str(file))
    with pytest.raises(SettingsError, match="WEBHOOK_SECRET") as raised:
        load_settings()
    assert "hush" not in str(raised.value)


def test_a_file_in_another_encoding_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / ".env"
    path.write_bytes("BASIC_AUTH_USER=jürgen\n".encode("latin-1"))
    monkeypatch.setitem(Settings.model_config, "env_file", path)
    with pytest.raises(SettingsError, match="is not UTF-8 text") as raised:
        load_settings()
    assert str(path) in raised.value.message


def test_secrets_are_not_printed() -> None:
    settings = load_settings(
        label_studio_api_key="hush", webhook_secret="hush", redis_url="redis://:hush@h/0"
    )
    assert "hush" not in f"{settings!r} {settings}"


def test_every_setting_is_described() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name


def test_the_example_is_generated_from_the_settings() -> None:
    example = example_environment()
    assert (ROOT / ".env.example").read_text() == example
    for name in Settings.model_fields:
        assert f"#{environment_name(name)}=" in example


def test_what_may_be_fetched() -> None:
    settings = load_settings(allowed_hosts="media.example", max_content_mb=3, fetch_seconds=1.5)
    limits = settings.fetch_limits
    assert limits.allowed.hosts == {"media.example:80", "media.example:443"}
    assert (limits.max_bytes, limits.seconds, limits.concurrency) == (3 * 2**20, 1.5, 4)
    assert not load_settings().fetch_limits.allowed.hosts


def test_keys_of_numbers() -> None:
    assert load_settings(number_keys=" price, a b ,,size").number_key_list == [
        "price",
        "a b",
        "size",
    ]
    assert load_settings().number_key_list == []


def test_a_feature_vector_is_numbers_to_learn_from() -> None:
    settings = load_settings(number_keys="price, size", embedding_key="embedding")
    assert settings.number_key_list == ["price", "size", "embedding"]
    assert load_settings(max_upload_mb=2).max_upload_bytes == 2 * 1024 * 1024


@pytest.mark.parametrize(
    ("name", "said"), [("text_model", "is no folder"), ("image_model", "is no file")]
)
def test_a_model_that_is_not_on_disk_is_refused(name: str, said: str) -> None:
    with pytest.raises(SettingsError, match=f"'somewhere/model'.*{said}.*never downloaded"):
        load_settings(**{name: "somewhere/model"})
