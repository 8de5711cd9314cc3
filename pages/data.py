"""Data: look at a data set, try augmentation, add your own images, download public ones."""

import streamlit as st

from lab.ui.data import add, browse

st.title("Data", anchor=False)
info = browse.choose()
browse.draw_facts(info)
if info.usable:
    browse.draw_browser(info)
else:
    add.draw_how_to_get(info)
st.subheader("Add images", anchor=False)
add.draw_jobs()
add.draw_add()
add.draw_downloads()
if info.bytes_on_disk and not info.drawn:
    add.draw_remove(info)
