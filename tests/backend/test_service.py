"""The parts of the service."""

from collections.abc import Callable
from pathlib import Path

from backend.service import Service
from tests.backend.features.disk_models import save_text_model


def test_the_models_of_the_settings_are_loaded_once(
    make_service: Callable[..., Service], tmp_path: Path
) -> None:
    service = make_service(text_model=save_text_model(tmp_path / "model"))
    assert service.models.text is not None
    assert service.models.text.width == 4
    assert service.models is service.models
    assert make_service().models.text is None
