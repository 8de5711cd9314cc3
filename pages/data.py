"""Data: look at a data set, try augmentation, add your own images, download public ones."""

import streamlit as st

from lab.ui import dataset_add, dataset_view
from lab.ui.entrance import require_entrance

require_entrance()
st.title("Data", anchor=False)
info = dataset_view.choose()
dataset_view.draw_facts(info)
if info.usable:
    dataset_view.draw_browser(info)
else:
    dataset_add.draw_how_to_get(info)
st.subheader("Add images", anchor=False)
dataset_add.draw_jobs()
dataset_add.draw_add()
dataset_add.draw_downloads()
if info.bytes_on_disk and not info.drawn:
    dataset_add.draw_remove(info)
