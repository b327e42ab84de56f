from typing import Any

import numpy as np
import pytest

from crowdlab_engine._random import random_generator


def test_a_seed_gives_a_new_generator_each_time() -> None:
    assert random_generator(3).randint(1000) == random_generator(np.int64(3)).randint(1000)


def test_a_generator_is_used_as_it_is() -> None:
    generator = np.random.RandomState(0)
    assert random_generator(generator) is generator


@pytest.mark.parametrize("random_state", [None, 1.5, True, "0", np.random.default_rng(0)])
def test_refuses(random_state: Any) -> None:
    with pytest.raises(TypeError, match=r"pass an integer seed or a np\.random\.RandomState"):
        random_generator(random_state)
