import pytest
from unit.metering.decorator.told import Meter


@pytest.fixture
def meter():
    return Meter()
