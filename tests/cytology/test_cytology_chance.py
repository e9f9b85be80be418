"""Orders in which no image meets its own mask."""

import numpy as np

from kotowari.studies.cytology.chance import others_first


def test_nothing_stands_at_its_own_place_and_no_order_comes_twice():
    orders = others_first(6, 50, 0)
    assert len({order.tobytes() for order in orders}) == len(orders) == 50
    assert not any((order == np.arange(6)).any() for order in orders)


def test_of_few_images_there_are_few_orders():
    assert [order.tolist() for order in others_first(2, 50, 0)] == [[1, 0]]
    assert len(others_first(3, 50, 0)) == 2, "three things have two orders without a fixed place"
