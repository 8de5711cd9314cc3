"""Data: look at a data set, try augmentation, add your own pictures, download public ones."""

import streamlit as st

from lab.people import current_person
from lab.ui.data import add, browse, collect, phones

st.title("Data", anchor=False)
add.adopt_selection()
info = browse.choose()
add.note_selection(info)
browse.draw_facts(info)
if info.usable:
    browse.draw_browser(info)
else:
    add.draw_how_to_get(info)
st.header("Add pictures", anchor="add-pictures")
add.draw_jobs()
collect.draw_collect()
phones.draw_phones()
add.draw_add(info)
add.draw_downloads(info)
if current_person().is_admin:
    add.draw_hub()
    st.page_link("pages/storage.py", label="What the disk holds", icon=":material/hard_drive:")
if info.bytes_on_disk and not info.built_in:
    add.draw_remove(info)
