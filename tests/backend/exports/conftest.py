"""The computed project of the tests of insights."""

from tests.backend.insights.conftest import computed, service

__all__ = ["computed", "service"]
