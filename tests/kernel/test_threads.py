# SPDX-License-Identifier: Apache-2.0
import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from solver_core import render
from solver_core.errors import ConfigError
from solver_core.kernel import threads


@pytest.fixture(params=[1, 2, 5])
def num_threads(request):
    before = render.get_num_threads()
    render.set_num_threads(request.param)
    yield request.param
    render.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_chunks_cover_each_item_once(num_threads, count):
    visits = np.zeros(count, dtype=int)

    def visit(part: slice) -> None:
        visits[part] += 1

    threads.for_each_chunk(visit, count)

    assert (visits == 1).all()


@pytest.mark.usefixtures("num_threads")
def test_exception_in_a_chunk_reaches_the_caller():
    def fail(part: slice) -> None:
        raise KeyError(part.start)

    with pytest.raises(KeyError):
        threads.for_each_chunk(fail, 10)


@pytest.mark.parametrize("number", [0, -1, 2.5, "2", None, True, 10**9, float("nan")])
def test_number_of_threads_that_is_none_raises(number):
    with pytest.raises(ConfigError, match="from 1 to 1024"):
        render.set_num_threads(number)


def test_number_of_threads_may_change_while_batches_run(num_threads):
    def batches() -> int:
        done = []
        for _ in range(200):
            threads.for_each_chunk(lambda part: done.append(part.stop - part.start), 10)
        return sum(done)

    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(batches) for _ in range(8)]
        for number in itertools.cycle((1, 2, 3)):
            render.set_num_threads(number)
            if all(one.done() for one in running):
                break

    assert [one.result() for one in running] == [2000] * 8
