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
