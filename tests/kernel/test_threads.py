import numpy as np
import pytest

from solver_core import render
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


def test_number_of_threads_below_one_raises():
    with pytest.raises(ValueError, match="at least 1"):
        render.set_num_threads(0)
