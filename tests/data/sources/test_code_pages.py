"""Names and tables without a mark are read by their characters; where these do not tell, asked."""

from __future__ import annotations

import pytest

from lab.data.sources.code_pages import TABLE_PAGES, ZIP_PAGES, decode_text, question, readings

READ = [
    ("cp949", "고양이 강아지"),
    ("cp949", "시바견 포메라니안"),
    ("cp949", "개 새 토끼"),
    ("cp949", "정상 불량"),
    ("cp932", "猫 犬 表"),
    ("cp932", "ソース 能力"),
    ("cp932", "いぬ ねこ"),
    ("gbk", "猫 狗"),
    ("gbk", "苹果 香蕉"),
    ("gbk", "正常 异常"),
    ("cp950", "貓 狗"),
    ("cp950", "玫瑰 鬱金香"),
    ("cp850", "Löwe Bär"),
    ("cp437", "niño"),
    ("cp866", "кошка собака"),
    ("utf-8", "고양이 강아지"),
    ("utf-8", "猫 狗"),
]


@pytest.mark.parametrize(("page", "text"), READ)
def test_a_script_is_known_by_its_frequent_characters(page: str, text: str) -> None:
    raw = text.encode(page)
    found = readings([raw], ZIP_PAGES)
    assert raw.decode(found[0].code_page) == text
    assert question("names", "?", found, [raw]) is None


@pytest.mark.parametrize(
    ("page", "text"), [("cp949", "뱀"), ("cp949", "말 소"), ("cp932", "猫"), ("gbk", "猫")]
)
def test_where_two_readings_are_probable_a_person_is_asked(page: str, text: str) -> None:
    raw = text.encode(page)
    asked = question("names", "Which?", readings([raw], ZIP_PAGES), [raw])
    assert asked is not None
    choice = dict(asked.choices)[page]
    assert choice.endswith(text)  # the names themselves are the example


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_unicode_is_read_with_and_without_a_mark(encoding: str) -> None:
    text = "path,label\nimages/1.jpg,고양이\nimages/2.jpg,cat\n"
    assert decode_text(text.encode(encoding), "labels.csv", {}).text == text


def test_the_code_page_of_a_table_is_said() -> None:
    text = "파일,품종\n1.jpg,고양이\n2.jpg,강아지\n"
    decoded = decode_text(text.encode("cp949"), "labels.csv", {})
    assert (decoded.text, decoded.note) == (text, "read as Korean (cp949)")


def test_an_answer_decides() -> None:
    raw = "1.jpg,말\n2.jpg,소\n".encode("cp949")
    asked = decode_text(raw, "labels.csv", {}).question
    assert asked is not None
    other = next(page for page, _ in asked.choices if page != asked.default)
    assert decode_text(raw, "labels.csv", {asked.key: other}).text == raw.decode(other)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(UnicodeDecodeError):
        decode_text(bytes(range(256)), "labels.csv", {})
    assert {reading.code_page for reading in readings([b"\xff\xff"], TABLE_PAGES)} <= set(
        TABLE_PAGES
    )
