"""The client, before Label Studio is asked."""

import pytest

from backend.errors import AuthenticationError, SettingsError
from backend.label_studio.client import HOW_TO_GET_ACCESS, LabelStudioClient


@pytest.mark.parametrize("token", ["…", "tökén", "two words", "line\nbreak", "a.b.ç"])
def test_a_token_that_no_header_can_carry_is_refused(token: str) -> None:
    with pytest.raises(AuthenticationError, match="LABEL_STUDIO_API_KEY is not valid") as raised:
        LabelStudioClient("http://127.0.0.1:1", token)
    assert raised.value.hint == HOW_TO_GET_ACCESS
    assert token not in str(raised.value)


def test_a_missing_token_is_named() -> None:
    with pytest.raises(SettingsError, match="LABEL_STUDIO_API_KEY is not set"):
        LabelStudioClient("http://127.0.0.1:1", "")
