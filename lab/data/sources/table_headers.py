"""What the columns of tables are called, and how the cells of a label column are understood."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from lab.names import visible

FILE_HEADERS: tuple[str, ...] = (
    *("path", "filepath", "imagepath", "imgpath", "filepaths", "relativepath", "fullpath"),
    *("filename", "file", "imagefilename", "imagefile", "imagename", "imgname", "imgfile"),
    *("filenames", "files", "imagepaths", "picture", "photo", "imageurl"),
    *("image", "img", "images", "imageid", "imgid", "fileid", "name", "id", "uuid"),
    *("파일", "파일명", "파일이름", "이미지", "이미지명", "이미지파일", "사진", "경로", "파일경로"),
    *("ファイル", "ファイル名", "画像", "画像名", "パス", "文件", "文件名", "图片", "图像", "路径"),
    *("檔案", "檔名", "檔案名稱", "圖片", "圖像", "路徑"),
)
LABEL_HEADERS: tuple[str, ...] = (
    *("label", "labels", "labelname", "classname", "class", "classes", "classlabel", "target"),
    *("category", "categoryname", "categories", "species", "breed", "breedname", "commonname"),
    *("y", "letter", "digit", "emotion", "diagnosis", "dx", "disease", "type", "kind", "variety"),
    *("cultivar", "annotation", "groundtruth", "tag", "finelabel", "labelid", "classid"),
    *("categoryid", "labelidx", "classidx", "classindex", "targetname", "scientificname"),
    *(
        "라벨",
        "레이블",
        "라벨명",
        "클래스",
        "클래스명",
        "분류",
        "종류",
        "품종",
        "정답",
        "범주",
        "이름",
    ),
    *("ラベル", "クラス", "クラス名", "分類", "種類", "品種", "正解", "カテゴリ", "カテゴリー"),
    *("标签", "类别", "类", "分类", "品种", "种类", "標籤", "類別", "分類", "品種", "種類"),
)
SPLIT_HEADERS: tuple[str, ...] = (
    *("split", "set", "subset", "dataset", "partition", "phase", "usage", "part", "fold"),
    *("datasplit", "datatype", "splitname", "traintest", "trainvaltest", "mode"),
    *("분할", "구분", "데이터셋", "セット", "区分", "划分", "数据集", "分割", "集合", "資料集"),
)

_BLANK = frozenset({"", "nan", "null", "<na>", "#n/a", "n/a"})
MAX_LABEL = 200
"""Characters of a class name."""


def header_key(name: str) -> str:
    """A header without case, spaces, dashes and marks: "File name" and file_name are one."""
    name = unicodedata.normalize("NFKC", name).casefold().strip().strip("\ufeff\"'")
    return re.sub(r"[\s_\-./()\[\]:#]+", "", name)


def columns_called(header: Sequence[str], names: Sequence[str]) -> list[int]:
    """The columns with one of these names, in the order of the names."""
    rank = {name: i for i, name in enumerate(names)}
    columns = [i for i, name in enumerate(header) if header_key(name) in rank]
    return sorted(columns, key=lambda i: rank[header_key(header[i])])


def is_blank(text: str) -> bool:
    """Whether a label cell says nothing, as pandas and spreadsheets write it."""
    return text.strip().casefold() in _BLANK


def label_text(text: str) -> str:
    """A label as a class name: in one spelling, and "3.0" is class 3, as pandas writes numbers."""
    text = visible(" ".join(unicodedata.normalize("NFC", text).split()))
    if re.fullmatch(r"[+-]?\d{1,18}\.0+", text):
        text = text.partition(".")[0]
    return "0" if text in ("-0", "+0") else text
