import numpy as np
import pytest

from worker.training.data.class_weights import class_weights


class TestClassWeights:
    def test_are_inverse_to_the_frequency_with_a_mean_of_one(self) -> None:
        weights = class_weights(np.array([0, 0, 0, 0, 1, 2, 2]), 3)
        assert float(weights.mean()) == pytest.approx(1)
        assert (4 * weights[0]).item() == pytest.approx(weights[1].item()) == pytest.approx((2 * weights[2]).item())

    def test_leave_out_unlabelled_images_and_classes_without_images(self) -> None:
        weights = class_weights(np.array([-1, 0, -1, 3, 3, -1]), 4)
        assert weights.tolist() == pytest.approx([4 / 3, 0, 0, 2 / 3])

    def test_balanced_classes_all_weigh_one(self) -> None:
        assert class_weights(np.array([2, 1, 0, 0, 1, 2]), 3).tolist() == [1, 1, 1]
