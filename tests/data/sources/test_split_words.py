"""Words that tell a split, and words that only contain one."""

from __future__ import annotations

import pytest

from lab.data.sources.source import Question
from lab.data.sources.split_words import split_of, without_split
from lab.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"),
        ("TRAIN", "train"),
        ("seg_train", "train"),
        ("train_data", "train"),
        ("asl_alphabet_train", "train"),
        ("Training Set", "train"),
        ("TrainImages", "train"),
        ("ASLTrain", "train"),
        ("trainset", "train"),
        ("1.Training", "train"),
        ("trainval", "train"),
        ("train_val", "train"),
        ("Entraînement", "train"),
        ("Trainingsdaten", "train"),
        ("훈련", "train"),
        ("훈련데이터", "train"),
        ("학습용 데이터", "train"),
        ("訓練", "train"),
        ("学習データ", "train"),
        ("训练集", "train"),
        ("val", "val"),
        ("valid", "val"),
        ("validation", "val"),
        ("val2017", "val"),
        ("2017val", "val"),
        ("dev_set", "val"),
        ("검증셋", "val"),
        ("検証用", "val"),
        ("验证集", "val"),
        ("test", "test"),
        ("test1", "test"),
        ("Test Images", "test"),
        ("testing_set", "test"),
        ("asl_alphabet_test", "test"),
        ("PublicTest", "test"),
        ("evaluation", "test"),
        ("sign_mnist_test.csv", "test"),
        ("테스트", "test"),
        ("시험", "test"),
        ("평가용_이미지", "test"),
        ("测试集", "test"),
        ("set/photos/test", "test"),
        ("set\\photos\\test\\", "test"),
    ],
)
def test_a_word_tells_the_split(name: str, split: str) -> None:
    assert split_of(name) == split


@pytest.mark.parametrize(
    "name",
    [
        *("trains", "testudo", "contest", "latest", "attest", "trainer", "strain", "tests"),
        *("valley", "oval", "carnival", "interval", "developer", "medieval", "device"),
        *("시험관", "훈련사", "train_test_split", "train/cats", "cat", "", "seg_pred", "2017"),
    ],
)
def test_a_part_of_a_word_tells_none(name: str) -> None:
    assert split_of(name) is None


def test_the_rest_of_a_name_without_its_split() -> None:
    assert without_split("cats_train") == "cats"
    assert without_split("trainA") == "A"
    assert without_split("Training Set") == "Set"


def test_a_question_knows_its_answers() -> None:
    question = Question("variant", "Which?", (("color", "color/"), ("gray", "gray/")), "color")
    assert question.answer({}) == "color"
    assert question.answer({"variant": "gray"}) == "gray"
    with pytest.raises(ConfigError, match=r"'red' is no answer to variant.*color, gray"):
        question.answer({"variant": "red"})
