"""Train, validation or test, read from the words of a folder's, file's or column's name.

    seg_train, asl_alphabet_test, train_data, "Training Set", TrainImages, val2017, 1.Training,
    훈련데이터, 검증셋, 테스트

Only whole words count: trains, testudo, contest and latest are no splits. A name says what may be
a split; whether it is one (and not the class "bullet train") is told by what lies below it.
"""

from __future__ import annotations

import re
import unicodedata

_WORDS: dict[str, tuple[str, ...]] = {
    "train": (
        *("train", "training", "trn", "trainval", "trainvalid"),
        *("trainings", "entrainement", "apprentissage", "entrenamiento"),
        *("treino", "treinamento", "addestramento"),
    ),
    "val": (
        *("val", "valid", "validate", "validation", "validating", "dev", "devel"),
        *("validierung", "validierungs", "validacion", "validacao", "validazione"),
    ),
    # "Evaluation" is the test part of the sets that bring all three (Food-11).
    "test": (
        *("test", "testing", "tst", "eval", "evaluation", "holdout"),
        *("prueba", "pruebas", "teste"),
    ),
}
_ENDINGS = [
    "set",
    "sets",
    "data",
    "dataset",
    "dir",
    "folder",
    "image",
    "images",
    "img",
    "imgs",
    "pic",
    "pics",
    "picture",
    "pictures",
    "photo",
    "photos",
    "split",
    "part",
    "daten",
    "bilder",
]
"""What is written behind a word without a space: trainset, testimages, Trainingsdaten."""

_EAST_ASIAN: dict[str, tuple[str, ...]] = {
    "train": ("훈련", "학습", "트레이닝", "트레인", "訓練", "学習", "學習", "トレーニング", "训练"),
    "val": ("검증", "밸리데이션", "検証", "驗證", "验证", "バリデーション"),
    "test": (
        *("시험", "테스트", "평가", "テスト", "評価", "試験"),
        *("測試", "测试", "評估", "评估", "評測"),
    ),
}
_EAST_ASIAN_ENDING = re.compile(
    "(용|用)?(의)?(데이터|데이타|자료|이미지|사진|영상|データ|画像|写真|数据|數據|图片|圖片|图像|圖像|样本|樣本)?"
    "(셋|세트|집합|폴더|セット|フォルダ|集合|集)?"
)

_SPLIT_OF_WORD = {
    word + ending: split
    for split, words in _WORDS.items()
    for word in words
    for ending in ("", *_ENDINGS)
}
_BOUNDARY = re.compile(
    r"""[\W_]+                      # spaces, dots, dashes, underscores
    | (?<=[a-z])(?=[A-Z])           # TrainImages
    | (?<=[A-Z])(?=[A-Z][a-z])      # ASLTrain
    | (?<=[^\W\d_])(?=\d) | (?<=\d)(?=[^\W\d_])   # val2017, 2017val
    """,
    re.VERBOSE,
)


def split_of(name: str) -> str | None:
    """Returns "train", "val" or "test" when a word of the name says so, else None.

    Of a path only its last part counts. A name with both train and test in it (train_test_split)
    means neither; train and val together (trainval) are for training.
    """
    splits = {split for word in words(name) if (split := _split_of_word(word)) is not None}
    if splits == {"train", "val"}:
        return "train"
    return splits.pop() if len(splits) == 1 else None


def without_split(name: str) -> str:
    """Returns the name's words that do not tell a split: "cats_train" gives "cats"."""
    return " ".join(word for word in words(name) if _split_of_word(word) is None)


def words(name: str) -> list[str]:
    """Returns the words of the last part of a path, as written."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return [word for word in _BOUNDARY.split(unicodedata.normalize("NFC", last)) if word]


def _split_of_word(word: str) -> str | None:
    plain = "".join(
        character
        for character in unicodedata.normalize("NFD", word.casefold())
        if not unicodedata.combining(character)
    )
    if split := _SPLIT_OF_WORD.get(plain):
        return split
    for split, beginnings in _EAST_ASIAN.items():
        for beginning in beginnings:
            if word.startswith(beginning) and _EAST_ASIAN_ENDING.fullmatch(
                word.removeprefix(beginning)
            ):
                return split
    return None
